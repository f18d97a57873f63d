// How it is computed, and how it is timed.
#include <fmt/format.h>

#include <algorithm>

#include "sweep/expand.h"
#include "sweep/parse.h"
#include "sweep/rows.h"
#include "system/team.h"

namespace flashbench::sweep {
namespace {

constexpr auto kType = FB_MEMBER(type);
constexpr auto kBackend = FB_MEMBER(backend);
constexpr auto kDevice = FB_MEMBER(device);
constexpr auto kIsa = FB_MEMBER(isa);
constexpr auto kPlugin = FB_MEMBER(plugin);
constexpr auto kWorker = FB_MEMBER(worker);
constexpr auto kAbi = FB_MEMBER(abi);
constexpr auto kLaunch = FB_MEMBER(launch);
constexpr auto kThreads = FB_MEMBER(threads);
constexpr auto kKernel = FB_MEMBER(kernel);
constexpr auto kDeterministic = FB_MEMBER(deterministic);
constexpr auto kQBlock = FB_MEMBER(q_block);
constexpr auto kKvBlock = FB_MEMBER(kv_block);
constexpr auto kCache = FB_MEMBER(cache);

constexpr Limits kThreadLimits{1, team::kMostThreads};
constexpr Limits kDeviceLimits{0, 1023};

// ---- what the general functions of parse.h do not say ----

/// Those of the command; a --kernel puts its own in their place.
Axis default_types(const Defaults& defaults) {
  Axis axis;
  for (const AttentionType type : defaults.types)
    axis.push_back([type](Case& c) { c.type = type; });
  return axis;
}

std::vector<std::string> backend_choices(const Defaults& defaults) {
  std::vector<std::string> words = {"auto"};
  for (const BackendInfo& b : defaults.backends) words.push_back(b.id.text);
  return words;
}

/// "auto", and the names of backends.
Axis parse_backend(const Asked& a) {
  using Chosen = std::optional<BackendId>;
  Choices<Chosen> from = {{"auto", std::nullopt}};
  for (const BackendInfo& b : a.defaults.backends) from.emplace_back(b.id.text, b.id);
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const bool any = a.defaults.backends.empty() && item != "auto";
    const Chosen backend = any ? BackendId{item} : choose(item, a.setting.where, from);
    axis.push_back([backend](Case& c) { c.backend = backend; });
  });
  return axis;
}

/// Indices of devices, and "emulated".
Axis parse_device(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    if (item == device_text(kEmulatedDevice)) {
      axis.push_back([](Case& c) { c.device = kEmulatedDevice; });
      return;
    }
    if (item.empty() || item.find_first_not_of("0123456789:+x*km") != std::string::npos)
      throw UsageError(fmt::format("{} must be the index of a GPU or {}, got {}{}", a.setting.where,
                                   device_text(kEmulatedDevice), quote(item),
                                   did_you_mean(item, {device_text(kEmulatedDevice)})));
    for (const std::int64_t n : parse_counts(item, a.setting.where, kDeviceLimits))
      axis.push_back([n](Case& c) { c.device = static_cast<int>(n); });
  });
  return axis;
}
std::string device_of(const Case& c) { return c.device ? device_text(*c.device) : ""; }

/// Sets the kernel and, unless --type decides, the type that it computes.
Axis parse_kernel(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    std::optional<AttentionType> type;
    if (a.defaults.type_of_kernel) type = a.defaults.type_of_kernel(item);
    if (a.all.contains("type")) type.reset();
    axis.push_back([item, type](Case& c) {
      c.kernel = item;
      if (type) c.type = *type;
    });
  });
  return axis;
}
Value recorded_kernel(const Case& c) { return c.kernel.empty() ? Value() : Value(c.kernel); }
std::string deterministic_label(const Case& c) {
  return c.deterministic ? "deterministic" : "free";
}

/// Files, commas and all, or lists of them.
Axis parse_plugin(const Asked& a) {
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
    axis.push_back([item](Case& c) { c.plugin = item; });
  });
  return axis;
}
/// The same for files of PTX.
Axis parse_ptx(const Asked& a) {
  if (a.all.contains("plugin"))
    throw UsageError(
        fmt::format("{} and --plugin name two guests; leave one of them out", a.setting.where));
  for_each_word_or_file(a.setting, [&](const std::string& item) {
    if (!item.ends_with(kPtxSuffix))
      throw UsageError(fmt::format("{} takes files whose names end in {}, got {}", a.setting.where,
                                   kPtxSuffix, quote(item)));
  });
  return parse_plugin(a);
}
Axis parse_launch(const Asked& a) {
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
    axis.push_back([item](Case& c) { c.launch = item; });
  });
  return axis;
}
std::string ptx_text(const Case& c) { return is_ptx(c) ? c.plugin : ""; }
bool says_library(const Case& c) { return !c.plugin.empty() && !is_ptx(c); }
/// One command each: it has commas of its own.
Axis parse_worker(const Asked& a) {
  Axis axis;
  for (const std::string& value : a.setting.values) {
    if (value.empty())
      throw UsageError(fmt::format("{} needs a value, got an empty one", a.setting.where));
    axis.push_back([value](Case& c) { c.worker = value; });
  }
  return axis;
}
bool is_plugin(const Case& c) { return c.type == AttentionType::kPlugin; }
bool is_worker(const Case& c) { return c.type == AttentionType::kWorker; }
std::string worker_text(const Case& c) { return c.worker; }
/// A name is one word.
std::string worker_label(const Case& c) {
  std::string label = c.worker;
  std::replace(label.begin(), label.end(), ' ', '_');
  return label;
}
Value recorded_plugin(const Case& c) { return c.plugin.empty() ? Value() : Value(c.plugin); }
Value recorded_worker(const Case& c) { return c.worker.empty() ? Value() : Value(c.worker); }

bool is_paper(const Case& c) { return c.type == AttentionType::kPaper; }
constexpr std::string_view kNeedsPaper = "is for --type paper";

// ---- what follows from a field by default, for compare --by ----

void erase_kernel(CaseRecord& r) {
  r.kernel_request.reset();
  r.plugin.reset();
  r.worker.reset();
}
void erase_processor(CaseRecord& r) {
  r.isa.reset();
  r.threads.reset();
  r.device.reset();
}

// ---- what tables say ----

/// Which kernel of which guest: its name says more than its file.
std::string guest_cell(const CaseRecord& r) {
  return r.plugin || r.worker ? r.kernel.value_or(r.plugin ? *r.plugin : *r.worker) : "";
}

/// What computed it: the ISA level, the device, or else the backend.
std::string where_cell(const CaseRecord& r) {
  if ((r.plugin || r.worker) && !r.device) return r.backend;
  return r.isa ? *r.isa : r.device ? "device " + *r.device : r.backend;
}

constexpr auto kExecution = Heading::kExecution;
constexpr auto kWithin = Varies::kWithinGroup;

// In the order of the help. Ranks: {nest, line, column, label, shown}.
// A row each, not a line for each member:
// clang-format off
constexpr Field kRows[] = {
    {.name = "type", .value = "T", .help = "{}", .words = choices_of<AttentionType>,
     .heading = kExecution, .varies = kWithin, .rank = {4, 7, 0, 0},
     .parse = parse_enumerators<kType>, .unset = default_types, .text = print<kType>,
     .said = always, .label = no_label,
     .recorded = erasing(one_of(recorded<&CaseRecord::type>(recorded_as<kType>),
                                words_of<AttentionType>), erase_kernel),
     .shown = {.phrase = "{}", .column = kNoColumn, .always = true}},  // a column in any case
    {.name = "backend", .value = "B", .help = "{} (default: auto)",
     .words = backend_choices, .heading = kExecution, .varies = kWithin, .rank = {0, 7, 0, 0}, .parse = parse_backend,
     .text = print<kBackend>, .said = is_set<kBackend>, .label = no_label,
     .recorded = erasing(recorded<&CaseRecord::backend>(nullptr), erase_processor),
     .shown = {.phrase = "{}", .column = kNoColumn}},
    {.name = "device", .value = "N",
     .help = "which GPU (default: 0); emulated: run CUDA kernels on the processor",
     .heading = kExecution, .varies = kWithin, .rank = {0, 11, 3, 0}, .parse = parse_device,
     .text = device_of, .said = is_set<kDevice>, .label = no_label,
     .recorded = recorded<&CaseRecord::device>(nullptr),
     .shown = {.phrase = "{}", .column = kNoColumn}},
    {.name = "isa", .value = "I", .help = "{} (default: the best)", .words = choices_of<Isa>,
     .heading = kExecution, .scope = Scope::kAlsoInfo, .varies = kWithin, .rank = {3, 8, 2, 0},
     .parse = parse_enumerators<kIsa>, .text = print<kIsa>, .said = is_set<kIsa>, .label = no_label,
     .recorded = recorded<&CaseRecord::isa>(nullptr),
     .shown = {.phrase = "{}", .cell = where_cell}},
    {.name = "threads", .value = "N", .help = "(default: OMP_NUM_THREADS, or the cores that this process may use)",
     .heading = kExecution, .scope = Scope::kAlsoInfo, .varies = kWithin, .rank = {1, 10, 2, 8},
     .parse = parse_sizes<kThreads, kThreadLimits>, .text = print<kThreads>,
     .said = is_set<kThreads>, .recorded = between(recorded<&CaseRecord::threads>(nullptr), 1),
     .shown = {.phrase = "{} threads"}},
    // The kernel that ran is in the report beside the one that was asked for, and is no flag.
    {.name = "kernel", .heading = kExecution, .rank = {.column = 1},
     .recorded = not_in_key(erasing(recorded<&CaseRecord::kernel>(nullptr), erase_kernel)),
     .shown = {.column = kNoColumn}},
    // Inside of the types, because a kernel brings its own.
    {.name = "kernel", .value = "NAME", .help = "force one kernel; `flashbench info` lists them",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 1, 0, 2}, .parse = parse_kernel,
     .text = print<kKernel>, .said = is_set<kKernel>, .label = no_label,
     .recorded = recorded<&CaseRecord::kernel_request>(recorded_kernel, "kernel_request"),
     .shown = {.title = "kernel", .phrase = "kernel {}", .column = "kernel"}},
    {.name = "plugin", .value = "FILE", .repeats = true,
     .help = "somebody's kernels in a library behind flashbench_kernel.h; FILE:NAME chooses one",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 6, 0, 2}, .parse = parse_plugin,
     .text = print<kPlugin>, .said = says_library, .label = print<kPlugin>,
     .has_effect = is_plugin, .reset = reset_to_default<kPlugin>, .idle = "is for --type plugin",
     .recorded = recorded<&CaseRecord::plugin>(recorded_plugin),
     .shown = {.title = "guest", .phrase = "{}", .column = "guest", .cell = guest_cell}},
    {.name = "abi", .value = "A",
     .help = "how a plug-in is called: {} (default: flashbench_kernel); of tvm-ffi FILE:NAME is a function",
     .words = choices_of<PluginAbi>, .heading = kExecution, .varies = kWithin,
     .rank = {5, 9, 6, 0, 2}, .parse = parse_enumerators<kAbi>, .text = print<kAbi>,
     .said = is_set<kAbi>, .label = no_label, .has_effect = is_plugin,
     .reset = reset_to_default<kAbi>, .idle = "is for --type plugin"},
    {.name = "ptx", .value = "FILE",
     .help = "somebody's kernels as PTX, for --device emulated",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 6, 0, 2}, .parse = parse_ptx,
     .text = ptx_text, .said = is_ptx, .label = no_label, .has_effect = is_plugin,
     .reset = reset_to_default<kPlugin>, .idle = "is for --type plugin"},
    {.name = "launch", .value = "JSON",
     .help = "how --ptx is launched (default: FILE.json beside FILE.ptx)",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 6, 0, 2}, .parse = parse_launch,
     .text = print<kLaunch>, .said = is_set<kLaunch>, .label = print<kLaunch>, .has_effect = is_plugin,
     .reset = reset_to_default<kLaunch>, .idle = "is for --ptx"},
    {.name = "worker", .value = "COMMAND", .repeats = true,
     .help = "somebody's kernels in a program that speaks flashbench's protocol for workers; again for another",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 6, 0, 2}, .parse = parse_worker,
     .text = worker_text, .said = is_set<kWorker>, .label = worker_label, .has_effect = is_worker,
     .reset = reset_to_default<kWorker>, .idle = "is for --type worker",
     .recorded = recorded<&CaseRecord::worker>(recorded_worker),
     .shown = {.title = "worker", .phrase = "{}", .column = kNoColumn}},
    {.name = "deterministic", .help = "bitwise equal gradients from run to run",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 5, 7, 2},
     .parse = parse_switch<kDeterministic>, .text = print<kDeterministic>,
     .said = is_set<kDeterministic>, .label = deterministic_label,
     .recorded = not_in_key(recorded<&CaseRecord::deterministic>(recorded_as<kDeterministic>))},
    {.name = "q_block", .value = "N", .help = "query block of --type paper (default: 64)",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 0, 6}, .parse = parse_sizes<kQBlock>,
     .text = print<kQBlock>, .said = is_set<kQBlock>, .has_effect = is_paper,
     .reset = reset_to_default<kQBlock>, .idle = kNeedsPaper, .shown = {.abbreviation = "qblock"}},
    {.name = "kv_block", .value = "N", .help = "key block of --type paper (default: 64)",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 0, 6},
     .parse = parse_sizes<kKvBlock>, .text = print<kKvBlock>, .said = is_set<kKvBlock>,
     .has_effect = is_paper, .reset = reset_to_default<kKvBlock>, .idle = kNeedsPaper,
     .shown = {.abbreviation = "kvblock"}},

    {.name = "cache", .value = "C", .help = "{} operands (default: warm)",
     .words = choices_of<CacheState>, .heading = Heading::kTiming, .scope = Scope::kBench,
     .rank = {3, 13, 4, 0, 1}, .parse = parse_enumerators<kCache>, .text = print<kCache>,
     .said = is_set<kCache>, .label = no_label,
     .recorded = one_of(recorded<&CaseRecord::cache>(recorded_as<kCache>), words_of<CacheState>),
     .shown = {.phrase = "{} cache"}},
};
// clang-format on

}  // namespace

std::span<const Field> execution_rows() { return kRows; }

}  // namespace flashbench::sweep
