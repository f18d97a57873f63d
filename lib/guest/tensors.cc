#include "guest/tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>

#include "core/enumerators.h"
#include "data/layout.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr unsigned char kPoison = 0xFF;

std::vector<std::int64_t> contiguous(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

class Placer {
 public:
  /// `layout`: of tensors with rows of d elements.
  explicit Placer(Layout layout) : layout_(layout) {}

  void add(std::string name, std::string_view dtype, std::size_t element_bytes,
           std::vector<std::int64_t> shape) {
    add_strided(std::move(name), dtype, element_bytes, shape, contiguous(shape));
  }

  /// [b, h, rows, d]; of a ragged batch [1, h, all rows, d], of which memory has [all rows, h, d].
  void add_rows(std::string name, const Tensor& like) {
    add_rows(std::move(name), like.dtype(), like.dims());
  }
  void add_rows(std::string name, Dtype dtype, const Dims& dims) {
    add_axes(std::move(name), dtype, dims, layout_);
  }

  /// The same for LSE, whose shape is [b, h, rows].
  void add_lse(const Dims& dims) { add_axes("lse", Dtype::kF32, dims, Layout::kBhsd, false); }

  void add_bias(std::string name, Dtype dtype, const Dims& dims) {
    add_axes(std::move(name), dtype, dims, Layout::kBhsd);
  }

  Placement take() && { return std::move(placement_); }

 private:
  void add_axes(std::string name, Dtype dtype, const Dims& dims, Layout layout,
                bool last_axis = true) {
    if (dims.count() == 0) return;
    std::vector<std::int64_t> shape = {dims.b, dims.h, dims.rows, dims.d};
    if (dims.first_row != nullptr) {
      shape = {1, dims.h, dims.rows_before(dims.b), dims.d};
      layout = Layout::kBhsd;  // of what is packed files and memory know one order alone
    }
    std::vector<std::int64_t> strides = contiguous(shape);
    if (dims.first_row != nullptr || layout == Layout::kBshd)
      strides = {strides[0], dims.d, dims.h * dims.d, 1};
    if (!last_axis) {
      shape.pop_back();
      strides.pop_back();
    }
    add_strided(std::move(name), flashbench::name(dtype), size_bytes(dtype), shape, strides,
                layout);
  }

  void add_strided(std::string name, std::string_view dtype, std::size_t element_bytes,
                   std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
                   Layout layout = Layout::kBhsd) {
    Placed placed{std::move(name),
                  std::string(dtype),
                  std::move(shape),
                  std::move(strides),
                  placement_.bytes,
                  element_bytes,
                  layout};
    for (const std::int64_t n : placed.shape) placed.bytes *= static_cast<std::size_t>(n);
    if (placed.bytes == 0) return;
    placement_.bytes += (placed.bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
    placement_.tensors.push_back(std::move(placed));
  }

  Layout layout_;
  Placement placement_{{}, kAlignment};
};

const Placed* find(const Placement& placement, std::string_view name) {
  for (const Placed& t : placement.tensors)
    if (t.name == name) return &t;
  return nullptr;
}

void copy_in(const Placement& placement, std::string_view name, const Tensor& from,
             SharedMemory& to) {
  const Placed* placed = find(placement, name);
  if (placed == nullptr) return;
  std::byte* at = to.data() + placed->offset;
  data::write_tensor(from, placed->layout, [&](std::span<const std::byte> piece) {
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  });
}

template <typename T>
void copy_in(const Placement& placement, std::string_view name, std::span<const T> from,
             SharedMemory& to) {
  if (const Placed* placed = find(placement, name))
    std::memcpy(to.data() + placed->offset, from.data(), from.size_bytes());
}

/// FlashAttention's prefix sums are 32 bits wide.
std::vector<std::int32_t> narrow(std::span<const std::int64_t> first_rows) {
  return {first_rows.begin(), first_rows.end()};
}

void copy_fixed(const Inputs& in, const Placement& placement, SharedMemory& to) {
  copy_in<std::uint8_t>(placement, "key_mask", in.key_mask, to);
  copy_in<float>(placement, "sinks", in.sinks, to);
  copy_in<float>(placement, "alibi_slopes", in.alibi_slopes, to);
  copy_in(placement, "bias", in.bias, to);
  copy_in<float>(placement, "k_scale", in.k_scale, to);
  copy_in<float>(placement, "v_scale", in.v_scale, to);
  copy_in<std::int32_t>(placement, "block_table", in.pages.block_table, to);
  if (const std::int64_t* first = in.q.dims().first_row)
    copy_in<std::int32_t>(placement, "cu_seqlens_q",
                          narrow({first, static_cast<std::size_t>(in.q.dims().b) + 1}), to);
  if (const std::int64_t* first = in.k.dims().first_row)
    copy_in<std::int32_t>(placement, "cu_seqlens_k",
                          narrow({first, static_cast<std::size_t>(in.k.dims().b) + 1}), to);
}

struct NamedOutput {
  std::string_view name;
  Tensor Outputs::*tensor;
};
constexpr NamedOutput kOutputs[] = {{"o", &Outputs::o},        {"lse", &Outputs::lse},
                                    {"dq", &Outputs::dq},      {"dk", &Outputs::dk},
                                    {"dv", &Outputs::dv},      {"dsinks", &Outputs::dsinks},
                                    {"dbias", &Outputs::dbias}};

}  // namespace

Placement place_inputs(const Problem& p, const Inputs& in, Layout layout) {
  const Shape& s = p.shape;
  Placer place(layout);
  place.add_rows("q", p.dtype, s.q_dims());
  if (p.paged()) {
    place.add_rows("k", in.pages.k);
    if (!p.v_in_k) place.add_rows("v", in.pages.v);
    place.add("block_table", "i32", sizeof(std::int32_t),
              {s.b, static_cast<std::int64_t>(in.pages.block_table.size()) / s.b});
  } else {
    place.add_rows("k", p.kv_dtype(), s.k_dims());
    if (!p.v_in_k) place.add_rows("v", p.kv_dtype(), s.v_dims());
  }
  if (p.needs_gradients()) place.add_rows("do", p.dtype, s.o_dims());
  if (!in.key_mask.empty()) place.add("key_mask", "u8", 1, {s.b, s.kv_len});
  if (!in.sinks.empty()) place.add("sinks", "f32", sizeof(float), {s.h});
  if (!in.alibi_slopes.empty()) place.add("alibi_slopes", "f32", sizeof(float), {s.b, s.h});
  if (!in.bias.empty()) place.add_bias("bias", in.bias.dtype(), in.bias.dims());
  if (!in.k_scale.empty()) place.add("k_scale", "f32", sizeof(float), {s.b, s.h_kv});
  if (!in.v_scale.empty()) place.add("v_scale", "f32", sizeof(float), {s.b, s.h_kv});
  if (s.sequences != nullptr)
    for (const char* name : {"cu_seqlens_q", "cu_seqlens_k"})
      place.add(name, "i32", sizeof(std::int32_t), {s.b + 1});
  return std::move(place).take();
}

Placement place_outputs(const Problem& p, Layout layout) {
  const Shape& s = p.shape;
  Placer place(layout);
  place.add_rows("o", p.dtype, s.o_dims());
  place.add_lse(s.lse_dims());
  if (p.needs_gradients()) {
    place.add_rows("dq", p.dtype, s.q_dims());
    place.add_rows("dk", p.dtype, s.k_dims());
    place.add_rows("dv", p.dtype, s.v_dims());
    if (p.sinks != Sinks::kNone) place.add("dsinks", "f32", sizeof(float), {s.h});
    if (p.needs_bias_gradient()) place.add_bias("dbias", p.bias_dtype(), p.bias_dims());
  }
  return std::move(place).take();
}

void copy_inputs(const Inputs& in, const Placement& placement, SharedMemory& to, Given which) {
  switch (which) {
    case Given::kFixed:
      copy_fixed(in, placement, to);
      return;
    case Given::kForward: {
      if (const Placed* d_o = find(placement, "do"))
        std::memset(to.data() + d_o->offset, kPoison, d_o->bytes);
      const bool paged = !in.pages.empty();
      copy_in(placement, "q", in.q, to);
      copy_in(placement, "k", paged ? in.pages.k : in.k, to);
      copy_in(placement, "v", paged ? in.pages.v : in.v, to);
      return;
    }
    case Given::kGradient:
      copy_in(placement, "do", in.d_o, to);
      return;
  }
  no_such_enumerator();
}

void poison(SharedMemory& outputs, const Placement* gradients) {
  std::size_t from = 0;
  if (gradients != nullptr)
    for (const Placed& t : gradients->tensors)
      if (t.name == "o" || t.name == "lse") from = t.offset + t.bytes;
  if (outputs.bytes() > from) std::memset(outputs.data() + from, kPoison, outputs.bytes() - from);
}

void copy_forward(const Outputs& from, const Placement& placement, SharedMemory& to) {
  copy_in(placement, "o", from.o, to);
  copy_in(placement, "lse", from.lse, to);
}

void collect_outputs(const SharedMemory& from, const Placement& placement, Outputs& out) {
  if (std::any_of(from.data(), from.data() + kAlignment,
                  [](std::byte b) { return b != std::byte{kPoison}; }))
    throw DeviceError("it writes outside of its outputs, before the first");
  for (std::size_t i = 0; i < placement.tensors.size(); ++i) {
    const Placed& placed = placement.tensors[i];
    const std::size_t end =
        i + 1 < placement.tensors.size() ? placement.tensors[i + 1].offset : placement.bytes;
    const auto* bytes = reinterpret_cast<const unsigned char*>(from.data());
    if (std::any_of(bytes + placed.offset + placed.bytes, bytes + end,
                    [](unsigned char b) { return b != kPoison; }))
      throw DeviceError(
          fmt::format("it writes outside of its outputs, behind the end of {}", placed.name));
    for (const NamedOutput& o : kOutputs) {
      if (o.name != placed.name || (out.*o.tensor).empty()) continue;
      data::read_tensor(
          [&](std::uint64_t offset, std::span<std::byte> into) {
            std::memcpy(into.data(), from.data() + placed.offset + offset, into.size());
          },
          placed.layout, out.*o.tensor);
    }
  }
}

void to_json(nlohmann::json& json, const Placement& placement) {
  json = {{"bytes", placement.bytes}, {"tensors", nlohmann::json::array()}};
  for (const Placed& t : placement.tensors)
    json["tensors"].push_back({{"name", t.name},
                               {"dtype", t.dtype},
                               {"shape", t.shape},
                               {"strides", t.strides},
                               {"offset", t.offset},
                               {"bytes", t.bytes}});
}

void from_json(const nlohmann::json& json, Placement& placement) {
  placement.bytes = json.at("bytes");
  for (const nlohmann::json& t : json.at("tensors")) {
    const Placed& placed =
        placement.tensors.emplace_back(Placed{t.at("name"), t.at("dtype"), t.at("shape"),
                                              t.at("strides"), t.at("offset"), t.at("bytes")});
    if (placed.offset > placement.bytes || placed.bytes > placement.bytes - placed.offset)
      throw std::runtime_error(fmt::format("tensor {} lies beyond the {} bytes of its memory",
                                           quote(placed.name), placement.bytes));
    if (placed.shape.size() != placed.strides.size())
      throw std::runtime_error(fmt::format("tensor {} has {} axes and {} strides",
                                           quote(placed.name), placed.shape.size(),
                                           placed.strides.size()));
  }
}

}  // namespace flashbench::guest
