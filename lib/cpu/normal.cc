#include "cpu/normal.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "system/interrupt.h"

namespace flashbench::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

constexpr std::int64_t kQueries = 96;   ///< rows of the score matrix per work item
constexpr std::int64_t kKeyStep = 512;  ///< keys per step of P·V: its panel of V stays in L2

}  // namespace

NormalPass::NormalPass(const Problem& p, const Execution& e, const TileOps& operations)
    : AttentionPass(p, e, operations),
      q_block_(std::min(kQueries, round_up(shape.q_len, ops.rows))),
      q_blocks_(blocks(shape.q_len, q_block_)),
      d_stride_(tile_stride(shape.widest_d())),
      matrix_stride_(tile_stride(shape.kv_len)),
      head_floats_(std::max(round_up(shape.kv_len, ops.cols) * ops.words(shape.widest_d()),
                            ops.words(shape.kv_len) * round_up(shape.widest_d(), ops.cols))),
      waves_(shape.b * shape.h_kv, shape.group() * q_blocks_, threads),
      padded_(p.padding != PaddingMask::kNone),
      paged_(p.paged()) {}

std::size_t NormalPass::tile_floats() const { return floats(q_block_ * d_stride_); }

std::size_t NormalPass::workspace_bytes() const {
  const std::size_t positions =
      padded_ || paged_ ? static_cast<std::size_t>(shape.b * shape.kv_len) * sizeof(std::int32_t)
                        : 0;
  return packed_bytes() + tile_bytes() + positions;
}

void NormalPass::allocate() {
  packed_ = Buffer(packed_bytes());
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(tile_floats() * sizeof(float));
}

void NormalPass::load_positions(const std::vector<Visibility>& sees) {
  position_.clear();
  const auto hides = [&](const Visibility& v) { return v.kept().count() != shape.kv_len; };
  if (!padded_ && !paged_ && std::none_of(sees.begin(), sees.end(), hides)) return;
  position_.assign(static_cast<std::size_t>(shape.b * shape.kv_len), -1);
  for (std::int64_t b = 0; b < shape.b; ++b) {
    const KeptKeys& kept = sees[static_cast<std::size_t>(b)].kept();
    for (std::int64_t i = 0; i < kept.count(); ++i) {
      const std::int64_t key = kept.rows().row(i);
      position_[static_cast<std::size_t>(b * shape.kv_len + key)] =
          static_cast<std::int32_t>(kept.stored().row(i));
    }
  }
}

RowSource NormalPass::key_rows(const Tensor& t, std::int64_t kv_head, std::int64_t first) const {
  const std::int64_t b = kv_head / shape.h_kv, h = kv_head % shape.h_kv;
  if (position_.empty()) return rows_of(t, b, h, first);
  return rows_of(t, paged_ ? 0 : b, h, 0, position_.data() + b * shape.kv_len + first);
}

NormalPass::Block NormalPass::block_of(std::int64_t wave, std::int64_t i) {
  const std::int64_t packed = i / q_blocks_ / shape.group();
  const std::int64_t kv_head = wave * waves_.per_wave + packed;
  const std::int64_t first = i % q_blocks_ * q_block_;
  return {kv_head / shape.h_kv,
          kv_head % shape.h_kv * shape.group() + i / q_blocks_ % shape.group(), first,
          std::min(q_block_, shape.q_len - first), panels_of(packed)};
}

void NormalPass::scores_product(const Tensor& left, const Tensor& right, float factor,
                                const ScoreMatrix& m, const Timing& timing) {
  const std::int64_t d = left.dims().d, words = ops.words(d), group = shape.group();
  const std::int64_t chunk = round_up(kKeyStep, ops.cols), chunks = blocks(shape.kv_len, chunk);
  float* a = thread_tile(timing.thread);
  for (std::int64_t wave = 0; wave < waves_.count(); ++wave) {
    const std::int64_t first_head = wave * waves_.per_wave;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < waves_.size(wave) * chunks; ++i) {
      const std::int64_t first = i % chunks * chunk;
      const std::int64_t keys = std::min(chunk, shape.kv_len - first);
      const PhaseTimer timer(timing.profile, timing.thread, timing.pack,
                             convert(keys * d, right.dtype()));
      float* panels = panels_of(i / chunks);
      ops.pack_panels_transposed(key_rows(right, first_head + i / chunks, first), keys, d, 1.0f,
                                 panels + first * words);
    }
    const std::int64_t heads = waves_.size(wave) * group;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < heads * q_blocks_; ++i) {
      if (interrupted()) continue;
      const Block block = block_of(wave, i);
      const PhaseTimer timer(
          timing.profile, timing.thread, timing.product,
          convert(block.rows * d) + product(block.rows, shape.kv_len, d, Write::kStore));
      ops.pack_rows(rows_of(left, block.b, block.h, block.first), block.rows, d, factor, a,
                    d_stride_);
      ops.gemm(block.rows, shape.kv_len, words, {a, d_stride_, 1},
               {block.panels, ops.cols, words * ops.cols},
               {matrix_row(m, block.b, block.h, block.first), m.stride}, Write::kStore, {});
    }
  }
}

void NormalPass::rows_product(const ScoreMatrix& m, const Tensor& right, float factor, Tensor& out,
                              const Timing& timing) {
  const std::int64_t d = out.dims().d, group = shape.group();
  const std::int64_t chunks = blocks(shape.kv_len, kKeyStep);
  float* c = thread_tile(timing.thread);
  for (std::int64_t wave = 0; wave < waves_.count(); ++wave) {
    const std::int64_t first_head = wave * waves_.per_wave;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < waves_.size(wave) * chunks; ++i) {
      const std::int64_t first = i % chunks * kKeyStep;
      const std::int64_t keys = std::min(kKeyStep, shape.kv_len - first);
      const PhaseTimer timer(timing.profile, timing.thread, timing.pack,
                             convert(keys * d, right.dtype()));
      ops.pack_panels(key_rows(right, first_head + i / chunks, first), keys, d,
                      panels_of(i / chunks), first, shape.kv_len);
    }
    const std::int64_t heads = waves_.size(wave) * group;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < heads * q_blocks_; ++i) {
      if (interrupted()) continue;
      const Block block = block_of(wave, i);
      PhaseTimer timer(timing.profile, timing.thread, timing.product, convert(block.rows * d));
      for (std::int64_t key = 0; key < shape.kv_len; key += kKeyStep) {
        const std::int64_t keys = std::min(kKeyStep, shape.kv_len - key);
        const Write write = key == 0 ? Write::kStore : Write::kAdd;
        timer.add(product(block.rows, d, keys, write));
        ops.gemm(block.rows, d, ops.words(keys),
                 {matrix_row(m, block.b, block.h, block.first) + ops.words(key), m.stride, 1},
                 {block.panels + ops.words(key) * ops.cols, ops.cols,
                  ops.words(shape.kv_len) * ops.cols},
                 {c, d_stride_}, write, {});
      }
      for (std::int64_t r = 0; r < block.rows; ++r)
        ops.row_store(c + r * d_stride_, d, factor, dtype,
                      row_of(out, block.b, block.h, block.first + r));
    }
  }
}

NormalForward::NormalForward(const Problem& p, const Execution& e, const TileOps& operations)
    : NormalPass(p, e, operations),
      score_(p),
      positions_(p, ops),
      bias_(p, e, 1, shape.kv_len, BiasTile::Keys::kAll),
      keeps_slopes_(p.needs_gradients() && score_.cap > 0),
      keeps_sink_shares_(p.needs_gradients() && p.sinks != Sinks::kNone) {}

std::size_t NormalForward::workspace_bytes() const {
  return NormalPass::workspace_bytes() + matrices_bytes() + sink_share_bytes() +
         positions_.bytes() + bias_row_bytes();
}

void NormalForward::allocate() {
  NormalPass::allocate();
  buffer_ = Buffer(matrices_bytes());
  sink_share_ = Buffer(sink_share_bytes());
  positions_.allocate();
  positions_.load_all();
  for (int t = 0; t < threads && bias_.wanted(); ++t)
    bias_rows_.emplace_back(bias_row_bytes() / static_cast<std::size_t>(threads));
  p_ = {buffer_.as<float>(), matrix_stride_};
  if (keeps_slopes_)
    slope_ = {buffer_.as<float>() + matrix_bytes() / sizeof(float), matrix_stride_};
}

double NormalForward::flop_executed(const std::vector<Visibility>&) const {
  return 2.0 * static_cast<double>(shape.b * shape.h * shape.q_len) *
         static_cast<double>(shape.kv_len * (shape.d + shape.d_v()));
}

std::vector<std::string> NormalForward::phases() const {
  return {"pack K, V", "S = Q K^T", "softmax", "O = P V"};
}

std::vector<std::size_t> NormalForward::phase_bytes() const {
  return {packed_bytes(), matrix_bytes(),
          (keeps_slopes_ ? matrix_bytes() : 0) + sink_share_bytes() + positions_.bytes() +
              bias_row_bytes(),
          tile_bytes()};
}

void NormalForward::run(const Operands& io, const std::vector<Visibility>& sees,
                        PhaseProfile* profile) {
  load_positions(sees);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    scores_product(io.in->q, stored_keys(*io.in), score_.sign, p_, {profile, thread, 0, 1});
    softmax(io, sees, profile, thread);
    rows_product(p_, stored_values(*io.in), 1.0f, io.out->o, {profile, thread, 0, 3});
  }
}

/// Changes products to scores where that is asked for, overwrites hidden ones with -inf, then
/// softmax in place.
void NormalForward::softmax(const Operands& io, const std::vector<Visibility>& sees,
                            PhaseProfile* profile, int thread) {
  const std::int64_t kv_len = shape.kv_len;
  float* bias_row =
      bias_rows_.empty() ? nullptr : bias_rows_[static_cast<std::size_t>(thread)].as<float>();
#pragma omp for schedule(dynamic, 16)
  for (std::int64_t row = 0; row < shape.b * shape.h * shape.q_len; ++row) {
    const PhaseTimer timer(profile, thread, 2,
                           touch((keeps_slopes_ ? 3 : 2) * kv_len) + bias_.cost(1, kv_len));
    const std::int64_t b = row / (shape.h * shape.q_len), h = row / shape.q_len % shape.h;
    const std::int64_t q = row % shape.q_len;
    const Visibility& v = sees[static_cast<std::size_t>(b)];
    const ScoreFactor head = score_.of_head(*io.in, b, h / shape.group());
    float* s = p_.data + row * p_.stride;
    const KeyRange seen = v.keys(q);
    float* slope = keeps_slopes_ ? slope_.data + row * slope_.stride : nullptr;
    if (seen.empty()) {
      if (slope != nullptr) std::fill_n(slope, kv_len, 0.0f);
    } else if (head.changes()) {
      const BiasRows bias = bias_.load(*io.in, b, h, q, 1, {}, kv_len, bias_row);
      ops.row_score(s, kv_len, head.row(*io.in, b, h, v.own_key(q), positions_.of(b), bias), slope);
    }
    hide(v, seen, s);
    store_row(io, row, head, s);
  }
}

/// -inf for the keys that a row of scores does not see.
void NormalForward::hide(const Visibility& v, KeyRange seen, float* s) const {
  if (const RowMap map = v.kept().rows(); map.rows == nullptr) {
    std::fill(s, s + map.row(seen.begin), -kInf);
    std::fill(s + map.row(seen.end), s + shape.kv_len, -kInf);
    return;
  }
  for (std::int64_t key = 0; key < shape.kv_len; ++key) {
    const bool visible = v.kept().holds(key) && seen.holds(v.kept().before(key));
    s[key] = visible ? s[key] : -kInf;
  }
}

/// P of a row of scores, times the descale of V, as a row of an A operand: 0 where all are -inf.
/// LSE from the maximum and the sum, sink included. `head`: of its head.
void NormalForward::store_row(const Operands& io, std::int64_t row, const ScoreFactor& head,
                              float* s) {
  const std::int64_t kv_len = shape.kv_len;
  const std::int64_t b = row / (shape.h * shape.q_len), h = row / shape.q_len % shape.h;
  const float* sink = sink_of(*io.in, h);
  const float max = ops.row_max(s, kv_len);
  const float sum = ops.row_exp2(s, kv_len, max == -kInf ? 0.0f : max, head.factor);
  if (sum == 0.0f) {
    ops.row_to_operand(s, kv_len);
    io.out->lse.as<float>()[row] = RowEnd::empty(sink).lse;
    if (keeps_sink_shares_) sink_share_.as<float>()[row] = 1;
    return;
  }
  const RowEnd end = head.end_of_row(max, sum, sink);
  const float descale = io.in->v_descale(b, h / shape.group());
  ops.row_scale(s, kv_len, end.normalise(ops, s, kv_len, 1, descale));
  ops.row_to_operand(s, kv_len);
  io.out->lse.as<float>()[row] = end.lse;
  if (keeps_sink_shares_)
    sink_share_.as<float>()[row] = static_cast<float>(head.sink_share(*sink, max, end.log2_sum()));
}

}  // namespace flashbench::cpu
