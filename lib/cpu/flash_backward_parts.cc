#include <omp.h>

#include <algorithm>

#include "cpu/flash_backward.h"

// What all parts of a backward have in common, and sums that go from part to part.
namespace flashbench::cpu {

void FlashBackward::begin(const Operands& io, PhaseProfile* profile) {
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    begin_rows(io, tiles_of(thread), profile, thread);
  }
}

void FlashBackward::end(const Operands& io, PhaseProfile* profile) {
#pragma omp parallel num_threads(threads)
  end_rows(io, profile, omp_get_thread_num());
}

/// dK and dV go on where earlier parts left them.
void FlashBackward::load_dk_dv(const Item& item, const Tiles& t) const {
  KeySums& sums = *item.part->sums;
  for (std::int64_t r = 0; r < item.keys; ++r) {
    const std::int64_t row = sums.first + item.sees->kept().rows().row(item.first_key + r);
    std::copy_n(static_cast<const float*>(row_of(sums.dk, item.b, item.kv_head, row)), shape.d,
                t.dk + r * d_stride_);
    std::copy_n(static_cast<const float*>(row_of(sums.dv, item.b, item.kv_head, row)), shape.d_v(),
                t.dv + r * v_stride_);
  }
}

void FlashBackward::store_keys(const KeySums& sums, RowRange keys, Outputs& out) {
  const auto store = [&](const Tensor& sum, float factor, Tensor& to, std::int64_t head,
                         std::int64_t row) {
    const std::int64_t b = head / shape.h_kv, h = head % shape.h_kv;
    const std::int64_t from = sum.dims().index(b, h, sums.first + row, 0);
    ops.row_store(sum.as<float>() + from, sum.dims().d, factor, dtype,
                  row_of(to, b, h, keys.first + row));
  };
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < shape.b * shape.h_kv * keys.count; ++i) {
    const std::int64_t head = i / keys.count, row = i % keys.count;
    store(sums.dk, static_cast<float>(scale), out.dk, head, row);
    store(sums.dv, 1.0f, out.dv, head, row);
  }
}

}  // namespace flashbench::cpu
