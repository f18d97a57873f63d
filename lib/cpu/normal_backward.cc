#include <omp.h>

#include <algorithm>

#include "cpu/normal.h"
#include "system/interrupt.h"

namespace flashbench::cpu {
namespace {

enum Phase : std::size_t { kPack, kScores, kSoftmax, kDq, kDkDv };

// Keys per work item of dK and dV, as in flash.
constexpr std::int64_t kKeys = 192;

}  // namespace

NormalBackward::KeyTiles NormalBackward::carve(Carver& carver) const {
  const std::int64_t d_panels = round_up(shape.widest_d(), ops.cols);
  KeyTiles t{};
  t.dk = carver.take(kKeys * d_stride_);
  t.dv = carver.take(kKeys * d_stride_);
  t.q_panels = carver.take(q_block_ * d_panels);
  t.do_panels = carver.take(q_block_ * d_panels);
  return t;
}

std::size_t NormalBackward::workspace_bytes() const {
  Carver sizes;
  carve(sizes);
  return NormalPass::workspace_bytes() + matrix_bytes() + sink_gradient_.bytes() +
         static_cast<std::size_t>(threads) * (sizes.bytes() + bias_row_bytes());
}

void NormalBackward::allocate() {
  NormalPass::allocate();
  buffer_ = Buffer(matrix_bytes());
  sink_gradient_.allocate();
  ds_ = {buffer_.as<float>(), matrix_stride_};
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) key_tiles_.emplace_back(sizes.bytes());
  for (int t = 0; t < threads && bias_dims_.count() != 0; ++t)
    bias_rows_.emplace_back(bias_row_bytes());
}

double NormalBackward::flop_executed(const std::vector<Visibility>&) const {
  return 4.0 * static_cast<double>(shape.b * shape.h * shape.q_len) *
         static_cast<double>(shape.kv_len * (shape.d + shape.d_v()));
}

std::vector<std::string> NormalBackward::phases() const {
  return {"pack", "dP = dO V^T", "dS = P (dP - rowsum(P dP))", "dQ = dS K",
          "dV = P^T dO, dK = dS^T Q"};
}

std::vector<std::size_t> NormalBackward::phase_bytes() const {
  Carver sizes;
  carve(sizes);
  return {packed_bytes(), matrix_bytes(),
          sink_gradient_.bytes() + static_cast<std::size_t>(threads) * bias_row_bytes(),
          tile_bytes(), static_cast<std::size_t>(threads) * sizes.bytes()};
}

void NormalBackward::run(const Operands& io, const std::vector<Visibility>& sees,
                         PhaseProfile* profile) {
  load_positions(sees);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    scores_product(io.in->d_o, io.in->v, 1.0f, ds_, {profile, thread, kPack, kScores});
    scores_gradient(io, profile, thread);
    rows_product(ds_, io.in->k, static_cast<float>(scale), io.out->dq,
                 {profile, thread, kPack, kDq});
    key_gradients(io, sees, profile, thread);
    sink_gradient_.store(io.out->dsinks);
  }
}

/// dS of all rows in place of dP, those that share a row of the bias one after the other where its
/// gradient is wanted.
void NormalBackward::scores_gradient(const Operands& io, PhaseProfile* profile, int thread) {
  const bool slopes = forward_.slopes().data != nullptr, of_bias = bias_dims_.count() != 0;
  const std::int64_t rows = shape.b * shape.h * shape.q_len;
  const std::int64_t items = of_bias ? bias_dims_.b * bias_dims_.h * shape.q_len : rows;
  float* dbias = of_bias ? bias_rows_[static_cast<std::size_t>(thread)].as<float>() : nullptr;
#pragma omp for schedule(dynamic, 16)
  for (std::int64_t i = 0; i < items; ++i) {
    const PhaseTimer timer(
        profile, thread, kSoftmax,
        touch(((slopes ? 5 : 3) + (of_bias ? 2 : 0)) * (rows / items) * shape.kv_len));
    if (of_bias)
      bias_row_gradient(io, i, dbias);
    else
      row_gradient(i, nullptr);
  }
}

/// A row of dbias: the sum of dS of its rows, in the order of their numbers.
void NormalBackward::bias_row_gradient(const Operands& io, std::int64_t row, float* dbias) {
  const std::int64_t q = row % shape.q_len, slice = row / shape.q_len;
  const std::int64_t of_b = slice / bias_dims_.h, of_h = slice % bias_dims_.h;
  const bool one_batch = bias_dims_.b == 1, one_head = bias_dims_.h == 1;
  std::fill_n(dbias, shape.kv_len, 0.0f);
  for (std::int64_t b = one_batch ? 0 : of_b; b < (one_batch ? shape.b : of_b + 1); ++b)
    for (std::int64_t h = one_head ? 0 : of_h; h < (one_head ? shape.h : of_h + 1); ++h)
      row_gradient((b * shape.h + h) * shape.q_len + q, dbias);
  ops.row_store(dbias, shape.kv_len, 1.0f, bias_dtype_, row_of(io.out->dbias, of_b, of_h, q));
}

/// dS = P∘(dP - rowsum(P∘dP)) in place of dP, times the slope of a soft cap; the row's part in
/// dsinks, and in a row of dbias, if there is one.
void NormalBackward::row_gradient(std::int64_t row, float* dbias) {
  const ScoreMatrix &p = forward_.probabilities(), &slope = forward_.slopes();
  const float* p_row = p.data + row * p.stride;
  float* ds_row = ds_.data + row * ds_.stride;
  const double d = ops.row_dot(p_row, ds_row, shape.kv_len);
  ops.row_dscores(ds_row, p_row, shape.kv_len, d);
  if (sink_gradient_.wanted())
    sink_gradient_.set(row, static_cast<double>(forward_.sink_shares()[row]), d);
  if (dbias != nullptr) ops.row_add(dbias, ds_row, shape.kv_len);
  if (slope.data != nullptr)
    ops.row_multiply(ds_row, slope.data + row * slope.stride, shape.kv_len);
}

/// dV = Pᵀ·dO and dK = scale·dSᵀ·Q, summed over the query heads of a group; 0 for hidden keys.
void NormalBackward::key_gradients(const Operands& io, const std::vector<Visibility>& sees,
                                   PhaseProfile* profile, int thread) {
  const std::int64_t d = shape.d, d_v = shape.d_v(), cols = ops.cols;
  const std::int64_t key_blocks = blocks(shape.kv_len, kKeys);
  const ScoreMatrix& p = forward_.probabilities();
  Carver carver(key_tiles_[static_cast<std::size_t>(thread)].as<float>());
  const KeyTiles t = carve(carver);
#pragma omp for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < shape.b * shape.h_kv * key_blocks; ++i) {
    PhaseTimer timer(profile, thread, kDkDv);
    const std::int64_t b = i / key_blocks / shape.h_kv, kv_head = i / key_blocks % shape.h_kv;
    const std::int64_t first_key = i % key_blocks * kKeys;
    const std::int64_t keys = std::min(kKeys, shape.kv_len - first_key);
    std::fill_n(t.dk, keys * d_stride_, 0.0f);
    std::fill_n(t.dv, keys * d_stride_, 0.0f);
    for (std::int64_t j = 0; j < shape.group() * q_blocks_ && !interrupted(); ++j) {
      const std::int64_t h = kv_head * shape.group() + j / q_blocks_;
      const std::int64_t first = j % q_blocks_ * q_block_;
      const std::int64_t rows = std::min(q_block_, shape.q_len - first);
      timer.add(convert(rows * (d + d_v)) + product(keys, d, rows, Write::kAdd) +
                product(keys, d_v, rows, Write::kAdd));
      ops.pack_panels(rows_of(io.in->q, b, h, first), rows, d, t.q_panels, 0, rows);
      ops.pack_panels(rows_of(io.in->d_o, b, h, first), rows, d_v, t.do_panels, 0, rows);
      ops.gemm(keys, d_v, rows, {matrix_row(p, b, h, first) + first_key, 1, p.stride},
               {t.do_panels, cols, rows * cols}, {t.dv, d_stride_}, Write::kAddShortSums, {});
      ops.gemm(keys, d, rows, {matrix_row(ds_, b, h, first) + first_key, 1, ds_.stride},
               {t.q_panels, cols, rows * cols}, {t.dk, d_stride_}, Write::kAdd, {});
    }
    timer.add(convert(keys * (d + d_v)));
    const KeptKeys& kept = sees[static_cast<std::size_t>(b)].kept();
    for (std::int64_t r = 0; r < keys; ++r) {
      const std::int64_t key = first_key + r;
      const float keep = kept.holds(key) ? 1.0f : 0.0f;
      ops.row_store(t.dk + r * d_stride_, d, keep * static_cast<float>(scale), dtype,
                    row_of(io.out->dk, b, kv_head, key));
      ops.row_store(t.dv + r * d_stride_, d_v, keep, dtype, row_of(io.out->dv, b, kv_head, key));
    }
  }
}

}  // namespace flashbench::cpu
