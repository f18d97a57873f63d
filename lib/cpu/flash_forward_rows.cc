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

void FlashForward::finish(const Item& item, const Tiles& t) const {
  const PhaseTimer timer(item.profile, item.thread, kStore,
                         convert(item.rows * shape.d_v()) + touch(item.rows));
  for (std::int64_t r = 0; r < item.rows; ++r)
    finish_row(item, r, t.max[r], ops.row_sum(t.sum + r * ops.lanes, ops.lanes), item.share,
               t.o + r * o_stride_);
}

/// O = O / sum and LSE = |scale|·max + ln sum, sink included; 0 and -inf, or the sink, for a row
/// that saw nothing: its sum is 0, where that of any other has its largest P. `o`: O times `share`,
/// and is written to.
void FlashForward::finish_row(const Item& item, std::int64_t row, float max, float sum, float share,
                              float* o) const {
  Outputs& out = *item.io->out;
  const float* sink = sink_of(*item.io->in, item.h);
  const std::int64_t query = item.first_query + row;
  const std::int64_t to = out.lse.dims().index(item.b, item.h, query, 0);
  const bool empty = sum == 0.0f;
  const RowEnd end = empty ? RowEnd::empty(sink) : item.score.end_of_row(max, sum, sink);
  out.lse.as<float>()[to] = end.lse;
  const float descale = item.io->in->v_descale(item.b, item.h / shape.group());
  const float factor = end.normalise(ops, o, shape.d_v(), share, descale);
  ops.row_store(o, shape.d_v(), factor, dtype, row_of(out.o, item.b, item.h, query));
  if (maxima_ == nullptr) return;
  maxima_->max()[to] = empty ? 0.0f : max;
  maxima_->log_sum()[to] = end.log2_sum();
}

}  // namespace flashbench::cpu
