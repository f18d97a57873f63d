#include "data/outputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/layout.h"
#include "data/safetensors.h"
#include "sweep/field.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

/// The shape in a file: [b, h, row, d] or [b, row, h, d], without d for LSE.
std::vector<std::int64_t> file_shape(const Dims& dims, Layout layout, bool is_lse) {
  std::vector<std::int64_t> shape = {dims.b, dims.h, dims.rows, dims.d};
  if (layout == Layout::kBshd) std::swap(shape[1], shape[2]);
  if (is_lse) shape.pop_back();
  return shape;
}

/// A result in its own dtype or in f32.
Tensor read_output(const TensorFile& file, const StoredTensor& stored, Layout layout, Dtype own,
                   const Dims& dims, bool is_lse) {
  const std::optional<Dtype> dtype = dtype_of(stored.element);
  const DtypeSet right = {Dtype::kF32, own};
  if (!dtype || !right.has(*dtype)) {
    std::vector<std::string_view> names;
    for (const Dtype t : kDtypes)
      if (right.has(t)) names.push_back(name(t));
    throw UsageError(fmt::format("{} holds {}; it must be {}", file.label(stored),
                                 stored.dtype_text, fmt::join(names, " or ")));
  }
  const std::vector<std::int64_t> want = file_shape(dims, layout, is_lse);
  std::vector<std::int64_t> have = stored.shape;
  if (is_lse && have.size() == 4 && have.back() == 1) have.pop_back();
  if (have != want)
    throw UsageError(fmt::format("{} has shape {}; this problem's must be {} (--layout {})",
                                 file.label(stored), shape_text(stored.shape), shape_text(want),
                                 name(layout)));
  Tensor t(*dtype, dims);
  read_tensor(file, stored, layout, t);
  return t;
}

}  // namespace

void write_inputs(const std::string& path, const Problem& p, const Inputs& in) {
  const Layout layout = p.files.layout;
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const char* name, const Tensor& t) {
    if (t.empty()) return;
    tensors.push_back({name, t.dtype(), file_shape(t.dims(), layout, false),
                       [&t, layout](const ByteSink& sink) { write_tensor(t, layout, sink); }});
  };
  add("q", in.q);
  add("k", in.k);
  add("v", in.v);
  add("do", in.d_o);
  if (!in.key_mask.empty())
    tensors.push_back(
        {"mask", OtherElement::kU8, {p.shape.b, p.shape.kv_len}, [&in](const ByteSink& sink) {
           sink(std::as_bytes(std::span(in.key_mask)));
         }});
  write_safetensors(path, std::move(tensors),
                    {{"producer", "flashbench"}, {"workload", sweep::flags(p)}});
}

void write_outputs(const std::string& path, const Problem& p, const Outputs& out, Pass pass) {
  const Layout layout = p.files.layout;
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const char* name, const Tensor& t, bool is_lse) {
    tensors.push_back({name, t.dtype(), file_shape(t.dims(), layout, is_lse),
                       [&t, layout](const ByteSink& sink) { write_tensor(t, layout, sink); }});
  };
  add("o", out.o, false);
  add("lse", out.lse, true);
  if (pass != Pass::kForward) {
    add("dq", out.dq, false);
    add("dk", out.dk, false);
    add("dv", out.dv, false);
  }
  write_safetensors(path, std::move(tensors),
                    {{"producer", "flashbench"}, {"workload", sweep::flags(p)}});
}

Outputs read_outputs(const std::string& path, const Problem& p, const OutputNames& names) {
  const TensorFile file = open_safetensors(path);
  Outputs out;
  const auto read = [&](const std::string& name, Dtype dtype, const Dims& dims, Tensor& to) {
    if (const StoredTensor* stored = file.find(name))
      to = read_output(file, *stored, p.files.layout, dtype, dims, &to == &out.lse);
  };
  const Shape& s = p.shape;
  read(names.o, p.dtype, s.o_dims(), out.o);
  read(names.lse, Dtype::kF32, s.lse_dims(), out.lse);
  read(names.dq, p.dtype, s.q_dims(), out.dq);
  read(names.dk, p.kv_dtype(), s.k_dims(), out.dk);
  read(names.dv, p.kv_dtype(), s.v_dims(), out.dv);
  if (out.o.empty() && out.lse.empty() && out.dq.empty() && out.dk.empty() && out.dv.empty())
    throw UsageError(fmt::format("{}: none of {}, {}, {}, {}, {} is there; it holds {}",
                                 escape(path), quote(names.o), quote(names.lse), quote(names.dq),
                                 quote(names.dk), quote(names.dv), file.names()));
  return out;
}

}  // namespace flashbench::data
