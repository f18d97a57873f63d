#include "cpu/flash_decode.h"

#include <omp.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "cpu/online_softmax.h"
#include "cpu/sink_gradient.h"

namespace flashbench::cpu {
namespace {

enum Phase : std::size_t { kLoad, kScores, kSoftmax, kAccumulate, kCombine };

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Of K in a block of keys: while a block is computed with, the next one is fetched into L1.
constexpr std::int64_t kBlockBytes = 32 << 10;
/// With more query rows than this per K/V head, packing pays: FlashForward takes over.
constexpr std::int64_t kMaxRows = 16;
constexpr std::int64_t kMinSplit = 256;  ///< keys; fewer do not pay for combining

/// Keys of a block.
std::int64_t choose_keys(const Problem& p) {
  const auto row_bytes = p.shape.widest_d() * static_cast<std::int64_t>(size_bytes(p.kv_dtype()));
  return std::clamp<std::int64_t>(round_up(kBlockBytes / row_bytes, 16), 32, 256);
}

/// Four work items a thread, so that threads which finish early find more to do.
std::int64_t choose_splits(const Shape& s, int threads) {
  return std::clamp<std::int64_t>(blocks(4 * threads, s.b * s.h_kv), 1,
                                  blocks(s.kv_len, kMinSplit));
}

}  // namespace

bool FlashDecode::suits(const Shape& shape) { return shape.group() * shape.q_len <= kMaxRows; }

FlashDecode::FlashDecode(const Problem& p, const Execution& e)
    : AttentionPass(p, e),
      rows_(shape.group() * shape.q_len),
      keys_(choose_keys(p)),
      splits_(choose_splits(shape, threads)),
      d_stride_(tile_stride(shape.d)),
      o_stride_(tile_stride(shape.d_v())),
      s_stride_(tile_stride(keys_)),
      score_(p),
      positions_(p, ops),
      bias_(p, e, shape.q_len, keys_, BiasTile::Keys::kKept),
      share_(std::exp2(-std::ceil(std::log2(static_cast<float>(shape.kv_len))))) {}

FlashDecode::Tiles FlashDecode::carve(Carver& carver) const {
  Tiles t{};
  t.q = carver.take(rows_ * d_stride_);
  t.s = carver.take(rows_ * s_stride_);
  t.kv = carver.take(keys_ * std::max(d_stride_, o_stride_));
  t.bias = bias_.carve(carver);
  return t;
}

FlashDecode::Part FlashDecode::part(std::int64_t kv_head, std::int64_t split) {
  const std::size_t size = floats(rows_ * o_stride_) + 2 * floats(rows_);
  Carver pieces(parts_.as<float>() + static_cast<std::size_t>(kv_head * splits_ + split) * size);
  Part p{};
  p.o = pieces.take(rows_ * o_stride_);
  p.max = pieces.take(rows_);
  p.sum = pieces.take(rows_);
  return p;
}

std::size_t FlashDecode::workspace_bytes() const {
  const std::vector<std::size_t> bytes = phase_bytes();
  return std::accumulate(bytes.begin(), bytes.end(), std::size_t{0});
}

std::vector<std::string> FlashDecode::phases() const {
  return {"load Q, K, V", "S = Q K^T", "softmax", "O += P V", "combine"};
}

std::vector<std::size_t> FlashDecode::phase_bytes() const {
  const auto per_thread = static_cast<std::size_t>(threads) * sizeof(float);
  return {per_thread * (floats(rows_ * d_stride_) + floats(keys_ * std::max(d_stride_, o_stride_))),
          per_thread * floats(rows_ * s_stride_),
          positions_.bytes() + per_thread * floats(bias_.floats()), 0,
          static_cast<std::size_t>(shape.b * shape.h_kv * splits_) *
              (floats(rows_ * o_stride_) + 2 * floats(rows_)) * sizeof(float)};
}

void FlashDecode::allocate() {
  parts_ = Buffer(phase_bytes()[kCombine]);
  positions_.allocate();
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(sizes.bytes());
}

double FlashDecode::flop_executed(const std::vector<Visibility>& sees) const {
  double keys = 0;
  for (const Visibility& v : sees) keys += v.keys(0, shape.q_len).size();
  return 2.0 * static_cast<double>((shape.d + shape.d_v()) * shape.h_kv * rows_) * keys;
}

void FlashDecode::run(const Operands& io, const std::vector<Visibility>& sees,
                      PhaseProfile* profile) {
  const std::int64_t kv_heads = shape.b * shape.h_kv;
  positions_.load(sees);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
    const Tiles tiles = carve(carver);
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < kv_heads * splits_; ++i) {
      const std::int64_t head = i / splits_, b = head / shape.h_kv;
      const Visibility& v = sees[static_cast<std::size_t>(b)];
      const KeyRange seen = v.keys(0, shape.q_len);  // by some row
      const std::int64_t share = round_up(blocks(seen.size(), splits_), keys_);
      const std::int64_t first = std::min<std::int64_t>(seen.end, seen.begin + i % splits_ * share);
      const std::int64_t last = std::min<std::int64_t>(seen.end, first + share);
      attend({&io, &v, b, head % shape.h_kv, first, last, profile, thread,
              score_.of_head(*io.in, b, head % shape.h_kv)},
             tiles, part(head, i % splits_));
    }
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < kv_heads * rows_; ++i) {
      const PhaseTimer timer(profile, thread, kCombine,
                             touch(splits_ * shape.d_v()) + convert(shape.d_v()));
      combine(io, i / rows_, i % rows_);
    }
  }
}

/// Kept keys [first, ...) of the item's head.
RowSource FlashDecode::source(const Tensor& tensor, const Item& item, std::int64_t first) const {
  return key_rows(tensor, item.b, item.kv_head, item.sees->kept(), first);
}

/// The same rows of d elements where these are a multiple of the vector; else copied to `tile` and
/// padded with zeros.
RowSource FlashDecode::whole_vectors(const RowSource& rows, const Item& item, std::int64_t keys,
                                     std::int64_t d, float* tile) const {
  if (d % ops.lanes == 0) return rows;
  const PhaseTimer timer(item.profile, item.thread, kLoad, convert(keys * d, rows.dtype));
  ops.pack_rows(rows, keys, d, 1.0f, tile, tile_stride(d));
  return {tile, Dtype::kF32, tile_stride(d), nullptr};
}

/// FLOP and bytes of a product of [rows, d] (Q or O) with `keys` rows of K or V read in place.
PhaseCost FlashDecode::product_in_place(const RowSource& source, std::int64_t keys,
                                        std::int64_t d) const {
  const auto elements = static_cast<double>(keys * d);
  return PhaseCost{2 * static_cast<double>(rows_) * elements,
                   elements * static_cast<double>(size_bytes(source.dtype))} +
         touch(rows_ * d);
}

/// Fetches the block that begins with kept key `first` while another one is computed with.
Prefetch FlashDecode::prefetch(const Tensor& tensor, const Item& item, std::int64_t first) const {
  if (first >= item.last_key) return {};
  const RowSource rows = source(tensor, item, first);
  const auto row_bytes = static_cast<std::int64_t>(size_bytes(rows.dtype)) * rows.row_stride;
  const std::int64_t row = rows.position == nullptr ? 0 : rows.position[0];
  return {static_cast<const std::byte*>(rows.base) + row * row_bytes, 4 * row_bytes};
}

/// Algorithm 1 for the rows of one group and the keys of one split.
void FlashDecode::attend(const Item& item, const Tiles& t, const Part& part) const {
  const Operands& io = *item.io;
  {
    const PhaseTimer timer(item.profile, item.thread, kLoad,
                           convert(rows_ * shape.d) + touch(rows_ * shape.d_v()));
    // The heads of a group lie next to each other, so that their queries are consecutive rows.
    ops.pack_rows(rows_of(io.in->q, item.b, item.kv_head * shape.group()), rows_, shape.d,
                  item.score.sign, t.q, d_stride_);
    std::fill_n(part.o, rows_ * o_stride_, 0.0f);
    std::fill_n(part.max, rows_, -kInf);
    std::fill_n(part.sum, rows_, 0.0f);
  }
  KeyRange seen[kMaxRows];
  for (std::int64_t q = 0; q < shape.q_len; ++q) seen[q] = item.sees->keys(q);
  for (std::int64_t first = item.first_key; first < item.last_key; first += keys_) {
    const std::int64_t keys = std::min(keys_, item.last_key - first);
    const RowSource k = whole_vectors(source(io.in->k, item, first), item, keys, shape.d, t.kv);
    {
      const PhaseTimer timer(item.profile, item.thread, kScores,
                             product_in_place(k, keys, shape.d) + touch(rows_ * keys));
      ops.dots(rows_, keys, shape.d, {t.q, d_stride_, 1}, k, {t.s, s_stride_},
               prefetch(io.in->v, item, first));
    }
    softmax(item, t, part, seen, first, keys);
    const RowSource v = whole_vectors(source(io.in->v, item, first), item, keys, shape.d_v(), t.kv);
    const PhaseTimer timer(
        item.profile, item.thread, kAccumulate,
        product_in_place(v, keys, shape.d_v()) + touch(rows_ * (keys + shape.d_v())));
    ops.add_rows(rows_, keys, shape.d_v(), {t.s, s_stride_, 1}, v, {part.o, o_stride_},
                 prefetch(io.in->k, item, first + keys_));
  }
}

/// Scores of the kept keys [first, first + keys) become P, head by head of the group. `seen`: by
/// each query.
void FlashDecode::softmax(const Item& item, const Tiles& t, const Part& part, const KeyRange* seen,
                          std::int64_t first, std::int64_t keys) const {
  const PhaseTimer timer(item.profile, item.thread, kSoftmax,
                         touch(2 * rows_ * keys) + bias_.cost(rows_, keys));
  for (std::int64_t g = 0; g < shape.group(); ++g) {
    const Inputs& in = *item.io->in;
    const std::int64_t h = item.kv_head * shape.group() + g;
    const BiasRows bias = bias_.load(in, item.b, h, 0, shape.q_len,
                                     item.sees->kept().rows().from(first), keys, t.bias);
    const ScoreRow score = item.score.row(in, item.b, h, 0, positions_.of(item.b, first), bias);
    for (std::int64_t q = 0; q < shape.q_len; ++q) {
      const std::int64_t r = g * shape.q_len + q;
      const TileColumns columns = columns_of(seen[q], first, keys);
      absorb_row(
          ops,
          {part.max[r], item.score.factor, part.sum + r, 1, part.o + r * o_stride_, score.at(q, 0)},
          shape.d_v(), t.s + r * s_stride_, keys, columns.begin, columns.end);
      ops.row_scale(t.s + r * s_stride_, keys, share_);
    }
  }
}

/// The splits of one row, weighted by 2^(factor·(their max - the largest max)); O and LSE are
/// written.
void FlashDecode::combine(const Operands& io, std::int64_t kv_head, std::int64_t row) {
  const std::int64_t b = kv_head / shape.h_kv;
  const std::int64_t h = kv_head % shape.h_kv * shape.group() + row / shape.q_len;
  const std::int64_t q = row % shape.q_len;
  const ScoreFactor score = score_.of_head(*io.in, b, kv_head % shape.h_kv);
  float max = -kInf;
  for (std::int64_t i = 0; i < splits_; ++i) max = std::max(max, part(kv_head, i).max[row]);
  const Part total = part(kv_head, 0);
  float* o = total.o + row * o_stride_;
  float sum = 0;
  for (std::int64_t i = 0; i < splits_; ++i) {
    const Part p = part(kv_head, i);
    if (p.sum[row] == 0.0f) continue;  // it saw nothing
    const float weight = std::exp2((p.max[row] - max) * score.factor);
    sum += weight * p.sum[row];
    ops.row_scale(p.o + row * o_stride_, shape.d_v(), weight);
    if (i > 0) ops.row_add(o, p.o + row * o_stride_, shape.d_v());
  }
  Outputs& out = *io.out;
  const float* sink = sink_of(*io.in, h);
  const RowEnd end = sum == 0.0f ? RowEnd::empty(sink) : score.end_of_row(max, sum, sink);
  out.lse.as<float>()[out.lse.dims().index(b, h, q, 0)] = end.lse;
  const float descale = io.in->v_descale(b, kv_head % shape.h_kv);
  const float factor = end.normalise(ops, o, shape.d_v(), share_, descale);
  ops.row_store(o, shape.d_v(), factor, dtype, row_of(out.o, b, h, q));
}

}  // namespace flashbench::cpu
