#include <cstring>

#include "cpu/flash_backward.h"

// What is done row by row before the blocks of keys and after them, and dbias, which has rows of
// its own.
namespace flashbench::cpu {

/// D = rowsum(dO∘O), dQ = 0 and the rows' parts in dsinks.
void FlashBackward::begin_rows(const Operands& io, const Tiles& t, PhaseProfile* profile,
                               int thread) {
  const Dims all_blocks = query_block_dims();
#pragma omp for schedule(static) nowait
  for (std::int64_t block = 0; block < all_blocks.all_rows(); ++block) {
    const auto [b, h, q_block] = all_blocks.place(block);
    const std::int64_t first = q_block * q_block_;
    const std::int64_t rows = std::min(q_block_, shape.q_len_of(b) - first);
    const PhaseTimer timer(profile, thread, kRows,
                           convert(2 * rows * shape.d_v()) + touch(rows * (shape.d + 3)));
    const std::int64_t row = query_row(b, h, first);
    for (std::int64_t r = 0; r < rows; ++r) {
      const double d =
          ops.row_dot(as_f32(rows_of(io.out->o, b, h, first + r), t.o_row),
                      as_f32(rows_of(io.in->d_o, b, h, first + r), t.d_o), shape.d_v());
      if (const float* sink = sink_of(*io.in, h); sink != nullptr)
        sink_gradient_.set(
            row + r, score_.sink_share(*sink, maxima_.max()[row + r], maxima_.log_sum()[row + r]),
            d);
      const auto [high, low] = split(d);
      delta_[row + r] = high;
      delta_low_[row + r] = low;
    }
    std::fill_n(dq_ + row * dq_stride_, rows * dq_stride_, 0.0f);
  }
}

/// Whose turn it is first, dbias = 0, and dK = dV = 0 where the padding mask hides keys, since no
/// block will write there. Ends in a barrier.
void FlashBackward::begin_keys(const Operands& io, const std::vector<Visibility>& sees,
                               const PassPart& part, PhaseProfile* profile, int thread) {
  const Dims all_blocks = query_block_dims();
#pragma omp for schedule(static) nowait
  for (std::int64_t block = 0; block < (in_order_ ? all_blocks.all_rows() : 0); ++block) {
    const auto [b, h, q_block] = all_blocks.place(block);
    const Visibility& v = sees[static_cast<std::size_t>(b)];
    if (q_block * q_block_ < v.q_len())
      accumulator_.begin_with(block, keys_of(v, q_block).begin / kv_block_);
  }
#pragma omp for schedule(static) nowait
  for (std::int64_t part_of = 0; part_of < bias_gradient_.parts(); ++part_of) {
    const PhaseTimer timer(profile, thread, kRows, touch(bias_gradient_.elements(part_of)));
    bias_gradient_.clear(part_of, io.out->dbias);
  }
#pragma omp for schedule(static)
  for (std::int64_t i = 0; i < (part.sums == nullptr ? shape.b * shape.h_kv : 0); ++i) {
    const std::int64_t b = i / shape.h_kv, kv_len = shape.kv_len_of(b);
    if (sees[static_cast<std::size_t>(b)].kept().count() == kv_len) continue;
    for (Tensor* gradient : {&io.out->dk, &io.out->dv})
      std::memset(row_of(*gradient, b, i % shape.h_kv, 0), 0,
                  static_cast<std::size_t>(kv_len * gradient->dims().d) * size_bytes(dtype));
  }
}

/// The first row of `src`, of O or dO, in f32: where it lies, or a copy.
const float* FlashBackward::as_f32(const RowSource& src, float* copy) const {
  if (dtype == Dtype::kF32) return reinterpret_cast<const float*>(src.base);
  f32_ops_.pack_rows(src, 1, shape.d_v(), 1.0f, copy, v_stride_);
  return copy;
}

/// Rows of dK and dV go to where the kept keys lie in the tensors, or in the sums.
void FlashBackward::store_dk_dv(const Item& item, const Tiles& t) const {
  const PhaseTimer timer(item.profile, item.thread, kStore,
                         convert(item.keys * (shape.d + shape.d_v())));
  KeySums* const sums = item.part->sums;
  Tensor& dk = sums == nullptr ? item.io->out->dk : sums->dk;
  Tensor& dv = sums == nullptr ? item.io->out->dv : sums->dv;
  const std::int64_t first_row = sums == nullptr ? 0 : sums->first;
  const float factor = sums == nullptr ? static_cast<float>(scale) : 1.0f;
  for (std::int64_t r = 0; r < item.keys; ++r) {
    const std::int64_t row = first_row + item.sees->kept().rows().row(item.first_key + r);
    ops.row_store(t.dk + r * d_stride_, shape.d, factor, dk.dtype(),
                  row_of(dk, item.b, item.kv_head, row));
    ops.row_store(t.dv + r * v_stride_, shape.d_v(), 1.0f, dv.dtype(),
                  row_of(dv, item.b, item.kv_head, row));
  }
}

/// Stores dQ, dsinks, and dbias where it is not f32.
void FlashBackward::end_rows(const Operands& io, PhaseProfile* profile, int thread) const {
  sink_gradient_.store(io.out->dsinks);
  const Dims all_blocks = query_block_dims();
#pragma omp for schedule(static)
  for (std::int64_t i = 0; i < all_blocks.all_rows(); ++i) {
    const auto [b, h, q_block] = all_blocks.place(i);
    const std::int64_t first = q_block * q_block_;
    const std::int64_t rows = std::min(q_block_, shape.q_len_of(b) - first);
    const PhaseTimer timer(profile, thread, kStore, convert(rows * shape.d));
    for (std::int64_t q = first; q < first + rows; ++q)
      ops.row_store(dq_ + query_row(b, h, q) * dq_stride_, shape.d, static_cast<float>(scale),
                    dtype, row_of(io.out->dq, b, h, q));
  }
#pragma omp for schedule(static)
  for (std::int64_t part = 0; part < bias_gradient_.parts_to_store(); ++part) {
    const PhaseTimer timer(profile, thread, kStore, convert(bias_gradient_.elements(part)));
    bias_gradient_.store(part, ops, io.out->dbias);
  }
}

/// dbias += dS, before the slope.
void FlashBackward::add_bias_gradient(const Item& item, const QueryTile& q, const Tiles& t) {
  if (!bias_gradient_.wanted()) return;
  const PhaseTimer timer(item.profile, item.thread, kDs, touch(3 * q.rows * q.keys));
  bias_gradient_.add(
      {item.b, q.h, q.block, item.key_block, q.rows, keeps_dscores() ? t.bias : t.ds_rows,
       p_stride_, item.sees->kept().rows().from(item.first_key)},
      q.sees, ops, item.io->out->dbias);
}

}  // namespace flashbench::cpu
