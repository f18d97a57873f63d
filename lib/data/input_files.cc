#include "data/input_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
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
          .bias = has(files.bias_name, defaults.bias_name, "bias"),
          .ragged = file->find(kFirstQueryName) != nullptr};
}

namespace {

void locate_sequences(const std::shared_ptr<const TensorFile>& file, LocatedInputs& found) {
  const StoredTensor* queries = file->find(kFirstQueryName);
  if (queries == nullptr)
    throw UsageError(fmt::format(
        "{}: no tensor {}; it holds {}; lengths of sequences are in a .safetensors file, "
        "{} and, where keys are another number, {}",
        escape(file->path()), quote(kFirstQueryName), file->names(), quote(kFirstQueryName),
        quote(kFirstKeyName)));
  found.first_query = {file, *queries};
  if (const StoredTensor* keys = file->find(kFirstKeyName)) found.first_key = {file, *keys};
}

}  // namespace

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
  if (p.d_o == GradSource::kFile) found.d_o = find(f.d_o, f.do_name, "do");
  if (p.padding == PaddingMask::kFile) found.mask = find(f.mask, f.mask_name, "mask");
  if (p.alibi == Alibi::kFile) found.alibi = find(f.alibi, f.alibi_name, "alibi");
  if (p.bias == Bias::kFile) found.bias = find(f.bias, f.bias_name, "bias");
  if (p.sinks == Sinks::kFile) found.sinks = find(f.sinks, f.sinks_name, "sinks");
  if (p.ragged == Ragged::kFile)
    locate_sequences(f.ragged.empty() ? bundle : open.open(f.ragged), found);
  return found;
}

namespace {

using Names = std::set<std::string, std::less<>>;

/// What is read from one of the files, or may be: results may lie beside inputs.
Names used_names(const InputFiles& f, const std::string& path, bool ragged = true) {
  const OutputNames r;
  Names names = {r.o, r.lse, r.dq, r.dk, r.dv, r.dsinks, r.dbias};
  for (const auto& [own, name] :
       {std::pair(&f.q, &f.q_name), std::pair(&f.k, &f.k_name), std::pair(&f.v, &f.v_name),
        std::pair(&f.d_o, &f.do_name), std::pair(&f.mask, &f.mask_name),
        std::pair(&f.sinks, &f.sinks_name), std::pair(&f.alibi, &f.alibi_name),
        std::pair(&f.bias, &f.bias_name)})
    if (path == *own || (path == f.bundle && own->empty())) names.insert(*name);
  if (ragged && (path == f.ragged || (path == f.bundle && f.ragged.empty())))
    names.insert({kFirstQueryName, kFirstKeyName});
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
       {&f.bundle, &f.q, &f.k, &f.v, &f.d_o, &f.mask, &f.sinks, &f.alibi, &f.bias, &f.ragged}) {
    if (!seen.insert(*path).second) continue;
    const std::shared_ptr<const TensorFile> file = open.open(*path);
    // A file given for one tensor may hold it under any name.
    if (path != &f.bundle && file->tensors().size() == 1) continue;
    add_unused(lines, *file, used_names(f, *path, p.ragged == Ragged::kFile));
  }
  return lines;
}

std::vector<std::string> unused_tensors(const std::string& results, const InputFiles& files) {
  std::vector<std::string> lines;
  InputFiles all = files;
  all.bundle = results;
  // Inputs may lie beside results, wherever they were read from.
  for (std::string* own : {&all.q, &all.k, &all.v, &all.d_o, &all.mask, &all.sinks, &all.alibi,
                           &all.bias, &all.ragged})
    own->clear();
  add_unused(lines, open_tensor_file(results), used_names(all, results));
  return lines;
}

namespace {

/// "F32, BF16 and F16"
std::string dtype_names() {
  std::string text;
  for (const DtypeRow& row : kDtypeTable) {
    const bool last = &row == std::end(kDtypeTable) - 1;
    text += fmt::format("{}{}", text.empty() ? "" : last ? " and " : ", ", row.safetensors);
  }
  return text;
}

}  // namespace

namespace {

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

}  // namespace

Dims packed_extents(const Located& at) {
  require_axes(at, 3, "[len of all sequences, h, d], since the batch is ragged");
  const std::vector<std::int64_t>& shape = at.tensor.shape;
  return {1, shape[1], shape[0], shape[2]};
}

Dims extents(const Located& at, Layout layout) {
  require_axes(at, 4, layout == Layout::kBhsd ? "[b, h, len, d]" : "[b, len, h, d]");
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
        fmt::format("{} has {} and shape {} (--layout {}); needed is {} with [b, h, "
                    "len, d] = [{}, {}, {}, {}]",
                    from.label(), from.tensor.dtype_text, shape_text(from.tensor.shape),
                    name(layout), name(dtype), want.b, want.h, want.rows, want.d));
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
  if (shape.size() != 1 || shape[0] < 2)
    throw UsageError(
        fmt::format("{} has shape {}; it must be [sequences + 1]: 0, and where each ends",
                    from.label(), shape_text(shape)));
  std::vector<std::byte> bytes(static_cast<std::size_t>(from.tensor.bytes));
  from.file->read(from.tensor, 0, bytes);
  std::vector<std::int64_t> ends;
  const std::size_t size = element_bytes(element);
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    std::int64_t end = 0;
    std::int32_t short_end = 0;
    if (size == sizeof end)
      std::memcpy(&end, bytes.data() + at, size);
    else
      std::memcpy(&short_end, bytes.data() + at, size), end = short_end;
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
  if (ends.back() == 0 || ends.back() > std::numeric_limits<std::int32_t>::max())
    throw UsageError(fmt::format("{} holds {} at [{}]; there must be between 1 and {} rows in all",
                                 from.label(), ends.back(), ends.size() - 1,
                                 std::numeric_limits<std::int32_t>::max()));
  return ends;
}

}  // namespace

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
  const std::optional<Dtype> dtype = dtype_of(from.tensor.element);
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

}  // namespace flashbench::data
