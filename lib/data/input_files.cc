#include "data/input_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "data/outputs.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

/// What a file without V may mean.
constexpr std::string_view kOrInK = ", or that it lies in K with --v_in_k";

Located find_named(std::shared_ptr<const TensorFile> file, const std::string& name,
                   std::string_view role) {
  const StoredTensor* tensor = file->find(name);
  if (tensor == nullptr)
    throw UsageError(fmt::format("{}: no tensor {}; it holds {}; say which with --{}_name{}",
                                 escape(file->path()), quote(name), file->names(), role,
                                 role == "v" ? kOrInK : ""));
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
  if (p.v_in_k && !f.v.empty())
    throw UsageError("with --v_in_k V is the first columns of K; leave --v out");
  if (some && !f.bundle.empty())
    throw UsageError("--input already holds q, k and v; leave --q, --k and --v out");
  if (some)
    for (const auto& [flag, path] : {std::pair("--q", &f.q), {"--k", &f.k}, {"--v", &f.v}})
      if (path->empty() && !(p.v_in_k && path == &f.v))
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

/// What --ragged takes, for messages about a file that is no such.
std::string takes_lengths() {
  return fmt::format(
      "--ragged takes lengths such as 2q2k_32q1s1k, or a .safetensors file that holds {} and, "
      "where keys are another number, {}",
      quote(kFirstQueryName), quote(kFirstKeyName));
}

std::shared_ptr<const TensorFile> open_lengths(OpenFiles& open, const std::string& path) {
  try {
    return open.open(path);
  } catch (const UsageError& e) {
    throw UsageError(fmt::format("{} ({})", e.what(), takes_lengths()));
  }
}

void locate_sequences(const std::shared_ptr<const TensorFile>& file, LocatedInputs& found) {
  const StoredTensor* queries = file->find(kFirstQueryName);
  if (queries == nullptr)
    throw UsageError(fmt::format("{}: no tensor {}; it holds {}; {}", escape(file->path()),
                                 quote(kFirstQueryName), file->names(), takes_lengths()));
  found.first_query = {file, *queries};
  if (const StoredTensor* keys = file->find(kFirstKeyName)) found.first_key = {file, *keys};
}

/// Instead of K and V, unless these were asked for by names of their own.
bool holds_pages(const TensorFile& file, const InputFiles& f) {
  const InputFiles usual;
  if (f.k_name != usual.k_name || f.v_name != usual.v_name) return false;
  const StoredTensor* const k_pages = file.find(kKPagesName);
  return k_pages != nullptr ||
         (file.find(f.k_name) == nullptr && file.find(kVPagesName) != nullptr);
}

/// Which of the two counts would be a guess.
void refuse_both(const TensorFile& file, const Problem& p) {
  const InputFiles& f = p.files;
  for (const auto& [whole, pages] : {std::pair(&f.k_name, kKPagesName), {&f.v_name, kVPagesName}})
    if (!(p.v_in_k && whole == &f.v_name) && file.find(*whole) != nullptr &&
        file.find(pages) != nullptr)
      throw UsageError(fmt::format("{}: holds both {} and {}; leave one of them out",
                                   escape(file.path()), quote(*whole), quote(pages)));
}

void locate_pages(const std::shared_ptr<const TensorFile>& file, bool v_in_k,
                  LocatedInputs& found) {
  for (const auto& [to, name] : {std::pair(&found.k_pages, kKPagesName),
                                 {&found.v_pages, kVPagesName},
                                 {&found.block_table, kBlockTableName},
                                 {&found.kv_lens, kKvLensName}}) {
    if (v_in_k && to == &found.v_pages) continue;
    const StoredTensor* tensor = file->find(name);
    if (tensor == nullptr)
      throw UsageError(fmt::format(
          "{}: no tensor {} beside {}; it holds {}{}", escape(file->path()), quote(name),
          quote(file->find(kKPagesName) == nullptr ? kVPagesName : kKPagesName), file->names(),
          to == &found.v_pages ? fmt::format("; say{}", kOrInK.substr(4)) : ""));
    *to = {file, *tensor};
  }
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
  if (f.any()) found.q = find(f.q, f.q_name, "q");
  if (bundle && holds_pages(*bundle, f)) {
    refuse_both(*bundle, p);
    locate_pages(bundle, p.v_in_k, found);
  } else if (f.any()) {
    found.k = find(f.k, f.k_name, "k");
    if (!p.v_in_k) found.v = find(f.v, f.v_name, "v");
  }
  found.k_scale = find_descales(found.k ? found.k : found.k_pages, kKScaleName);
  if (!p.v_in_k) found.v_scale = find_descales(found.v ? found.v : found.v_pages, kVScaleName);
  if (p.d_o == GradSource::kFile) found.d_o = find(f.d_o, f.do_name, "do");
  if (p.padding == PaddingMask::kFile) found.mask = find(f.mask, f.mask_name, "mask");
  if (p.alibi == Alibi::kFile) found.alibi = find(f.alibi, f.alibi_name, "alibi");
  if (p.bias == Bias::kFile) found.bias = find(f.bias, f.bias_name, "bias");
  if (p.sinks == Sinks::kFile) found.sinks = find(f.sinks, f.sinks_name, "sinks");
  if (p.ragged == Ragged::kFile)
    locate_sequences(f.ragged.empty() ? bundle : open_lengths(open, f.ragged), found);
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

/// Where V lies in K, nothing else of it is read.
void leave_out_values(const InputFiles& f, Names& used) {
  if (f.v_name != f.k_name) used.erase(f.v_name);
  used.erase(kVScaleName);
  used.erase(kVPagesName);
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
    Names used = used_names(f, *path, p.ragged == Ragged::kFile);
    if (p.has_descales()) used.insert({kKScaleName, kVScaleName});
    if (path == &f.bundle && holds_pages(*file, f))
      used.insert({kKPagesName, kVPagesName, kBlockTableName, kKvLensName});
    if (p.v_in_k) leave_out_values(f, used);
    add_unused(lines, *file, used);
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
  Names used = used_names(all, results);
  used.insert({kKScaleName, kVScaleName, kKPagesName, kVPagesName, kBlockTableName, kKvLensName});
  add_unused(lines, open_tensor_file(results), used);
  return lines;
}

}  // namespace flashbench::data
