#include <fmt/format.h>

#include <cmath>

#include "sweep/expand.h"
#include "sweep/field.h"
#include "sweep/parse.h"

namespace flashbench::sweep {
namespace {

#define FB_MEMBER(member) \
  [](auto& c) -> auto& { return c.member; }

constexpr auto kB = FB_MEMBER(problem.shape.b);
constexpr auto kH = FB_MEMBER(problem.shape.h);
constexpr auto kHKv = FB_MEMBER(problem.shape.h_kv);
constexpr auto kQLen = FB_MEMBER(problem.shape.q_len);
constexpr auto kKvLen = FB_MEMBER(problem.shape.kv_len);
constexpr auto kD = FB_MEMBER(problem.shape.d);
constexpr auto kPass = FB_MEMBER(problem.pass);
constexpr auto kDtype = FB_MEMBER(problem.dtype);
constexpr auto kCausal = FB_MEMBER(problem.causal);
constexpr auto kMaskKeep = FB_MEMBER(problem.mask_keep);
constexpr auto kScale = FB_MEMBER(problem.scale);
constexpr auto kSeed = FB_MEMBER(problem.seed);
constexpr auto kType = FB_MEMBER(type);
constexpr auto kBackend = FB_MEMBER(backend);
constexpr auto kDevice = FB_MEMBER(device);
constexpr auto kIsa = FB_MEMBER(isa);
constexpr auto kThreads = FB_MEMBER(threads);
constexpr auto kKernel = FB_MEMBER(kernel);
constexpr auto kDeterministic = FB_MEMBER(deterministic);
constexpr auto kQBlock = FB_MEMBER(q_block);
constexpr auto kKvBlock = FB_MEMBER(kv_block);
constexpr auto kCache = FB_MEMBER(cache);
constexpr auto kInput = FB_MEMBER(problem.files.bundle);
constexpr auto kQ = FB_MEMBER(problem.files.q);
constexpr auto kK = FB_MEMBER(problem.files.k);
constexpr auto kV = FB_MEMBER(problem.files.v);
constexpr auto kQName = FB_MEMBER(problem.files.q_name);
constexpr auto kKName = FB_MEMBER(problem.files.k_name);
constexpr auto kVName = FB_MEMBER(problem.files.v_name);
constexpr auto kDoName = FB_MEMBER(problem.files.do_name);
constexpr auto kMaskName = FB_MEMBER(problem.files.mask_name);
constexpr auto kLayout = FB_MEMBER(problem.files.layout);
#undef FB_MEMBER

constexpr Limits kThreadLimits{1, 4096};
constexpr Limits kDeviceLimits{0, 1023};

// ---- what the general functions of parse.h do not say ----

Axis parse_mask(const Asked& a) {
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
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
std::string mask_text(const Case& c) {
  const Problem& p = c.problem;
  return p.padding == PaddingMask::kFile ? p.files.mask : std::string(name(p.padding));
}
bool mask_said(const Case& c) {
  const Problem& p = c.problem;
  switch (p.padding) {
    case PaddingMask::kRandom:
      return true;
    case PaddingMask::kFile:
      return !p.files.mask.empty();  // a mask inside the bundle is used without being asked for
    case PaddingMask::kNone:
      return p.files.any();
  }
  no_such_enumerator();
}
std::string mask_label(const Case& c) {
  switch (c.problem.padding) {
    case PaddingMask::kNone:
      return "unpadded";
    case PaddingMask::kRandom:
      return "padded";
    case PaddingMask::kFile:
      return c.problem.files.mask;
  }
  no_such_enumerator();
}
Value recorded_mask(const Case& c) { return std::string(name(c.problem.padding)); }
bool random_mask(const Case& c) { return c.problem.padding == PaddingMask::kRandom; }
Value recorded_mask_keep(const Case& c) {
  return random_mask(c) ? Value(c.problem.mask_keep) : Value();
}

Axis parse_do(const Asked& a) {
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
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
std::string do_text(const Case& c) {
  const Problem& p = c.problem;
  return p.d_o == GradSource::kFile ? p.files.d_o : std::string(name(p.d_o));
}
bool do_said(const Case& c) {
  const Problem& p = c.problem;
  switch (p.d_o) {
    case GradSource::kRandom:
      return true;
    case GradSource::kFile:
      return !p.files.d_o.empty();
    case GradSource::kOnes:
      // A gradient inside the bundle is used without being asked for.
      return !p.files.bundle.empty() && p.needs_gradients();
  }
  no_such_enumerator();
}
void reset_do(Case& c) {
  c.problem.d_o = Problem{}.d_o;
  c.problem.files.d_o.clear();
}

Axis parse_seeds(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const std::uint64_t seed = parse_seed(item, a.setting.where);
    axis.push_back([seed](Case& c) { c.problem.seed = seed; });
  });
  return axis;
}

std::string scale_text(const Case& c) { return fmt::format("{}", c.problem.softmax_scale()); }
Value recorded_scale(const Case& c) { return c.problem.softmax_scale(); }

/// --type, or else the types of the kernels that were asked for, or else the default.
Axis default_types(const Defaults& defaults) {
  Axis axis;
  for (const AttentionType type : defaults.types)
    axis.push_back([type](Case& c) { c.type = type; });
  return axis;
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
      throw UsageError(fmt::format("{} must be the index of a GPU or {}, got {}", a.setting.where,
                                   device_text(kEmulatedDevice), quote(item)));
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
    if (a.defaults.type_of_kernel && !a.all.contains("type"))
      type = a.defaults.type_of_kernel(item);
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

bool from_files(const Case& c) { return c.problem.files.any(); }
template <auto at>
bool named_apart(const Case& c) {
  return from_files(c) && is_set<at>(c);
}
Value recorded_input(const Case& c) {
  const Problem& p = c.problem;
  const InputFiles& f = p.files;
  std::string text = "random";
  if (!f.bundle.empty())
    text = f.bundle;
  else if (f.any())
    text = fmt::format("{}, {}, {}", f.q, f.k, f.v);
  if (f.any() && f.layout != Layout::kBhsd) text += fmt::format("; layout={}", name(f.layout));
  if (p.padding == PaddingMask::kFile && !f.mask.empty()) text += "; mask=" + f.mask;
  if (p.needs_gradients() && p.d_o != GradSource::kOnes)
    text += fmt::format("; do={}", p.d_o == GradSource::kFile && !f.d_o.empty()
                                       ? std::string_view(f.d_o)
                                       : name(p.d_o));
  return text;
}

bool is_paper(const Case& c) { return c.type == AttentionType::kPaper; }
constexpr std::string_view kNeedsPaper = "is for --type paper";

// ---- what follows from a field by default, for compare --by ----

void erase_kv_heads(CaseRecord& r) {
  if (r.workload.h_kv == r.workload.h) r.workload.h_kv = 0;
}
void erase_keys(CaseRecord& r) {
  if (r.workload.kv_len == r.workload.q_len) r.workload.kv_len = 0;
}
void erase_usual_scale(CaseRecord& r) {
  const double usual = 1 / std::sqrt(static_cast<double>(r.workload.d));
  if (std::abs(r.workload.scale - usual) <= 1e-6 * usual) r.workload.scale = 0;
}
void erase_keep(CaseRecord& r) { r.workload.mask_keep.reset(); }
void erase_request(CaseRecord& r) { r.kernel_request.reset(); }
void erase_processor(CaseRecord& r) {
  r.isa.reset();
  r.threads.reset();
  r.device.reset();
}

constexpr char kNothing[] = "", kLabelB[] = "b", kLabelH[] = "h", kLabelHKv[] = "hkv",
               kLabelQ[] = "q", kLabelKv[] = "kv", kLabelD[] = "d", kLabelScale[] = "scale",
               kLabelSeed[] = "seed", kLabelKeep[] = "keep", kLabelDo[] = "do_",
               kLabelThreads[] = "threads", kLabelQBlock[] = "qblock", kLabelKvBlock[] = "kvblock";

std::string no_label(const Case&) { return ""; }

constexpr auto kExecution = Heading::kExecution;
constexpr auto kTensors = Heading::kTensors;
constexpr auto kWithin = Varies::kWithinGroup;
constexpr auto kNever = Varies::kNever;

// In the order of the help. Ranks: {nest, line, column, label}.
// A row each, not a line for each member:
// clang-format off
constexpr Field kFields[] = {
    {.name = "b", .value = "N", .help = "batch", .rank = {2, 0, 0, 0}, .parse = parse_sizes<kB>,
     .text = print<kB>, .said = always, .label = labelled<kLabelB, kB>,
     .recorded = recorded<&Workload::b>(recorded_as<kB>)},
    {.name = "h", .value = "N", .help = "query heads", .rank = {2, 0, 0, 0},
     .parse = parse_sizes<kH>, .text = print<kH>, .said = always, .label = labelled<kLabelH, kH>,
     .recorded = erasing(recorded<&Workload::h>(recorded_as<kH>), erase_kv_heads)},
    {.name = "h_kv", .value = "N", .help = "key/value heads; divides --h (default: --h)",
     .rank = {2, 0, 0, 0}, .parse = parse_sizes<kHKv>, .text = print<kHKv>,
     .said = [](const Case& c) { return kHKv(c) != kH(c); }, .label = labelled<kLabelHKv, kHKv>,
     .follows = [](const Case& c) { return kHKv(c) == kH(c); },
     .recorded = recorded<&Workload::h_kv>(recorded_as<kHKv>)},
    {.name = "q_len", .value = "N", .help = "queries", .rank = {4, 0, 0, 0},
     .parse = parse_sizes<kQLen>, .text = print<kQLen>, .said = always,
     .label = labelled<kLabelQ, kQLen>,
     .recorded = erasing(recorded<&Workload::q_len>(recorded_as<kQLen>), erase_keys)},
    {.name = "kv_len", .value = "N", .help = "keys (default: --q_len)", .rank = {4, 0, 0, 0},
     .parse = parse_sizes<kKvLen>, .text = print<kKvLen>, .said = always,
     .label = labelled<kLabelKv, kKvLen>,
     .follows = [](const Case& c) { return kKvLen(c) == kQLen(c); },
     .recorded = recorded<&Workload::kv_len>(recorded_as<kKvLen>)},
    {.name = "d", .value = "N", .help = "head dimension, up to 1024", .rank = {1, 0, 0, 0},
     .parse = parse_sizes<kD>, .text = print<kD>, .said = always, .label = labelled<kLabelD, kD>,
     .recorded = erasing(recorded<&Workload::d>(recorded_as<kD>), erase_usual_scale)},
    {.name = "pass", .value = "P", .help = "forward, backward or both", .rank = {0, 2, 0, 5},
     .parse = parse_enumerators<kPass>, .text = print<kPass>, .said = always,
     .label = labelled<kNothing, kPass>,
     .recorded = recorded<&CaseRecord::pass>(recorded_as<kPass>)},
    {.name = "dtype", .value = "T", .help = "f32, bf16 or f16 (default: f32)", .rank = {0, 1, 0, 0},
     .parse = parse_enumerators<kDtype>, .text = print<kDtype>, .said = always, .label = no_label,
     .recorded = recorded<&Workload::dtype>(recorded_as<kDtype>)},
    {.name = "causal", .help = "query i sees key j iff j <= i + kv_len - q_len",
     .rank = {3, 3, 0, 4}, .parse = parse_switch<kCausal>, .text = print<kCausal>,
     .said = is_set<kCausal>,
     .label = [](const Case& c) { return std::string(kCausal(c) ? "causal" : "full"); },
     .recorded = recorded<&Workload::causal>(recorded_as<kCausal>)},
    {.name = "mask", .value = "M",
     .help = "keys that are kept: none, random or FILE (default: none)", .rank = {3, 3, 0, 4},
     .parse = parse_mask, .text = mask_text, .said = mask_said, .label = mask_label,
     .recorded = erasing(recorded<&Workload::mask>(recorded_mask), erase_keep)},
    {.name = "mask_keep", .value = "P",
     .help = "probability that a random mask keeps a key (default: 0.5)", .rank = {3, 3, 0, 2},
     .parse = parse_reals<kMaskKeep, kProbability>, .text = print<kMaskKeep>,
     .said = [](const Case& c) { return random_mask(c) && is_set<kMaskKeep>(c); },
     .label = labelled<kLabelKeep, kMaskKeep>, .has_effect = random_mask,
     .reset = reset_to_default<kMaskKeep>, .idle = "needs --mask random",
     .recorded = recorded<&Workload::mask_keep>(recorded_mask_keep)},
    {.name = "do", .value = "G",
     .help = "gradient of the output: ones, random or FILE (default: ones)", .rank = {3, 5, 0, 3},
     .parse = parse_do, .text = do_text, .said = do_said,
     .label = [](const Case& c) { return fmt::format("{}{}", kLabelDo, name(c.problem.d_o)); },
     .has_effect = [](const Case& c) { return c.problem.needs_gradients(); }, .reset = reset_do},
    {.name = "scale", .value = "X", .help = "factor of the scores (default: 1/sqrt(d))",
     .rank = {3, 4, 0, 1}, .parse = parse_reals<kScale, kAnyReal>, .text = scale_text,
     .said = is_set<kScale>,
     .label = [](const Case& c) { return fmt::format("{}{}", kLabelScale, scale_text(c)); },
     .follows = [](const Case& c) { return !kScale(c); },
     .recorded = recorded<&Workload::scale>(recorded_scale)},
    {.name = "seed", .value = "N", .help = "of the random tensors and the random mask (default: 0)",
     .rank = {3, 4, 0, 1}, .parse = parse_seeds, .text = print<kSeed>, .said = is_set<kSeed>,
     .label = labelled<kLabelSeed, kSeed>,
     .recorded = recorded<&Workload::seed>(recorded_as<kSeed>)},

    {.name = "type", .value = "T", .help = "flash, normal or paper", .heading = kExecution,
     .varies = kWithin, .rank = {4, 7, 0, 0}, .parse = parse_enumerators<kType>,
     .unset = default_types, .text = print<kType>, .said = always, .label = no_label,
     .recorded = erasing(recorded<&CaseRecord::type>(recorded_as<kType>), erase_request)},
    {.name = "backend", .value = "B", .help = "auto, cpu or cuda (default: auto)",
     .heading = kExecution, .varies = kWithin, .rank = {0, 7, 0, 0}, .parse = parse_backend,
     .text = print<kBackend>, .said = is_set<kBackend>, .label = no_label,
     .recorded = erasing(recorded<&CaseRecord::backend>(nullptr), erase_processor)},
    {.name = "device", .value = "N",
     .help = "which GPU (default: 0); emulated: run CUDA kernels on the processor",
     .heading = kExecution, .varies = kWithin, .rank = {0, 11, 3, 0}, .parse = parse_device,
     .text = device_of, .said = is_set<kDevice>, .label = no_label,
     .recorded = recorded<&CaseRecord::device>(nullptr)},
    {.name = "isa", .value = "I",
     .help = "scalar, sse4, avx2, avx512, avx512_bf16 or neon (default: the best)",
     .heading = kExecution, .scope = Scope::kAlsoInfo, .varies = kWithin, .rank = {3, 8, 2, 0},
     .parse = parse_enumerators<kIsa>, .text = print<kIsa>, .said = is_set<kIsa>, .label = no_label,
     .recorded = recorded<&CaseRecord::isa>(nullptr)},
    {.name = "threads", .value = "N", .help = "(default: the cores that this process may use)",
     .heading = kExecution, .scope = Scope::kAlsoInfo, .varies = kWithin, .rank = {1, 10, 2, 8},
     .parse = parse_sizes<kThreads, kThreadLimits>, .text = print<kThreads>,
     .said = is_set<kThreads>, .label = labelled<kLabelThreads, kThreads>,
     .recorded = recorded<&CaseRecord::threads>(nullptr)},
    // The kernel that ran is in the report beside the one that was asked for, and is no flag.
    {.name = "kernel", .rank = {.column = 1},
     .recorded = not_in_key(erasing(recorded<&CaseRecord::kernel>(nullptr), erase_request))},
    // Inside of the types, because a kernel brings its own.
    {.name = "kernel", .value = "NAME", .help = "force one kernel; `flashbench info` lists them",
     .heading = kExecution, .varies = kWithin, .rank = {5, 9, 1, 0}, .parse = parse_kernel,
     .text = print<kKernel>, .said = is_set<kKernel>, .label = no_label,
     .recorded = recorded<&CaseRecord::kernel_request>(recorded_kernel, "kernel_request")},
    {.name = "deterministic", .help = "bitwise equal gradients from run to run",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 5, 7},
     .parse = parse_switch<kDeterministic>, .text = print<kDeterministic>,
     .said = is_set<kDeterministic>,
     .label = deterministic_label,
     .recorded = not_in_key(recorded<&CaseRecord::deterministic>(recorded_as<kDeterministic>))},
    {.name = "q_block", .value = "N", .help = "query block of --type paper (default: 64)",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 0, 6}, .parse = parse_sizes<kQBlock>,
     .text = print<kQBlock>, .said = is_set<kQBlock>, .label = labelled<kLabelQBlock, kQBlock>,
     .has_effect = is_paper, .reset = reset_to_default<kQBlock>, .idle = kNeedsPaper},
    {.name = "kv_block", .value = "N", .help = "key block of --type paper (default: 64)",
     .heading = kExecution, .varies = kWithin, .rank = {2, 12, 0, 6},
     .parse = parse_sizes<kKvBlock>, .text = print<kKvBlock>, .said = is_set<kKvBlock>,
     .label = labelled<kLabelKvBlock, kKvBlock>, .has_effect = is_paper,
     .reset = reset_to_default<kKvBlock>, .idle = kNeedsPaper},

    {.name = "input", .value = "FILE", .help = ".safetensors with q, k, v and perhaps mask and do",
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kInput>,
     .text = print<kInput>, .said = is_set<kInput>,
     .recorded = recorded<&Workload::input>(recorded_input)},
    {.name = "q", .value = "FILE",
     .help = "one tensor a file, .npy or .safetensors; with --k and --v", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kQ>, .text = print<kQ>,
     .said = is_set<kQ> } // namespace
    ,
    {.name = "k", .value = "FILE", .heading = kTensors, .varies = kNever, .rank = {.line = 6},
     .parse = parse_single<kK>, .text = print<kK>, .said = is_set<kK>},
    {.name = "v", .value = "FILE", .heading = kTensors, .varies = kNever, .rank = {.line = 6},
     .parse = parse_single<kV>, .text = print<kV>, .said = is_set<kV>},
    {.name = "q_name", .value = "NAME", .help = "name of the tensor in the file (default: q)",
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kQName>,
     .text = print<kQName>, .said = named_apart<kQName>},
    {.name = "k_name", .value = "NAME", .help = "(default: k)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kKName>, .text = print<kKName>,
     .said = named_apart<kKName>},
    {.name = "v_name", .value = "NAME", .help = "(default: v)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kVName>, .text = print<kVName>,
     .said = named_apart<kVName>},
    {.name = "do_name", .value = "NAME", .help = "(default: do)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kDoName>, .text = print<kDoName>,
     .said = named_apart<kDoName>},
    {.name = "mask_name", .value = "NAME", .help = "(default: mask)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kMaskName>,
     .text = print<kMaskName>, .said = named_apart<kMaskName>},
    {.name = "layout", .value = "L", .help = "axes in files: bhsd or bshd (default: bhsd)",
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kLayout>,
     .text = print<kLayout>, .said = named_apart<kLayout>},

    {.name = "cache", .value = "C", .help = "warm or cold operands (default: warm)",
     .heading = Heading::kTiming, .scope = Scope::kBench, .rank = {3, 13, 4, 0},
     .parse = parse_enumerators<kCache>, .text = print<kCache>, .said = is_set<kCache>,
     .label = no_label, .recorded = recorded<&CaseRecord::cache>(recorded_as<kCache>)},
};
// clang-format on

}  // namespace

std::span<const Field> fields() { return kFields; }

}  // namespace flashbench::sweep
