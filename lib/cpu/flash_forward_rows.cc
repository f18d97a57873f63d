#include <algorithm>

#include "cpu/flash_forward.h"
#include "cpu/sink_gradient.h"

// What is done row by row before the blocks of keys and after them.
namespace flashbench::cpu {

/// Rows of Q as an operand: where they lie, or packed.
MatrixA FlashForward::load_queries(const Item& item, const Tiles& t) const {
  const RowSource queries =
      rows_of(item.io->in->q, item.b, item.h, item.part->first_query + item.first_query);
  if (queries_in_place_) return {static_cast<const float*>(queries.base), queries.row_stride, 1};
  const PhaseTimer timer(item.profile, item.thread, kLoadQ, convert(item.rows * shape.d));
  ops.pack_rows(queries, item.rows, shape.d, item.score.sign, t.q, q_stride_);
  return {t.q, q_stride_, 1};
}

/// Rows of V from kept key number `first_key` on as an operand, likewise.
MatrixB FlashForward::values(const Item& item, std::int64_t first_key) const {
  const KeptKeys& kept = item.sees->kept();
  if (values_in_place_) {
    const Inputs& in = *item.io->in;
    const RowMap keys = kept.stored().from(first_key);
    const RowSource v = rows_of(stored_values(in), item.b, item.h / shape.group(),
                                item.part->first_key + keys.first);
    return {static_cast<const float*>(v.base), v.row_stride, ops.cols};
  }
  const std::int64_t keys = std::min(kv_block_, kept.count() - first_key);
  return {item.v_panels + first_key * v_key_, ops.cols, ops.words(keys) * ops.cols};
}

/// O = O / sum and LSE = |scale|·max + ln sum, sink included; 0 and -inf, or the sink, for a row
/// that saw nothing: its sum is 0, where that of any other has its largest P. `keys_of`: what the
/// keys of row r left, whose O is written to.
template <typename KeysOf>
void FlashForward::finish_rows(const Item& item, KeysOf&& keys_of) const {
  Outputs& out = *item.io->out;
  const float* sink = sink_of(*item.io->in, item.h);
  const float descale = item.io->in->v_descale(item.b, item.h / shape.group());
  const std::int64_t first = out.lse.dims().index(item.b, item.h, item.first_query, 0);
  for (std::int64_t r = 0; r < item.rows; ++r) {
    const RowKeys keys = keys_of(r);
    const bool empty = keys.sum == 0.0f;
    const RowEnd end =
        empty ? RowEnd::empty(sink) : item.score.end_of_row(keys.max, keys.sum, sink);
    out.lse.as<float>()[first + r] = end.lse;
    const float factor = end.normalise(ops, keys.o, shape.d_v(), keys.share, descale);
    ops.row_store(keys.o, shape.d_v(), factor, dtype,
                  row_of(out.o, item.b, item.h, item.first_query + r));
    if (maxima_ == nullptr) continue;
    maxima_->max()[first + r] = empty ? 0.0f : keys.max;
    maxima_->log_sum()[first + r] = end.log2_sum();
  }
}

void FlashForward::finish(const Item& item, const Tiles& t) const {
  const PhaseTimer timer(item.profile, item.thread, kStore,
                         convert(item.rows * shape.d_v()) + touch(item.rows));
  finish_rows(item, [&](std::int64_t r) {
    return RowKeys{t.max[r], ops.row_sum(t.sum + r * ops.lanes, ops.lanes), item.share,
                   t.o + r * o_stride_};
  });
}

/// Of rows that earlier parts left in the state.
void FlashForward::finish_carried(const Item& item, const Tiles& t) const {
  const std::int64_t d_v = shape.d_v();
  const PhaseTimer timer(item.profile, item.thread, kStore,
                         convert(item.rows * d_v) + touch(item.rows * (d_v + 3)));
  const RowState& state = *item.part->state;
  finish_rows(item, [&](std::int64_t r) {
    const std::int64_t row = state_row(item, r);
    const float sum = state.sum.as<float>()[row];
    if (sum == 0)
      std::fill_n(t.o, d_v, 0.0f);
    else
      std::copy_n(state.o.as<float>() + row * d_v, d_v, t.o);
    return RowKeys{state.max.as<float>()[row], sum, power_of_two(-exponent_of(sum)), t.o};
  });
}

}  // namespace flashbench::cpu
