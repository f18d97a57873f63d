#include <omp.h>

#include <algorithm>
#include <limits>

#include "cpu/flash_forward.h"

// Rows that go on where earlier keys left them, and their end.
namespace flashbench::cpu {

std::int64_t FlashForward::state_row(const Item& item, std::int64_t row) const {
  return shape.lse_dims().index(item.b, item.h, item.part->first_query + item.first_query + row, 0);
}

/// As reset(), but that rows which have seen keys begin with what these left. All powers of two:
/// nothing is rounded.
void FlashForward::load_state(const Item& item, const Tiles& t) const {
  RowState& state = *item.part->state;
  const std::int64_t d_v = shape.d_v();
  std::fill_n(t.sum, item.rows * ops.lanes, 0.0f);
  for (std::int64_t r = 0; r < item.rows; ++r) {
    const std::int64_t row = state_row(item, r);
    const float sum = state.sum.as<float>()[row];
    float* o = t.o + r * o_stride_;
    t.max[r] = sum == 0 ? kFirstMax : state.max.as<float>()[row];
    t.sum[r * ops.lanes] = sum;
    if (sum == 0)
      std::fill_n(o, o_stride_, 0.0f);
    else
      ops.row_store(state.o.as<float>() + row * d_v, d_v,
                    item.share * power_of_two(exponent_of(sum)), Dtype::kF32, o);
  }
}

void FlashForward::store_state(const Item& item, const Tiles& t) const {
  const PhaseTimer timer(item.profile, item.thread, kStore, touch(item.rows * (shape.d_v() + 2)));
  RowState& state = *item.part->state;
  const std::int64_t d_v = shape.d_v();
  for (std::int64_t r = 0; r < item.rows; ++r) {
    const std::int64_t row = state_row(item, r);
    const float sum = ops.row_sum(t.sum + r * ops.lanes, ops.lanes);
    state.sum.as<float>()[row] = sum;
    if (sum == 0) continue;
    state.max.as<float>()[row] = t.max[r];
    ops.row_store(t.o + r * o_stride_, d_v, power_of_two(-exponent_of(sum)) / item.share,
                  Dtype::kF32, state.o.as<float>() + row * d_v);
  }
}

/// Before the first keys of a group of rows: of those that have seen keys in earlier parts the
/// maximum is no guess, and O is added to. Where the group has rows of either kind, true maxima are
/// computed.
void FlashForward::begin_group(const Tiles& t, std::int64_t row, std::int64_t rows,
                               KeyTile& tile) const {
  if (!tile.is_first) return;
  const auto is_new = [&](std::int64_t r) { return t.sum[r * ops.lanes] == 0; };
  std::int64_t news = 0;
  for (std::int64_t r = row; r < row + rows; ++r) news += is_new(r);
  if (news == rows) return;
  tile.is_first = false;
  tile.is_mixed = news > 0;
  for (std::int64_t r = row; r < row + rows; ++r)
    if (is_new(r)) t.max[r] = -std::numeric_limits<float>::infinity();
}

/// What the P of a row may add up to, once they are none above 1.
float FlashForward::largest_sum(const Item& item) const {
  // With one key, too, more than 1: a share of less is what keeps compute_p from guessing.
  auto largest = static_cast<float>(std::max<std::int64_t>(item.sees->kv_len(), 2));
  if (item.part->state == nullptr) return largest;
  float carried = 0;
  for (std::int64_t r = 0; r < item.rows; ++r)
    carried = std::max(carried, item.part->state->sum.as<float>()[state_row(item, r)]);
  return largest + carried;
}

/// Ends all rows, from `state` to Outputs.
void FlashForward::finish_state(const Operands& io, RowState& state, PhaseProfile* profile) {
  const std::int64_t q_blocks = blocks(shape.q_len, q_block_);
  const PassPart part{.state = &state};
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
    const Tiles t = carve(carver);
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < shape.b * shape.h * q_blocks; ++i) {
      const std::int64_t b = i / q_blocks / shape.h, h = i / q_blocks % shape.h;
      const std::int64_t first = i % q_blocks * q_block_;
      const Item item{
          &io,     nullptr, b,       h,      first, std::min(q_block_, shape.q_len - first),
          nullptr, nullptr, profile, thread, &part, score_.of_head(*io.in, b, h / shape.group())};
      finish_carried(item, t);
    }
  }
}

}  // namespace flashbench::cpu
