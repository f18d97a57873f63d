#include "data/input_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "data/layout.h"
#include "data/outputs.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

Located find_named(std::shared_ptr<const TensorFile> file, const std::string& name,
                   std::string_view role) {
  const StoredTensor* tensor = file->find(name);
  if (tensor == nullptr)
    throw UsageError(fmt::format("{}: no tensor {}; it holds {}; say which with --{}_name",
                                 escape(file->path()), quote(name), file->names(), role));
  return {std::move(file), *tensor};
}

/// A file given for one role: its only tensor, or else the one of the role's name.
Located find_only(std::shared_ptr<const TensorFile> file, const std::string& name,
                  std::string_view role) {
  if (file->tensors().size() != 1) return find_named(std::move(file), name, role);
  const StoredTensor tensor = file->tensors().front();
  return {std::move(file), tensor};
}

/// Beside K or V that is stored in 8 bits; absent: they are 1.
std::optional<Located> find_descales(const std::optional<Located>& of, const char* name) {
  if (!of) return std::nullopt;
  const std::optional<Dtype> dtype = dtype_of(of->tensor.element);
  const StoredTensor* tensor = of->file->find(name);
  if (tensor == nullptr || !dtype || !is_only_stored(*dtype)) return std::nullopt;
  return Located{of->file, *tensor};
}

std::shared_ptr<const TensorFile> open_bundle(OpenFiles& open, const std::string& path) {
  std::shared_ptr<const TensorFile> file = open.open(path);
  if (file->tensors().size() == 1 && file->tensors().front().name.empty())
    throw UsageError(
        fmt::format("{}: --input takes a .safetensors file that holds q, k and v; "
                    "give .npy files to --q, --k and --v",
                    escape(path)));
  return file;
}

}  // namespace

std::shared_ptr<const TensorFile> OpenFiles::open(const std::string& path) {
  for (const auto& file : files_)
    if (file->path() == path) return file;
  files_.push_back(std::make_shared<const TensorFile>(open_tensor_file(path)));
  return files_.back();
}

void check_combination(const Problem& p) {
  const InputFiles& f = p.files;
  const bool some = !f.q.empty() || !f.k.empty() || !f.v.empty();
  if (some && !f.bundle.empty())
    throw UsageError("--input already holds q, k and v; leave --q, --k and --v out");
  if (some)
    for (const auto& [flag, path] : {std::pair("--q", &f.q), {"--k", &f.k}, {"--v", &f.v}})
      if (path->empty())
        throw UsageError(fmt::format("--q, --k and --v go together; {} is missing", flag));
  if (p.padding == PaddingMask::kFile && f.mask.empty() && f.bundle.empty())
    throw UsageError("a mask from a file needs its name: --mask FILE");
  if (p.sinks == Sinks::kFile && f.sinks.empty() && f.bundle.empty())
    throw UsageError("sinks from a file need its name: --sinks FILE");
  if (p.alibi == Alibi::kFile && f.alibi.empty() && f.bundle.empty())
    throw UsageError("slopes from a file need its name: --alibi FILE");
  if (p.bias == Bias::kFile && f.bias.empty() && f.bundle.empty())
    throw UsageError("a bias from a file needs its name: --bias FILE");
  if (p.d_o == GradSource::kFile && f.d_o.empty() && f.bundle.empty())
    throw UsageError("dO from a file needs its name: --do FILE");
}

BundleExtras bundle_extras(const InputFiles& files, const std::vector<std::string>& given,
                           OpenFiles& open) {
  if (files.bundle.empty()) return {};
  const std::shared_ptr<const TensorFile> file = open_bundle(open, files.bundle);
  const InputFiles defaults;
  const auto has = [&](const std::string& name, const std::string& usual, std::string_view role) {
    const auto is_given = [&](const std::string& flag) {
      return std::find(given.begin(), given.end(), flag) != given.end();
    };
    // A tensor that its own flag takes from elsewhere is not looked for here.
    const bool asked_for = name != usual || is_given(fmt::format("{}_name", role));
    if (!asked_for || is_given(std::string(role))) return file->find(name) != nullptr;
    find_named(file, name, role);
    return true;
  };
  return {.mask = has(files.mask_name, defaults.mask_name, "mask"),
          .d_o = has(files.do_name, defaults.do_name, "do"),
          .sinks = has(files.sinks_name, defaults.sinks_name, "sinks"),
          .alibi = has(files.alibi_name, defaults.alibi_name, "alibi"),
          .bias = has(files.bias_name, defaults.bias_name, "bias")};
}

LocatedInputs locate(const Problem& p, OpenFiles& open) {
  check_combination(p);
  const InputFiles& f = p.files;
  LocatedInputs found;
  std::shared_ptr<const TensorFile> bundle;
  if (!f.bundle.empty()) bundle = open_bundle(open, f.bundle);
  const auto find = [&](const std::string& path, const std::string& name, std::string_view role) {
    return path.empty() ? find_named(bundle, name, role) : find_only(open.open(path), name, role);
  };
  if (f.any()) {
    found.q = find(f.q, f.q_name, "q");
    found.k = find(f.k, f.k_name, "k");
    found.v = find(f.v, f.v_name, "v");
  }
  found.k_scale = find_descales(found.k, kKScaleName);
  found.v_scale = find_descales(found.v, kVScaleName);
  if (p.d_o == GradSource::kFile) found.d_o = find(f.d_o, f.do_name, "do");
  if (p.padding == PaddingMask::kFile) found.mask = find(f.mask, f.mask_name, "mask");
  if (p.alibi == Alibi::kFile) found.alibi = find(f.alibi, f.alibi_name, "alibi");
  if (p.bias == Bias::kFile) found.bias = find(f.bias, f.bias_name, "bias");
  if (p.sinks == Sinks::kFile) found.sinks = find(f.sinks, f.sinks_name, "sinks");
  return found;
}

namespace {

using Names = std::set<std::string, std::less<>>;

/// What is read from one of the files, or may be: results may lie beside inputs.
Names used_names(const InputFiles& f, const std::string& path) {
  const OutputNames r;
  Names names = {r.o, r.lse, r.dq, r.dk, r.dv, r.dsinks, r.dbias};
  for (const auto& [own, name] :
       {std::pair(&f.q, &f.q_name), std::pair(&f.k, &f.k_name), std::pair(&f.v, &f.v_name),
        std::pair(&f.d_o, &f.do_name), std::pair(&f.mask, &f.mask_name),
        std::pair(&f.sinks, &f.sinks_name), std::pair(&f.alibi, &f.alibi_name),
        std::pair(&f.bias, &f.bias_name)})
    if (path == f.bundle || path == *own) names.insert(*name);
  return names;
}

void add_unused(std::vector<std::string>& lines, const TensorFile& file, const Names& used) {
  std::vector<std::string_view> unused;
  for (const StoredTensor& t : file.tensors())
    if (!used.contains(t.name)) unused.push_back(t.name);
  if (unused.empty()) return;
  const bool one = unused.size() == 1;
  lines.push_back(
      fmt::format("unused tensor{}: {} holds {}, which {} not read; the result is as if "
                  "{} were not there",
                  one ? "" : "s", escape(file.path()), names_text(unused), one ? "is" : "are",
                  one ? "it" : "they"));
}

}  // namespace

std::vector<std::string> unused_tensors(const Problem& p, OpenFiles& open) {
  const InputFiles& f = p.files;
  std::vector<std::string> lines;
  std::set<std::string_view> seen = {""};
  for (const std::string* path :
       {&f.bundle, &f.q, &f.k, &f.v, &f.d_o, &f.mask, &f.sinks, &f.alibi, &f.bias}) {
    if (!seen.insert(*path).second) continue;
    const std::shared_ptr<const TensorFile> file = open.open(*path);
    // A file given for one tensor may hold it under any name.
    if (path != &f.bundle && file->tensors().size() == 1) continue;
    Names used = used_names(f, *path);
    if (p.has_descales()) used.insert({kKScaleName, kVScaleName});
    add_unused(lines, *file, used);
  }
  return lines;
}

std::vector<std::string> unused_tensors(const std::string& results, const InputFiles& files) {
  std::vector<std::string> lines;
  InputFiles all = files;
  all.bundle = results;
  Names used = used_names(all, results);
  used.insert({kKScaleName, kVScaleName});
  add_unused(lines, open_tensor_file(results), used);
  return lines;
}

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

}  // namespace

Dims extents(const Located& at, Layout layout) {
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  if (!dtype_of(at.tensor.element))
    throw UsageError(fmt::format("{} holds {}; attention reads {}", at.label(),
                                 at.tensor.dtype_text, dtype_names()));
  if (shape.size() != 4)
    throw UsageError(fmt::format("{} has shape {}; it must have 4 axes, {}", at.label(),
                                 shape_text(shape),
                                 layout == Layout::kBhsd ? "[b, h, len, d]" : "[b, len, h, d]"));
  for (const std::int64_t size : shape)
    if (size == 0)
      throw UsageError(
          fmt::format("{} has shape {}; no axis may be empty", at.label(), shape_text(shape)));
  if (layout == Layout::kBshd) return {shape[0], shape[2], shape[1], shape[3]};
  return {shape[0], shape[1], shape[2], shape[3]};
}

Tensor load_tensor(const Located& from, Dims dims, Dtype dtype, Layout layout) {
  const Dims have = extents(from, layout);
  if (have != dims || dtype_of(from.tensor.element) != dtype)
    throw UsageError(
        fmt::format("{} has {} and shape {} (--layout {}); needed is {} with [b, h, "
                    "len, d] = [{}, {}, {}, {}]",
                    from.label(), from.tensor.dtype_text, shape_text(from.tensor.shape),
                    name(layout), name(dtype), dims.b, dims.h, dims.rows, dims.d));
  Tensor tensor(dtype, dims);
  read_tensor(*from.file, from.tensor, layout, tensor);
  return tensor;
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
                      "{:.3g}, since slope times distance must fit f32",
                      from.label(), slope, most));
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
