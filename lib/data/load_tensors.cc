#include "data/load_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "data/layout.h"
#include "system/digits.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

/// "F32, BF16 and F16"
std::string dtype_names() {
  std::string text;
  for (const Dtype t : kDtypes)
    text += fmt::format("{}{}",
                        text.empty()          ? ""
                        : t == kDtypes.back() ? " and "
                                              : ", ",
                        row_of(t).safetensors);
  return text;
}

void require_axes(const Located& at, std::size_t axes, std::string_view names) {
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  if (!dtype_of(at.tensor.element))
    throw UsageError(fmt::format("{} holds {}; attention reads {}", at.label(),
                                 at.tensor.dtype_text, dtype_names()));
  if (shape.size() != axes)
    throw UsageError(fmt::format("{} has shape {}; it must have {} axes, {}", at.label(),
                                 shape_text(shape), axes, names));
  for (const std::int64_t size : shape)
    if (size == 0)
      throw UsageError(
          fmt::format("{} has shape {}; no axis may be empty", at.label(), shape_text(shape)));
}

constexpr std::size_t kPackedAxes = 3, kPaddedAxes = 4;

}  // namespace

Dims packed_extents(const Located& at) {
  require_axes(at, kPackedAxes,
               fmt::format("[len of all sequences, h, d], since {} (or --ragged) makes the batch "
                           "ragged; for one that is not, leave that out",
                           quote(kFirstQueryName)));
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  return {1, shape[1], shape[0], shape[2]};
}

Dims pool_extents(const Located& at) {
  require_axes(at, kPaddedAxes, "[pages, rows of a page, h_kv, d]");
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  return {shape[0], shape[2], shape[1], shape[3]};
}

Dims extents(const Located& at, Layout layout) {
  std::string axes = layout == Layout::kBhsd ? "[b, h, len, d]" : "[b, len, h, d]";
  if (at.tensor.shape.size() == kPackedAxes)
    axes += fmt::format("; for a ragged batch, which is packed, {} (or --ragged) is missing",
                        quote(kFirstQueryName));
  require_axes(at, kPaddedAxes, axes);
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  if (layout == Layout::kBshd) return {shape[0], shape[2], shape[1], shape[3]};
  return {shape[0], shape[1], shape[2], shape[3]};
}

Tensor load_tensor(const Located& from, Dims dims, Dtype dtype, Layout layout) {
  const bool ragged = dims.first_row != nullptr;
  const Dims have = ragged ? packed_extents(from) : extents(from, layout);
  const Dims want = ragged ? Dims{1, dims.h, dims.rows_before(dims.b), dims.d} : dims;
  if (have != want || dtype_of(from.tensor.element) != dtype)
    throw UsageError(
        fmt::format("{} has {} and shape {}{}; needed is {} with {} = [{}, {}, {}, {}]",
                    from.label(), from.tensor.dtype_text, shape_text(from.tensor.shape),
                    ragged ? "" : fmt::format(" (--layout {})", name(layout)), name(dtype),
                    ragged ? "[1, h, len of all sequences, d]" : "[b, h, len, d]", want.b, want.h,
                    want.rows, want.d));
  Tensor tensor(dtype, dims);
  read_tensor(*from.file, from.tensor, layout, tensor);
  return tensor;
}

namespace {

/// Where sequences end: [n + 1] numbers that begin with 0 and never fall.
std::vector<std::int64_t> load_ends(const Located& from) {
  const Element element = from.tensor.element;
  if (element != Element(OtherElement::kI32) && element != Element(OtherElement::kI64))
    throw UsageError(fmt::format("{} holds {}; lengths of sequences must be I32 or I64",
                                 from.label(), from.tensor.dtype_text));
  const std::vector<std::int64_t>& shape = from.tensor.shape;
  if (shape.size() != 1 || shape[0] < 2 || shape[0] > kMostSequences + 1)
    throw UsageError(fmt::format(
        "{} has shape {}; it must be [sequences + 1] of 1 to {}: 0, and where each ends",
        from.label(), shape_text(shape), kMostSequences));
  std::vector<std::byte> bytes(static_cast<std::size_t>(from.tensor.bytes));
  from.file->read(from.tensor, 0, bytes);
  std::vector<std::int64_t> ends;
  const std::size_t size = element_bytes(element);
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    std::int64_t end = 0;
    std::int32_t short_end = 0;
    if (size == sizeof end) {
      std::memcpy(&end, bytes.data() + at, size);
    } else {
      std::memcpy(&short_end, bytes.data() + at, size);
      end = short_end;
    }
    ends.push_back(end);
  }
  if (ends[0] != 0)
    throw UsageError(
        fmt::format("{} holds {} at [0]; it must begin with 0", from.label(), ends[0]));
  for (std::size_t i = 1; i < ends.size(); ++i)
    if (ends[i] < ends[i - 1])
      throw UsageError(
          fmt::format("{} holds {} at [{}], behind {}; where sequences end must not fall",
                      from.label(), ends[i], i, ends[i - 1]));
  require_rows(from, ends, 1);
  return ends;
}

}  // namespace

void require_rows(const Located& from, const std::vector<std::int64_t>& ends, std::size_t first) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  std::size_t i = 1;
  while (i + 1 < ends.size() && ends[i] <= kMost) ++i;
  if (ends[i] >= 1 && ends[i] <= kMost) return;
  throw UsageError(
      fmt::format("{} comes to {} rows at [{}]; there must be between 1 and {} in all (a sequence "
                  "may be empty, not every one)",
                  from.label(), ends[i], i - 1 + first, kMost));
}

std::vector<SequenceLengths> load_sequences(const Located& queries,
                                            const std::optional<Located>& keys) {
  const std::vector<std::int64_t> first_query = load_ends(queries);
  const std::vector<std::int64_t> first_key = keys ? load_ends(*keys) : first_query;
  if (first_query.size() != first_key.size())
    throw UsageError(fmt::format("{} is of {} sequences, but {} is of {}", queries.label(),
                                 first_query.size() - 1, keys->label(), first_key.size() - 1));
  std::vector<SequenceLengths> lengths;
  for (std::size_t i = 1; i < first_query.size(); ++i)
    lengths.push_back({first_query[i] - first_query[i - 1], first_key[i] - first_key[i - 1]});
  return lengths;
}

std::vector<std::uint8_t> load_mask(const Located& from, std::int64_t b, std::int64_t kv_len) {
  if (!is_mask(from.tensor.element))
    throw UsageError(fmt::format("{} holds {}; a mask must be U8 or BOOL, 1 = keep", from.label(),
                                 from.tensor.dtype_text));
  if (from.tensor.shape != std::vector{b, kv_len})
    throw UsageError(fmt::format("{} has shape {}; the mask must be [b, kv_len] = [{}, {}]",
                                 from.label(), shape_text(from.tensor.shape), b, kv_len));
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(b * kv_len));
  from.file->read(from.tensor, 0, std::as_writable_bytes(std::span(mask)));
  for (std::uint8_t& keep : mask) keep = keep != 0 ? 1 : 0;
  return mask;
}

namespace {

/// A short vector of one number a head, as f32. `index` says where one is: "[h] = [3]".
template <typename Index>
std::vector<float> load_numbers(const Located& from, std::string_view what, const Index& index) {
  const std::optional<Dtype> dtype = number_dtype_of(from.tensor.element);
  if (!dtype)
    throw UsageError(fmt::format("{} holds {}; attention reads {} of {}", from.label(),
                                 from.tensor.dtype_text, what, dtype_names()));
  std::int64_t count = 1;
  for (const std::int64_t size : from.tensor.shape) count *= size;
  Tensor stored(*dtype, {1, count, 1, 1});
  from.file->read(from.tensor, 0,
                  std::span(static_cast<std::byte*>(stored.data()), stored.bytes()));
  std::vector<float> numbers;
  for (std::int64_t i = 0; i < count; ++i) {
    numbers.push_back(stored.at(i));
    if (!std::isfinite(numbers.back()))
      throw UsageError(fmt::format("{} holds {} at {}; every one must be finite", from.label(),
                                   std::isnan(numbers.back()) ? "a NaN" : "an infinity", index(i)));
  }
  return numbers;
}

}  // namespace

std::vector<float> load_sinks(const Located& from, std::int64_t h) {
  if (from.tensor.shape != std::vector{h})
    throw UsageError(fmt::format("{} has shape {}; sinks must be [h] = [{}]", from.label(),
                                 shape_text(from.tensor.shape), h));
  return load_numbers(from, "sinks", [](std::int64_t i) { return fmt::format("[h] = [{}]", i); });
}

std::vector<float> load_alibi(const Located& from, const Shape& s) {
  const std::int64_t b = s.b, h = s.h;
  const bool of_batch = from.tensor.shape == std::vector{b, h};
  if (!of_batch && from.tensor.shape != std::vector{h})
    throw UsageError(fmt::format("{} has shape {}; slopes must be [h] = [{}] or [b, h] = [{}, {}]",
                                 from.label(), shape_text(from.tensor.shape), h, b, h));
  std::vector<float> slopes = load_numbers(from, "slopes", [&](std::int64_t i) {
    return of_batch ? fmt::format("[b, h] = [{}, {}]", i / h, i % h) : fmt::format("[h] = [{}]", i);
  });
  // Twice: kernels add it to a score.
  const float most = std::numeric_limits<float>::max() / 2 / static_cast<float>(s.q_len + s.kv_len);
  for (const float slope : slopes)
    if (std::abs(slope) > most)
      throw UsageError(
          fmt::format("{} holds {}; of so many queries and keys no slope may be beyond "
                      "{}, since slope times distance must fit f32",
                      from.label(), slope, digits(most, 3)));
  const std::vector<float> one = slopes;
  while (static_cast<std::int64_t>(slopes.size()) < b * h)
    slopes.insert(slopes.end(), one.begin(), one.end());
  return slopes;
}

Tensor load_bias(const Located& from, const Problem& p) {
  const Dims d = p.bias_dims();
  if (dtype_of(from.tensor.element) != p.bias_dtype() ||
      from.tensor.shape != std::vector{d.b, d.h, d.rows, d.d})
    throw UsageError(
        fmt::format("{} has {} and shape {}; needed is {} with [b or 1, h or 1, q_len, "
                    "kv_len] = [{}, {}, {}, {}]",
                    from.label(), from.tensor.dtype_text, shape_text(from.tensor.shape),
                    name(p.bias_dtype()), d.b, d.h, d.rows, d.d));
  Tensor bias(p.bias_dtype(), d);
  read_tensor(*from.file, from.tensor, Layout::kBhsd, bias);
  return bias;
}

std::vector<float> load_descales(const Located& from, const Problem& p) {
  const std::int64_t b = p.shape.b, h = p.shape.h_kv;
  const std::vector<std::int64_t>& shape = from.tensor.shape;
  if (shape != std::vector{h} && shape != std::vector{b, h} &&
      shape != std::vector{std::int64_t{1}, h})
    throw UsageError(
        fmt::format("{} has shape {}; descales must be [h_kv] = [{}] or [b or 1, "
                    "h_kv] = [{}, {}]",
                    from.label(), shape_text(shape), h, b, h));
  const auto index = [&](std::int64_t i) {
    return shape.size() == 2 ? fmt::format("[b, h_kv] = [{}, {}]", i / h, i % h)
                             : fmt::format("[h_kv] = [{}]", i);
  };
  std::vector<float> descales = load_numbers(from, "descales", index);
  const double largest = std::max(row_of(p.kv_dtype()).largest, 2 * std::abs(p.softmax_scale()));
  for (std::size_t i = 0; i < descales.size(); ++i) {
    const double descale = static_cast<double>(descales[i]);
    if (descale > 0 && descale * largest <= static_cast<double>(std::numeric_limits<float>::max()))
      continue;
    throw UsageError(
        fmt::format("{} holds {} at {}; a descale must be positive, and fit f32 times "
                    "{:.6g}",
                    from.label(), descales[i], index(static_cast<std::int64_t>(i)), largest));
  }
  const std::vector<float> one = descales;
  while (static_cast<std::int64_t>(descales.size()) < b * h)
    descales.insert(descales.end(), one.begin(), one.end());
  return descales;
}

}  // namespace flashbench::data
