#include "cpu/flash_forward.h"

#include <omp.h>

#include <cmath>
#include <limits>

#include "cpu/online_softmax.h"

namespace flashbench::cpu {
namespace {

enum Phase : std::size_t { kPack, kLoadQ, kScores, kSoftmax, kAccumulate, kStore };

constexpr float kInf = std::numeric_limits<float>::infinity();

// Measured on Zen 3 (AVX2, 512 KiB of L2), 2 threads, N = 4096 for d = 512 and 2048 below, share of
// the FMA peak, [row group, keys, queries]:
//   d = 512: [6, 64, 96] .69, [6, 256, 96] .71, [24, 256, 96] .74, [96, 64, 96] .73,
//            [48, 128, 192] .78, [96, 128, 192] .82, [48, 256, 192] .83
//   d = 128: [6, 64, 96] .75, [6, 256, 96] .81, [24, 256, 96] .81, [48, 256, 192] .74
//   d =  64: [6, 64, 96] .65, [6, 256, 96] .75, [24, 256, 96] .68, [48, 256, 192] .76
constexpr std::int64_t kKeys = 256;
constexpr std::int64_t kWideHead = 128;  ///< beyond it a packed panel of K no longer fits into L1

/// As many queries as amortise streaming K and V, but enough blocks for all threads.
std::int64_t choose_q_block(const Shape& s, const TileOps& ops, int threads) {
  const std::int64_t per_thread = blocks(s.b * s.h * s.q_len, 4 * threads);
  const std::int64_t block =
      std::clamp<std::int64_t>(per_thread, ops.rows, s.d > kWideHead ? 192 : 96);
  return std::min(round_up(block, ops.rows), round_up(s.q_len, ops.rows));
}

/// Rows that go through scores, softmax and P·V together: one register tile keeps the scores in L1;
/// where panels come from L2 anyway, more rows share each of them.
std::int64_t choose_row_group(const Shape& s, const TileOps& ops, std::int64_t q_block) {
  return s.d > kWideHead ? std::min(round_up(48, ops.rows), q_block) : ops.rows;
}

}  // namespace

FlashForward::FlashForward(const Problem& p, const Execution& e)
    : Driver(p, e),
      q_block_(choose_q_block(shape, ops, threads)),
      kv_block_(std::min(round_up(kKeys, ops.cols), round_up(shape.kv_len, ops.cols))),
      row_group_(choose_row_group(shape, ops, q_block_)),
      q_stride_(tile_stride(shape.d)),
      o_stride_(tile_stride(shape.d)),
      s_stride_(tile_stride(kv_block_)),
      k_floats_(round_up(shape.kv_len, ops.cols) * shape.d),
      v_floats_(shape.kv_len * round_up(shape.d, ops.cols)),
      waves_(shape.b * shape.h_kv, shape.group() * blocks(shape.q_len, q_block_), threads) {}

FlashForward::Tiles FlashForward::carve(Carver& carver) const {
  Tiles t{};
  t.q = carver.take(q_block_ * q_stride_);
  t.o = carver.take(q_block_ * o_stride_);
  t.s = carver.take(row_group_ * s_stride_);
  t.max = carver.take(q_block_);
  t.sum = carver.take(q_block_);
  return t;
}

std::size_t FlashForward::workspace_bytes() const {
  Carver sizes;
  carve(sizes);
  return static_cast<std::size_t>(waves_.per_wave) * (floats(k_floats_) + floats(v_floats_)) *
             sizeof(float) +
         static_cast<std::size_t>(threads) * sizes.bytes();
}

void FlashForward::allocate() {
  packed_ = Buffer(static_cast<std::size_t>(waves_.per_wave) *
                   (floats(k_floats_) + floats(v_floats_)) * sizeof(float));
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(sizes.bytes());
}

double FlashForward::flop_executed(const std::vector<Visibility>& sees) const {
  double pairs = 0;
  for (const Visibility& v : sees)
    for (std::int64_t block = 0; block < shape.q_len; block += q_block_) {
      const std::int64_t end = std::min(block + q_block_, shape.q_len);
      for (std::int64_t q = block; q < end; q += row_group_) {
        const std::int64_t rows = std::min(row_group_, end - q);
        const std::int64_t keys = v.visible(q + rows - 1);
        pairs += static_cast<double>(rows * (keys + round_up(keys, ops.lanes)));
      }
    }
  return 2.0 * static_cast<double>(shape.d * shape.h) * pairs;
}

std::vector<std::string> FlashForward::phases() const {
  return {"pack K, V", "load Q", "S = Q K^T", "softmax", "O += P V", "store O"};
}

std::vector<std::size_t> FlashForward::phase_bytes() const {
  const auto per_thread = static_cast<std::size_t>(threads) * sizeof(float);
  return {packed_.bytes(),
          per_thread * floats(q_block_ * q_stride_),
          per_thread * floats(row_group_ * s_stride_),
          per_thread * 2 * floats(q_block_),
          per_thread * floats(q_block_ * o_stride_),
          0};
}

void FlashForward::run(const Operands& io, const std::vector<Visibility>& sees,
                       PhaseProfile* profile) {
  const std::int64_t q_blocks = blocks(shape.q_len, q_block_);
  const std::int64_t group = shape.group();
  const std::size_t head_floats = floats(k_floats_) + floats(v_floats_);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
    const Tiles tiles = carve(carver);
    for (std::int64_t wave = 0; wave < waves_.count(); ++wave) {
      pack_wave(io, sees, wave, profile, thread);  // ends in a barrier
      const std::int64_t heads = waves_.size(wave) * group;
      // Blocks of one index of all heads are neighbours, the last ones first: under a causal mask
      // these see the most keys, and the short ones fill the gaps at the end.
#pragma omp for schedule(dynamic, 1)
      for (std::int64_t i = 0; i < heads * q_blocks; ++i) {
        const std::int64_t packed = i % heads / group;
        const std::int64_t kv_head = wave * waves_.per_wave + packed;
        const std::int64_t b = kv_head / shape.h_kv;
        const std::int64_t first = (q_blocks - 1 - i / heads) * q_block_;
        const float* k_panels =
            packed_.as<float>() + static_cast<std::size_t>(packed) * head_floats;
        attend({&io, &sees[static_cast<std::size_t>(b)], b,
                kv_head % shape.h_kv * group + i % heads % group, first,
                std::min(q_block_, shape.q_len - first), k_panels, k_panels + floats(k_floats_),
                profile, thread},
               tiles);
      }
    }
  }
}

void FlashForward::pack_wave(const Operands& io, const std::vector<Visibility>& sees,
                             std::int64_t wave, PhaseProfile* profile, int thread) {
  const std::int64_t chunks = blocks(shape.kv_len, kv_block_);
  const std::size_t head_floats = floats(k_floats_) + floats(v_floats_);
#pragma omp for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < waves_.size(wave) * chunks; ++i) {
    const PhaseTimer timer(profile, thread, kPack);
    const std::int64_t kv_head = wave * waves_.per_wave + i / chunks;
    const std::int64_t b = kv_head / shape.h_kv, h = kv_head % shape.h_kv;
    const KeptKeys& kept = sees[static_cast<std::size_t>(b)].kept();
    const std::int64_t first = i % chunks * kv_block_;
    const std::int64_t rows = std::min(kv_block_, kept.count() - first);
    if (rows <= 0) continue;
    const std::int32_t* position = kept.positions() == nullptr ? nullptr : kept.positions() + first;
    const std::int64_t from = position == nullptr ? first : 0;
    float* k_panels = packed_.as<float>() + static_cast<std::size_t>(i / chunks) * head_floats;
    ops.pack_panels_transposed(rows_of(io.in->k, b, h, from, position), rows, shape.d, 1.0f,
                               k_panels + first * shape.d);
    ops.pack_panels(rows_of(io.in->v, b, h, from, position), rows, shape.d,
                    k_panels + floats(k_floats_), first, kept.count());
  }
}

/// Algorithm 1 for one block of queries.
void FlashForward::attend(const Item& item, const Tiles& t) const {
  const std::int64_t d = shape.d;
  const std::int64_t kept = item.sees->kept().count();
  {
    const PhaseTimer timer(item.profile, item.thread, kLoadQ);
    ops.pack_rows(rows_of(item.io->in->q, item.b, item.h, item.first_query), item.rows, d,
                  static_cast<float>(scale) * kLog2E, t.q, q_stride_);
    std::fill_n(t.o, item.rows * o_stride_, 0.0f);
    std::fill_n(t.max, item.rows, -kInf);
    std::fill_n(t.sum, item.rows, 0.0f);
  }
  const std::int64_t last_key = item.sees->visible(item.first_query + item.rows - 1);
  for (std::int64_t first_key = 0; first_key < last_key; first_key += kv_block_) {
    for (std::int64_t row = 0; row < item.rows; row += row_group_) {
      const std::int64_t rows = std::min(row_group_, item.rows - row);
      // The last row of the group sees the most; beyond that nothing is computed.
      const std::int64_t visible = item.sees->visible(item.first_query + row + rows - 1);
      const std::int64_t keys = std::min(kv_block_, visible - first_key);
      if (keys <= 0) continue;
      {
        const PhaseTimer timer(item.profile, item.thread, kScores);
        ops.gemm(rows, keys, d, {t.q + row * q_stride_, q_stride_, 1},
                 {item.k_panels + first_key * d, ops.cols, d * ops.cols}, {t.s, s_stride_},
                 Write::kStore);
      }
      absorb_scores(item, t, row, rows, first_key, keys);
      const PhaseTimer timer(item.profile, item.thread, kAccumulate);
      ops.gemm(rows, d, keys, {t.s, s_stride_, 1},
               {item.v_panels + first_key * ops.cols, ops.cols, kept * ops.cols},
               {t.o + row * o_stride_, o_stride_}, Write::kAdd);
    }
  }
  finish(item, t);
}

void FlashForward::absorb_scores(const Item& item, const Tiles& t, std::int64_t row,
                                 std::int64_t rows, std::int64_t first_key,
                                 std::int64_t keys) const {
  const PhaseTimer timer(item.profile, item.thread, kSoftmax);
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t r = row + i;
    const std::int64_t visible =
        std::clamp<std::int64_t>(item.sees->visible(item.first_query + r) - first_key, 0, keys);
    absorb_row(ops, {t.max[r], t.sum[r], t.o + r * o_stride_}, shape.d, t.s + i * s_stride_, keys,
               visible);
  }
}

/// O = O / sum and LSE = ln 2·max + ln sum; 0 and -inf for a row that saw nothing.
void FlashForward::finish(const Item& item, const Tiles& t) const {
  const PhaseTimer timer(item.profile, item.thread, kStore);
  Outputs& out = *item.io->out;
  float* lse = out.lse.as<float>() + out.lse.dims().index(item.b, item.h, item.first_query, 0);
  for (std::int64_t r = 0; r < item.rows; ++r) {
    const bool empty = item.sees->visible(item.first_query + r) == 0;
    lse[r] = empty ? -kInf : t.max[r] * kLn2 + std::log(t.sum[r]);
    ops.row_store(t.o + r * o_stride_, shape.d, empty ? 0.0f : 1.0f / t.sum[r], dtype,
                  row_of(out.o, item.b, item.h, item.first_query + r));
  }
}

}  // namespace flashbench::cpu
