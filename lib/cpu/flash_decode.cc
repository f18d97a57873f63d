#include "cpu/flash_decode.h"

#include <omp.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cpu/caches.h"
#include "cpu/flushed_pairs.h"
#include "cpu/online_softmax.h"
#include "cpu/sink_gradient.h"
#include "system/interrupt.h"

namespace flashbench::cpu {
namespace {

enum Phase : std::size_t { kLoad, kScores, kSoftmax, kAccumulate, kCombine };

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Of K in a block of keys: while a block is computed with, the next one is fetched into L1.
constexpr std::int64_t kBlockBytes = 32 << 10;
/// With more query rows than this per K/V head, packing pays: FlashForward takes over. A product of
/// f32 in 512 bits reads rows in place as fast as packed ones, and makes up for packing longer.
constexpr std::int64_t kFewRows = 16, kFewRowsOf512Bits = 32;
/// FlashForward's tiles hold queries of one head: of fewer than this they fill too little of one,
/// and rows of all heads of a group are faster by far (absorbed MLA of 128 heads: 5 times).
constexpr std::int64_t kQueriesOfATile = 4;
constexpr std::int64_t kMaxRows = 128;  ///< Q and O of so many stay in L2
/// L1 that holds the next block beside what is computed with: there it is fetched into L1 (Zen 5,
/// 48 KiB: f32 .81 of the time), else into L2 (Zen 4, 32 KiB: .73), and so what lies in pages and
/// is of 8 bits or wider than a block.
constexpr std::size_t kCloseL1Bytes = 48 << 10;
constexpr std::int64_t kMinSplit = 256;  ///< keys; fewer do not pay for combining

std::int64_t row_bytes(const Problem& p) {
  return p.shape.widest_d() * static_cast<std::int64_t>(size_bytes(p.kv_dtype()));
}

/// Keys of a block.
std::int64_t choose_keys(const Problem& p) {
  return std::clamp<std::int64_t>(round_up(kBlockBytes / row_bytes(p), 16), 32, 256);
}

/// Keys of a split where no head has more of them: four work items a thread, so that threads which
/// finish early find more to do.
std::int64_t choose_split(const Shape& s, const std::vector<std::int64_t>& elements, int threads) {
  std::int64_t keys = 0;
  for (const std::int64_t b : elements) keys += s.h_kv * s.kv_len_of(b);
  return std::max(kMinSplit, blocks(keys, 4 * threads));
}

std::int64_t most_queries(const Shape& s, const std::vector<std::int64_t>& elements) {
  std::int64_t most = 0;
  for (const std::int64_t b : elements) most = std::max(most, s.q_len_of(b));
  return most;
}

/// What reads K and V in place. Where Q is bf16, and K is so or of 8 bits, which bf16 holds, that
/// is by products of pairs, if the processor has these: half of the multiply-adds, and as exact.
const TileOps& choose_in_place(const Problem& p, const Execution& e, const TileOps& ops) {
  const TileOps& pairs = tile_ops(e.isa, p.dtype);
  const bool holds_keys = p.kv_dtype() == p.dtype || pairs.reads_8_bits;
  const bool whole_vectors = p.shape.d % ops.lanes == 0;
  return pairs.per_word == 2 && holds_keys && whole_vectors ? pairs : ops;
}

}  // namespace

bool FlashDecode::suits(const Shape& shape, std::int64_t b, const TileOps& ops) {
  const std::int64_t queries = shape.q_len_of(b), rows = shape.group() * queries;
  const bool reads_at_full_speed = ops.per_word == 1 && ops.lanes == 16;
  if (rows <= (reads_at_full_speed ? kFewRowsOf512Bits : kFewRows)) return true;
  return queries < kQueriesOfATile && rows <= kMaxRows;
}

FlashDecode::FlashDecode(const Problem& p, const Execution& e, std::vector<std::int64_t> elements)
    : AttentionPass(p, e),
      elements_(std::move(elements)),
      most_queries_(most_queries(shape, elements_)),
      most_rows_(shape.group() * most_queries_),
      keys_(choose_keys(p)),
      d_stride_(tile_stride(shape.d)),
      o_stride_(tile_stride(shape.d_v())),
      s_stride_(tile_stride(keys_)),
      in_place_(choose_in_place(p, e, ops)),
      score_(p),
      positions_(p, ops),
      turns_(p),
      bias_(p, e, most_queries_, keys_, BiasTile::Keys::kKept),
      fetches_close_(
          l1_cache_bytes() >= kCloseL1Bytes &&
          (p.page_size == 0 || (turns_.wanted() && keys_ * row_bytes(p) <= kBlockBytes))),
      share_(std::exp2(-std::ceil(
          std::log2(static_cast<float>(std::max<std::int64_t>(most_keys(shape, elements_), 1)))))) {
  const std::int64_t split = choose_split(shape, elements_, threads);
  for (const std::int64_t b : elements_)
    for (std::int64_t h = 0; h < shape.h_kv; ++h) {
      const std::int64_t splits = std::max<std::int64_t>(1, blocks(shape.kv_len_of(b), split));
      heads_.push_back({b, h, static_cast<std::int64_t>(splits_.size()), splits});
      for (std::int64_t i = 0; i < splits; ++i)
        splits_.push_back({static_cast<std::int64_t>(heads_.size()) - 1, i});
    }
}

FlashDecode::Tiles FlashDecode::carve(Carver& carver) const {
  Tiles t{};
  t.q = carver.take(most_rows_ * d_stride_);
  t.s = carver.take(most_rows_ * s_stride_);
  t.kv = carver.take(keys_ * std::max(d_stride_, o_stride_));
  t.bias = bias_.carve(carver);
  return t;
}

FlashDecode::Part FlashDecode::part(std::int64_t split) {
  const std::size_t size = floats(most_rows_ * o_stride_) + 2 * floats(most_rows_);
  Carver pieces(parts_.as<float>() + static_cast<std::size_t>(split) * size);
  Part p{};
  p.o = pieces.take(most_rows_ * o_stride_);
  p.max = pieces.take(most_rows_);
  p.sum = pieces.take(most_rows_);
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
  return {
      per_thread *
              (floats(most_rows_ * d_stride_) + floats(keys_ * std::max(d_stride_, o_stride_))) +
          turns_.bytes(),
      per_thread * floats(most_rows_ * s_stride_),
      positions_.bytes() + per_thread * floats(bias_.floats()), 0,
      splits_.size() * (floats(most_rows_ * o_stride_) + 2 * floats(most_rows_)) * sizeof(float)};
}

void FlashDecode::allocate() {
  parts_ = Buffer(phase_bytes()[kCombine]);
  positions_.allocate();
  turns_.allocate();
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(sizes.bytes());
}

double FlashDecode::flop_executed(const std::vector<Visibility>& sees) const {
  double pairs = 0;
  for (const std::int64_t b : elements_) {
    const Visibility& v = sees[static_cast<std::size_t>(b)];
    pairs += static_cast<double>(rows_of_head(b)) * v.keys(0, v.q_len()).size();
  }
  return 2.0 * static_cast<double>((shape.d + shape.d_v()) * shape.h_kv) * pairs;
}

void FlashDecode::run(const Operands& io, const std::vector<Visibility>& sees,
                      PhaseProfile* profile) {
  positions_.load(sees);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
    const Tiles tiles = carve(carver);
    if (turns_.wanted()) {
#pragma omp for schedule(static)
      for (std::size_t i = 0; i < elements_.size(); ++i)
        turns_.load(elements_[i], sees[static_cast<std::size_t>(elements_[i])]);
    }
#pragma omp for schedule(dynamic, 1)
    for (std::size_t i = 0; i < splits_.size(); ++i) {
      if (interrupted()) continue;
      const Head& head = heads_[static_cast<std::size_t>(splits_[i].head)];
      const Visibility& v = sees[static_cast<std::size_t>(head.b)];
      const KeyRange seen = v.keys(0, v.q_len());  // by some row
      const std::int64_t share =
          round_up(blocks(seen.size(), head.splits), std::lcm(keys_, turns_.keys()));
      const std::int64_t first =
          std::min<std::int64_t>(seen.end, seen.begin + splits_[i].number * share);
      const std::int64_t last = std::min<std::int64_t>(seen.end, first + share);
      attend({&io, &v, head.b, head.kv_head, rows_of_head(head.b), first, last, profile, thread,
              score_.of_head(*io.in, head.b, head.kv_head), in_any_order(v, first, last)},
             tiles, part(static_cast<std::int64_t>(i)));
    }
    const auto rows = static_cast<std::int64_t>(heads_.size()) * most_rows_;
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < rows; ++i) {
      const Head& head = heads_[static_cast<std::size_t>(i / most_rows_)];
      if (i % most_rows_ >= rows_of_head(head.b)) continue;
      const PhaseTimer timer(profile, thread, kCombine,
                             touch(head.splits * shape.d_v()) + convert(shape.d_v()));
      combine(io, head, i % most_rows_);
    }
  }
}

/// Kept keys [first, ...) of the item's head.
RowSource FlashDecode::source(const Tensor& tensor, const Item& item, std::int64_t first) const {
  RowSource rows = key_rows(*item.io->in, tensor, item.b, item.kv_head, item.sees->kept(), first);
  if (item.in_turns) rows.position = turns_.of(item.b, first);
  return rows;
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
PhaseCost FlashDecode::product_in_place(const RowSource& source, const Item& item,
                                        std::int64_t keys, std::int64_t d) const {
  const auto elements = static_cast<double>(keys * d);
  return PhaseCost{2 * static_cast<double>(item.rows) * elements,
                   elements * static_cast<double>(size_bytes(source.dtype))} +
         touch(item.rows * d);
}

/// Fetches the block that begins with kept key `first` while another one is computed with.
Prefetch FlashDecode::prefetch(const Tensor& tensor, const Item& item, std::int64_t first) const {
  Prefetch block;
  block.close = fetches_close_;
  if (first >= item.last_key) return block;
  const RowSource rows = source(tensor, item, first);
  block.row_bytes = static_cast<std::int64_t>(size_bytes(rows.dtype)) * rows.row_stride;
  block.step = 4 * block.row_bytes;
  block.next = block.base = static_cast<const std::byte*>(rows.base);
  block.position = rows.position;
  block.rows = rows.position != nullptr ? std::min(keys_, item.last_key - first) : 0;
  return block;
}

/// What reads K in place for these queries.
const TileOps& FlashDecode::for_scores(const RowSource& q, std::int64_t rows) const {
  const bool in_pairs = in_place_.per_word == 2;
  return in_pairs && pairs_lose(q, rows, shape.d, scale) ? ops : in_place_;
}

/// Are kept keys [first, last) seen by all queries, and is a score the same wherever its key lies?
bool FlashDecode::in_any_order(const Visibility& sees, std::int64_t first,
                               std::int64_t last) const {
  // Neither end falls: the first query's keys end first, the last one's begin last.
  return turns_.wanted() && !score_.first_keys_mislead() && sees.keys(0).end >= last &&
         sees.keys(sees.q_len() - 1).begin <= first;
}

/// Algorithm 1 for the rows of one group and the keys of one split.
void FlashDecode::attend(const Item& item, const Tiles& t, const Part& part) const {
  const Operands& io = *item.io;
  // The heads of a group lie next to each other, so that their queries are consecutive rows.
  const RowSource queries = rows_of(io.in->q, item.b, item.kv_head * shape.group());
  const TileOps& scores = for_scores(queries, item.rows);
  {
    const PhaseTimer timer(item.profile, item.thread, kLoad,
                           convert(item.rows * shape.d) + touch(item.rows * shape.d_v()));
    scores.pack_rows(queries, item.rows, shape.d, item.score.sign, t.q, d_stride_);
    std::fill_n(part.o, item.rows * o_stride_, 0.0f);
    std::fill_n(part.max, item.rows, -kInf);
    std::fill_n(part.sum, item.rows, 0.0f);
  }
  KeyRange seen[kMaxRows];
  for (std::int64_t q = 0; q < item.sees->q_len(); ++q) seen[q] = item.sees->keys(q);
  for (std::int64_t first = item.first_key; first < item.last_key; first += keys_) {
    const std::int64_t keys = std::min(keys_, item.last_key - first);
    const RowSource k =
        whole_vectors(source(stored_keys(*io.in), item, first), item, keys, shape.d, t.kv);
    {
      const PhaseTimer timer(item.profile, item.thread, kScores,
                             product_in_place(k, item, keys, shape.d) + touch(item.rows * keys));
      // Values within keys are at hand already.
      scores.dots(item.rows, keys, shape.d, {t.q, d_stride_, 1}, k, {t.s, s_stride_},
                  io.in->v_in_k ? Prefetch{} : prefetch(stored_values(*io.in), item, first));
    }
    softmax(item, t, part, seen, first, keys);
    const RowSource v =
        whole_vectors(source(stored_values(*io.in), item, first), item, keys, shape.d_v(), t.kv);
    PhaseCost cost = product_in_place(v, item, keys, shape.d_v());
    if (io.in->v_in_k) cost.bytes = 0;  // the scores' product has read them
    const PhaseTimer timer(item.profile, item.thread, kAccumulate,
                           cost + touch(item.rows * (keys + shape.d_v())));
    in_place_.add_rows(item.rows, keys, shape.d_v(), {t.s, s_stride_, 1}, v, {part.o, o_stride_},
                       prefetch(stored_keys(*io.in), item, first + keys_));
  }
}

/// Scores of the kept keys [first, first + keys) become P, head by head of the group. `seen`: by
/// each query.
void FlashDecode::softmax(const Item& item, const Tiles& t, const Part& part, const KeyRange* seen,
                          std::int64_t first, std::int64_t keys) const {
  const PhaseTimer timer(item.profile, item.thread, kSoftmax,
                         touch(2 * item.rows * keys) + bias_.cost(item.rows, keys));
  for (std::int64_t g = 0; g < shape.group(); ++g) {
    const Inputs& in = *item.io->in;
    const std::int64_t h = item.kv_head * shape.group() + g;
    const BiasRows bias = bias_.load(in, item.b, h, 0, item.sees->q_len(),
                                     item.sees->kept().rows().from(first), keys, t.bias);
    const ScoreRow score =
        item.score.row(in, item.b, h, item.sees->own_key(0), positions_.of(item.b, first), bias);
    for (std::int64_t q = 0; q < item.sees->q_len(); ++q) {
      const std::int64_t r = g * item.sees->q_len() + q;
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
void FlashDecode::combine(const Operands& io, const Head& head, std::int64_t row) {
  const std::int64_t q_len = shape.q_len_of(head.b), q = row % q_len;
  const std::int64_t h = head.kv_head * shape.group() + row / q_len;
  const auto part_of = [&](std::int64_t split) { return part(head.first_split + split); };
  const ScoreFactor score = score_.of_head(*io.in, head.b, head.kv_head);
  float max = -kInf;
  for (std::int64_t i = 0; i < head.splits; ++i) max = std::max(max, part_of(i).max[row]);
  const Part total = part_of(0);
  float* o = total.o + row * o_stride_;
  float sum = 0;
  for (std::int64_t i = 0; i < head.splits; ++i) {
    const Part p = part_of(i);
    if (p.sum[row] == 0.0f) continue;  // it saw nothing
    const float weight = std::exp2((p.max[row] - max) * score.factor);
    sum += weight * p.sum[row];
    ops.row_scale(p.o + row * o_stride_, shape.d_v(), weight);
    if (i > 0) ops.row_add(o, p.o + row * o_stride_, shape.d_v());
  }
  Outputs& out = *io.out;
  const float* sink = sink_of(*io.in, h);
  const RowEnd end = sum == 0.0f ? RowEnd::empty(sink) : score.end_of_row(max, sum, sink);
  out.lse.as<float>()[out.lse.dims().index(head.b, h, q, 0)] = end.lse;
  const float descale = io.in->v_descale(head.b, head.kv_head);
  const float factor = end.normalise(ops, o, shape.d_v(), share_, descale);
  ops.row_store(o, shape.d_v(), factor, dtype, row_of(out.o, head.b, h, q));
}

}  // namespace flashbench::cpu
