#include "sweep/axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::sweep {
namespace {

constexpr Limits kSize{};
constexpr Limits kThreads{1, 4096};
constexpr Limits kDevice{0, 1023};

const Setting* find(const Settings& settings, std::string_view name) {
  const auto it = settings.find(name);
  return it == settings.end() ? nullptr : &it->second;
}

/// Calls `f(item)` for every element of every comma-separated list of a setting.
template <typename F>
void for_each_item(const Setting& setting, F&& f) {
  for (const std::string& value : setting.values)
    for (const std::string& item : split_list(value, setting.where)) f(item);
}

template <typename Set>
Axis count_axis(const Settings& settings, std::string_view name, Set set, Limits limits = kSize) {
  Axis axis;
  if (const Setting* setting = find(settings, name))
    for (const std::string& value : setting->values)
      for (const std::int64_t n : parse_counts(value, setting->where, limits))
        axis.push_back([set, n](Case& c) { set(c, n); });
  return axis;
}

template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;

template <typename T, typename All>
Choices<T> choices(const All& all) {
  Choices<T> out;
  for (const T value : all) out.emplace_back(std::string(name(value)), value);
  return out;
}

template <typename T>
T choose(const std::string& text, const std::string& where, const Choices<T>& from) {
  std::vector<std::string> words;
  for (const auto& choice : from) {
    if (choice.first == text) return choice.second;
    words.push_back(choice.first);
  }
  throw UsageError(fmt::format("{} must be {}, got {}{}", where, alternatives(words), quote(text),
                               did_you_mean(text, words)));
}

template <typename T, typename Set>
Axis choice_axis(const Settings& settings, std::string_view name, const Choices<T>& from, Set set) {
  Axis axis;
  if (const Setting* setting = find(settings, name))
    for_each_item(*setting, [&](const std::string& item) {
      const T value = choose(item, setting->where, from);
      axis.push_back([set, value](Case& c) { set(c, value); });
    });
  return axis;
}

template <typename Set>
Axis bool_axis(const Settings& settings, std::string_view name, Set set) {
  Axis axis;
  if (const Setting* setting = find(settings, name))
    for (const std::string& value : setting->values) {
      // A bare flag arrives as "".
      for (const std::string& item : split_list(value.empty() ? "true" : value, setting->where)) {
        const bool on = parse_bool(item, setting->where);
        axis.push_back([set, on](Case& c) { set(c, on); });
      }
    }
  return axis;
}

/// Words or files: a value that names an existing file is one, commas and all.
template <typename F>
void for_each_word_or_file(const Setting& setting, F&& f) {
  for (const std::string& value : setting.values) {
    std::error_code ignored;
    if (value.find(',') != std::string::npos && std::filesystem::exists(value, ignored))
      f(value);
    else
      for (const std::string& item : split_list(value, setting.where)) f(item);
  }
}

Axis mask_axis(const Settings& settings) {
  Axis axis;
  if (const Setting* setting = find(settings, "mask"))
    for_each_word_or_file(*setting, [&](const std::string& item) {
      const PaddingMask kind = item == "none"     ? PaddingMask::kNone
                               : item == "random" ? PaddingMask::kRandom
                                                  : PaddingMask::kFile;
      axis.push_back([kind, item](Case& c) {
        c.problem.padding = kind;
        c.problem.files.mask = kind == PaddingMask::kFile ? item : "";
      });
    });
  return axis;
}

Axis do_axis(const Settings& settings) {
  Axis axis;
  if (const Setting* setting = find(settings, "do"))
    for_each_word_or_file(*setting, [&](const std::string& item) {
      const GradSource kind = item == "ones"     ? GradSource::kOnes
                              : item == "random" ? GradSource::kRandom
                                                 : GradSource::kFile;
      axis.push_back([kind, item](Case& c) {
        c.problem.d_o = kind;
        c.problem.files.d_o = kind == GradSource::kFile ? item : "";
      });
    });
  return axis;
}

Axis real_axis(const Settings& settings, std::string_view name, double least, double most,
               void (*set)(Case&, double)) {
  Axis axis;
  if (const Setting* setting = find(settings, name))
    for_each_item(*setting, [&](const std::string& item) {
      const double value = parse_real(item, setting->where, least, most);
      axis.push_back([set, value](Case& c) { set(c, value); });
    });
  return axis;
}

Axis seed_axis(const Settings& settings) {
  Axis axis;
  if (const Setting* setting = find(settings, "seed"))
    for_each_item(*setting, [&](const std::string& item) {
      const std::uint64_t seed = parse_seed(item, setting->where);
      axis.push_back([seed](Case& c) { c.problem.seed = seed; });
    });
  return axis;
}

constexpr AttentionType kTypes[] = {AttentionType::kFlash, AttentionType::kNormal,
                                    AttentionType::kPaper};
constexpr Pass kPasses[] = {Pass::kForward, Pass::kBackward, Pass::kBoth};
constexpr CacheState kCacheStates[] = {CacheState::kWarm, CacheState::kCold};
constexpr Layout kLayouts[] = {Layout::kBhsd, Layout::kBshd};

/// "auto", and the names of backends.
Axis backend_axis(const Settings& settings, const Defaults& defaults) {
  using Chosen = std::optional<BackendId>;
  const auto set = [](Case& c, const Chosen& backend) { c.backend = backend; };
  Choices<Chosen> from = {{"auto", std::nullopt}};
  for (const BackendInfo& b : defaults.backends) from.emplace_back(b.id.text, b.id);
  if (const Setting* setting = find(settings, "backend"); setting && defaults.backends.empty())
    for_each_item(*setting, [&](const std::string& item) {
      if (item != "auto") from.emplace_back(item, BackendId{item});
    });
  return choice_axis<Chosen>(settings, "backend", from, set);
}

/// Indices of devices, and "emulated".
Axis device_axis(const Settings& settings) {
  Axis axis;
  if (const Setting* setting = find(settings, "device"))
    for_each_item(*setting, [&](const std::string& item) {
      if (item == device_text(kEmulatedDevice)) {
        axis.push_back([](Case& c) { c.device = kEmulatedDevice; });
        return;
      }
      if (item.empty() || item.find_first_not_of("0123456789:+x*km") != std::string::npos)
        throw UsageError(fmt::format("{} must be the index of a GPU or {}, got {}", setting->where,
                                     device_text(kEmulatedDevice), quote(item)));
      for (const std::int64_t n : parse_counts(item, setting->where, kDevice))
        axis.push_back([n](Case& c) { c.device = static_cast<int>(n); });
    });
  return axis;
}

/// --type, or else the types of the kernels that were asked for, or else the default.
Axis type_axis(const Settings& settings, const Defaults& defaults) {
  const auto set = [](Case& c, AttentionType type) { c.type = type; };
  if (find(settings, "type"))
    return choice_axis<AttentionType>(settings, "type", choices<AttentionType>(kTypes), set);
  Axis axis;
  for (const AttentionType type : defaults.types)
    axis.push_back([type](Case& c) { c.type = type; });
  return axis;
}

/// Sets the kernel and, unless --type decides, the type that it computes.
Axis kernel_axis(const Settings& settings, const Defaults& defaults) {
  Axis axis;
  const Setting* setting = find(settings, "kernel");
  if (setting == nullptr) return axis;
  for_each_item(*setting, [&](const std::string& item) {
    std::optional<AttentionType> type;
    if (defaults.type_of_kernel && !find(settings, "type")) type = defaults.type_of_kernel(item);
    axis.push_back([item, type](Case& c) {
      c.kernel = item;
      if (type) c.type = *type;
    });
  });
  return axis;
}

void drop_empty(std::vector<Axis>& axes) {
  std::erase_if(axes, [](const Axis& axis) { return axis.empty(); });
}

std::string single(const Settings& settings, std::string_view name, std::string otherwise) {
  const Setting* setting = find(settings, name);
  if (setting == nullptr) return otherwise;
  if (setting->values.size() != 1 || setting->values[0].empty())
    throw UsageError(fmt::format("{} takes one value", setting->where));
  return setting->values[0];
}

}  // namespace

std::vector<Axis> problem_axes(const Settings& s, const Defaults&) {
  std::vector<Axis> axes = {
      choice_axis<Pass>(s, "pass", choices<Pass>(kPasses),
                        [](Case& c, Pass pass) { c.problem.pass = pass; }),
      choice_axis<Dtype>(s, "dtype", choices<Dtype>(kDtypes),
                         [](Case& c, Dtype dtype) { c.problem.dtype = dtype; }),
      count_axis(s, "d", [](Case& c, std::int64_t n) { c.problem.shape.d = n; }),
      count_axis(s, "b", [](Case& c, std::int64_t n) { c.problem.shape.b = n; }),
      count_axis(s, "h", [](Case& c, std::int64_t n) { c.problem.shape.h = n; }),
      count_axis(s, "h_kv", [](Case& c, std::int64_t n) { c.problem.shape.h_kv = n; }),
      bool_axis(s, "causal", [](Case& c, bool on) { c.problem.causal = on; }),
      mask_axis(s),
      real_axis(s, "mask_keep", 0, 1, [](Case& c, double keep) { c.problem.mask_keep = keep; }),
      do_axis(s),
      real_axis(s, "scale", std::numeric_limits<double>::lowest(),
                std::numeric_limits<double>::max(),
                [](Case& c, double scale) { c.problem.scale = scale; }),
      seed_axis(s),
      choice_axis<CacheState>(s, "cache", choices<CacheState>(kCacheStates),
                              [](Case& c, CacheState cache) { c.cache = cache; }),
      count_axis(s, "q_len", [](Case& c, std::int64_t n) { c.problem.shape.q_len = n; }),
      count_axis(s, "kv_len", [](Case& c, std::int64_t n) { c.problem.shape.kv_len = n; }),
  };
  drop_empty(axes);
  return axes;
}

std::vector<Axis> execution_axes(const Settings& s, const Defaults& defaults) {
  std::vector<Axis> axes = {
      backend_axis(s, defaults),
      device_axis(s),
      count_axis(
          s, "threads", [](Case& c, std::int64_t n) { c.threads = static_cast<int>(n); }, kThreads),
      bool_axis(s, "deterministic", [](Case& c, bool on) { c.deterministic = on; }),
      count_axis(s, "q_block", [](Case& c, std::int64_t n) { c.q_block = n; }),
      count_axis(s, "kv_block", [](Case& c, std::int64_t n) { c.kv_block = n; }),
      choice_axis<Isa>(s, "isa", choices<Isa>(kIsas), [](Case& c, Isa isa) { c.isa = isa; }),
      type_axis(s, defaults),
      kernel_axis(s, defaults),  // after the types: a kernel brings its own
  };
  drop_empty(axes);
  return axes;
}

Case base_case(const Settings& s, const Defaults& defaults) {
  Case c;
  Problem& p = c.problem;
  p.shape = defaults.shape;
  p.shape.h_kv = p.shape.kv_len = 0;
  p.pass = defaults.pass;
  InputFiles& f = p.files;
  f.bundle = single(s, "input", "");
  f.q = single(s, "q", "");
  f.k = single(s, "k", "");
  f.v = single(s, "v", "");
  f.q_name = single(s, "q_name", f.q_name);
  f.k_name = single(s, "k_name", f.k_name);
  f.v_name = single(s, "v_name", f.v_name);
  f.do_name = single(s, "do_name", f.do_name);
  f.mask_name = single(s, "mask_name", f.mask_name);
  if (const Setting* layout = find(s, "layout"))
    f.layout = choose(single(s, "layout", ""), layout->where, choices<Layout>(kLayouts));
  return c;
}

}  // namespace flashbench::sweep
