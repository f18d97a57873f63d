#include "core/batch_element.h"

namespace flashbench {
namespace {

/// Row b of [b, columns]; nothing of nothing.
template <typename T>
std::vector<T> row_of(const std::vector<T>& all, std::int64_t b, std::int64_t columns) {
  if (all.empty()) return {};
  const auto first = all.begin() + static_cast<std::ptrdiff_t>(b * columns);
  return {first, first + static_cast<std::ptrdiff_t>(columns)};
}

}  // namespace

Tensor batch_element(Tensor& t, std::int64_t b) {
  if (t.empty()) return {};
  const Dims& dims = t.dims();
  const auto offset =
      static_cast<std::size_t>(dims.h * dims.rows_before(b) * dims.d) * size_bytes(t.dtype());
  return {t.dtype(), {1, dims.h, dims.rows_of(b), dims.d}, t.as<std::byte>() + offset};
}

Inputs batch_element(const Problem& p, const Inputs& in, std::int64_t b) {
  const auto element = [b](const Tensor& t) { return batch_element(const_cast<Tensor&>(t), b); };
  Inputs one;
  one.q = element(in.q);
  one.k = element(in.k);
  one.v = element(in.v);
  one.d_o = element(in.d_o);
  one.sinks = in.sinks;
  one.alibi_slopes = row_of(in.alibi_slopes, b, p.shape.h);
  if (!in.pages.empty()) {
    const auto whole = [](const Tensor& t) {
      return Tensor(t.dtype(), t.dims(), const_cast<void*>(t.data()));
    };
    const auto most = static_cast<std::int64_t>(in.pages.block_table.size()) / p.shape.b;
    one.pages = {whole(in.pages.k), whole(in.pages.v), row_of(in.pages.block_table, b, most)};
  }
  one.v_in_k = in.v_in_k;
  one.k_scale = row_of(in.k_scale, b, p.shape.h_kv);
  one.v_scale = row_of(in.v_scale, b, p.shape.h_kv);
  return one;
}

Outputs batch_element(Outputs& out, std::int64_t b) {
  Outputs one;
  one.o = batch_element(out.o, b);
  one.lse = batch_element(out.lse, b);
  one.dq = batch_element(out.dq, b);
  one.dk = batch_element(out.dk, b);
  one.dv = batch_element(out.dv, b);
  return one;
}

}  // namespace flashbench
