#include "data/outputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "data/input_files.h"
#include "data/layout.h"
#include "data/safetensors.h"
#include "sweep/field.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

/// The axes of a tensor in a file: all four, all but d (LSE), h alone (dsinks); or q_len and kv_len
/// in the place of row and d, which no layout exchanges (a bias, dbias).
enum class Axes { kAll, kRows, kHeads, kPairs };

Layout layout_of(const Problem& p, Axes axes) {
  return axes == Axes::kPairs ? Layout::kBhsd : p.files.layout;
}

/// The shape in a file: [b, h, row, d] or [b, row, h, d], of a ragged batch [row, h, d], or what
/// `axes` leaves of it.
std::vector<std::int64_t> file_shape(const Problem& p, const Dims& dims, Axes axes) {
  if (axes == Axes::kHeads) return {dims.h};
  std::vector<std::int64_t> shape = {dims.b, dims.h, dims.rows, dims.d};
  if (dims.first_row != nullptr)
    shape = {dims.rows_before(dims.b), dims.h, dims.d};
  else if (layout_of(p, axes) == Layout::kBshd)
    std::swap(shape[1], shape[2]);
  if (axes == Axes::kRows) shape.pop_back();
  return shape;
}

/// "; ..." where a tensor has the elements of the shape that is wanted, in another order.
std::string reordered_hint(const std::vector<std::int64_t>& have,
                           const std::vector<std::int64_t>& want) {
  const auto count = [](const std::vector<std::int64_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  };
  for (std::size_t axis = 1; axis < want.size(); ++axis) {
    std::vector<std::int64_t> swapped = want;
    std::swap(swapped[axis - 1], swapped[axis]);
    if (have == swapped)
      return fmt::format("; axes {} and {} are swapped: transpose it", axis - 1, axis);
  }
  return count(have) == count(want) ? "; it has as many elements: reshape it" : "";
}

/// A result in its own dtype or in f32.
Tensor read_output(const TensorFile& file, const StoredTensor& stored, const Problem& p, Dtype own,
                   const Dims& dims, Axes axes) {
  const std::optional<Dtype> dtype = dtype_of(stored.element);
  const DtypeSet right = {Dtype::kF32, own};
  if (!dtype || !right.has(*dtype)) {
    std::vector<std::string_view> names;
    for (const Dtype t : kDtypes)
      if (right.has(t)) names.push_back(name(t));
    throw UsageError(fmt::format("{} holds {}; it must be {}", file.label(stored),
                                 stored.dtype_text, fmt::join(names, " or ")));
  }
  const std::vector<std::int64_t> want = file_shape(p, dims, axes);
  std::vector<std::int64_t> have = stored.shape;
  if (axes == Axes::kRows && have.size() == want.size() + 1 && have.back() == 1) have.pop_back();
  if (have != want)
    throw UsageError(fmt::format("{} has shape {}; this problem's must be {}{}", file.label(stored),
                                 shape_text(stored.shape), shape_text(want),
                                 axes == Axes::kPairs ? ""
                                 : dims.first_row != nullptr
                                     ? " ([rows of all sequences, h, ...])"
                                     : fmt::format(" (--layout {})", name(p.files.layout))) +
                     reordered_hint(have, want));
  Tensor t(*dtype, dims);
  read_tensor(file, stored, layout_of(p, axes), t);
  return t;
}

/// A tensor that stays where it is until it is written.
TensorToWrite to_write(const char* name, const Problem& p, const Tensor& t, Axes axes) {
  const Layout layout = layout_of(p, axes);
  return {name, t.dtype(), file_shape(p, t.dims(), axes),
          [&t, layout](const ByteSink& sink) { write_tensor(t, layout, sink); }};
}

TensorToWrite integers(const char* name, std::vector<std::int32_t> x,
                       std::vector<std::int64_t> shape) {
  return {name, OtherElement::kI32, std::move(shape),
          [x = std::move(x)](const ByteSink& sink) { sink(std::as_bytes(std::span(x))); }};
}

/// In the place of K and V.
void add_pages(const Problem& p, const Inputs& in, std::vector<TensorToWrite>& tensors) {
  for (const auto& [name, pool] :
       {std::pair(kKPagesName, &in.pages.k), {kVPagesName, &in.pages.v}}) {
    if (pool->empty()) continue;
    const Dims& dims = pool->dims();
    tensors.push_back(
        {name,
         pool->dtype(),
         {dims.b, dims.rows, dims.h, dims.d},
         [pool = pool](const ByteSink& sink) { write_tensor(*pool, Layout::kBshd, sink); }});
  }
  const std::vector<std::int32_t>& table = in.pages.block_table;
  const std::int64_t b = p.shape.b;
  tensors.push_back(
      integers(kBlockTableName, table, {b, static_cast<std::int64_t>(table.size()) / b}));
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < b; ++i)
    lengths.push_back(static_cast<std::int32_t>(p.shape.kv_len_of(i)));
  tensors.push_back(integers(kKvLensName, std::move(lengths), {b}));
}

}  // namespace

void write_inputs(const std::string& path, const Problem& p, const Inputs& in) {
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const char* name, const Tensor& t, Axes axes = Axes::kAll) {
    if (!t.empty()) tensors.push_back(to_write(name, p, t, axes));
  };
  add("q", in.q);
  if (in.pages.empty()) {
    add("k", in.k);
    if (!p.v_in_k) add("v", in.v);
  } else {
    add_pages(p, in, tensors);
  }
  add("do", in.d_o);
  add("bias", in.bias, Axes::kPairs);
  if (!in.key_mask.empty())
    tensors.push_back(
        {"mask", OtherElement::kU8, {p.shape.b, p.shape.kv_len}, [&in](const ByteSink& sink) {
           sink(std::as_bytes(std::span(in.key_mask)));
         }});
  const auto add_numbers = [&](const char* name, const std::vector<float>& x,
                               std::vector<std::int64_t> shape) {
    if (!x.empty())
      tensors.push_back({name, Dtype::kF32, std::move(shape),
                         [&x](const ByteSink& sink) { sink(std::as_bytes(std::span(x))); }});
  };
  if (const Sequences* sequences = p.shape.sequences)
    for (const auto& [name, ends] : {std::pair(kFirstQueryName, sequences->first_query()),
                                     {kFirstKeyName, sequences->first_key()}})
      tensors.push_back(
          integers(name, {ends.begin(), ends.end()}, {static_cast<std::int64_t>(ends.size())}));
  add_numbers("sinks", in.sinks, {p.shape.h});
  add_numbers("alibi_slopes", in.alibi_slopes, {p.shape.b, p.shape.h});
  add_numbers(kKScaleName, in.k_scale, {p.shape.b, p.shape.h_kv});
  if (!p.v_in_k) add_numbers(kVScaleName, in.v_scale, {p.shape.b, p.shape.h_kv});
  write_safetensors(path, std::move(tensors),
                    {{"producer", "flashbench"}, {"workload", sweep::flags(p)}});
}

void write_outputs(const std::string& path, const Problem& p, const Outputs& out, Pass pass) {
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const char* name, const Tensor& t, Axes axes = Axes::kAll) {
    tensors.push_back(to_write(name, p, t, axes));
  };
  add("o", out.o);
  add("lse", out.lse, Axes::kRows);
  if (pass != Pass::kForward) {
    add("dq", out.dq);
    add("dk", out.dk);
    add("dv", out.dv);
    if (!out.dsinks.empty()) add("dsinks", out.dsinks, Axes::kHeads);
    if (!out.dbias.empty()) add("dbias", out.dbias, Axes::kPairs);
  }
  write_safetensors(path, std::move(tensors),
                    {{"producer", "flashbench"}, {"workload", sweep::flags(p)}});
}

Outputs read_outputs(const std::string& path, const Problem& p, const OutputNames& names) {
  const TensorFile file = open_safetensors(path);
  Outputs out;
  const auto read = [&](const std::string& name, Dtype dtype, const Dims& dims, Tensor& to,
                        Axes axes = Axes::kAll) {
    if (const StoredTensor* stored = file.find(name))
      to = read_output(file, *stored, p, dtype, dims, axes);
  };
  const Shape& s = p.shape;
  read(names.o, p.dtype, s.o_dims(), out.o);
  read(names.lse, Dtype::kF32, s.lse_dims(), out.lse, Axes::kRows);
  read(names.dq, p.dtype, s.q_dims(), out.dq);
  read(names.dk, p.kv_dtype(), s.k_dims(), out.dk);
  read(names.dv, p.kv_dtype(), s.v_dims(), out.dv);
  // Of what the problem lacks there is no gradient.
  const auto require = [&](bool has, const std::string& name, const char* what) {
    if (!has && file.find(name) != nullptr)
      throw UsageError(
          fmt::format("{}: there is {}, but the problem has no {}; give it to --{}, or put it into "
                      "--input",
                      escape(path), quote(name), what, what));
    return has;
  };
  if (require(p.sinks != Sinks::kNone, names.dsinks, "sinks"))
    read(names.dsinks, Dtype::kF32, s.sink_dims(), out.dsinks, Axes::kHeads);
  if (require(p.bias != Bias::kNone, names.dbias, "bias"))
    read(names.dbias, p.bias_dtype(), p.bias_dims(), out.dbias, Axes::kPairs);
  if (out.o.empty() && out.lse.empty() && out.dq.empty() && out.dk.empty() && out.dv.empty() &&
      out.dsinks.empty() && out.dbias.empty())
    throw UsageError(fmt::format("{}: none of {}, {}, {}, {}, {}, {}, {} is there; it holds {}",
                                 escape(path), quote(names.o), quote(names.lse), quote(names.dq),
                                 quote(names.dk), quote(names.dv), quote(names.dsinks),
                                 quote(names.dbias), file.names()));
  return out;
}

}  // namespace flashbench::data
