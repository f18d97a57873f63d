// Where tensors come from: random ones, and files.
#include <fmt/format.h>

#include "sweep/parse.h"
#include "sweep/rows.h"

namespace flashbench::sweep {
namespace {

constexpr auto kSeed = FB_MEMBER(problem.seed);
constexpr auto kValues = FB_MEMBER(problem.values);
constexpr auto kInput = FB_MEMBER(problem.files.bundle);
constexpr auto kQ = FB_MEMBER(problem.files.q);
constexpr auto kK = FB_MEMBER(problem.files.k);
constexpr auto kV = FB_MEMBER(problem.files.v);
constexpr auto kQName = FB_MEMBER(problem.files.q_name);
constexpr auto kKName = FB_MEMBER(problem.files.k_name);
constexpr auto kVName = FB_MEMBER(problem.files.v_name);
constexpr auto kDoName = FB_MEMBER(problem.files.do_name);
constexpr auto kMaskName = FB_MEMBER(problem.files.mask_name);
constexpr auto kSinksName = FB_MEMBER(problem.files.sinks_name);
constexpr auto kAlibiName = FB_MEMBER(problem.files.alibi_name);
constexpr auto kBiasName = FB_MEMBER(problem.files.bias_name);
constexpr auto kLayout = FB_MEMBER(problem.files.layout);

Axis parse_seeds(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const std::uint64_t seed = parse_seed(item, a.setting.where);
    axis.push_back([seed](Case& c) { c.problem.seed = seed; });
  });
  return axis;
}

// Of which tensors a file may be read: a bundle may hold a mask and a gradient, too.
bool mask_from_file(const Case& c) {
  return !c.problem.files.bundle.empty() || c.problem.padding == PaddingMask::kFile;
}
bool sinks_from_file(const Case& c) {
  return !c.problem.files.bundle.empty() || c.problem.sinks == Sinks::kFile;
}
bool alibi_from_file(const Case& c) {
  return !c.problem.files.bundle.empty() || c.problem.alibi == Alibi::kFile;
}
bool bias_from_file(const Case& c) {
  return !c.problem.files.bundle.empty() || c.problem.bias == Bias::kFile;
}
bool do_from_file(const Case& c) {
  return !c.problem.files.bundle.empty() || c.problem.d_o == GradSource::kFile;
}
bool has_layout(const Case& c) { return from_files(c) || do_from_file(c); }
constexpr std::string_view kNeedsFiles = "needs --input, or --q, --k and --v";

/// A name or a layout, where it is of a tensor that is read and not as usual.
template <auto at, auto is_read>
bool set_and_read(const Case& c) {
  return is_read(c) && is_set<at>(c);
}
Value recorded_input(const Case& c) {
  const Problem& p = c.problem;
  const InputFiles& f = p.files;
  std::string text = "random";
  if (!f.bundle.empty())
    text = f.bundle;
  else if (f.any())
    text = fmt::format("{}, {}, {}", f.q, f.k, f.v);
  if (set_and_read<kLayout, has_layout>(c)) text += fmt::format("; layout={}", name(f.layout));
  // Another tensor of the same file makes another problem.
  if (set_and_read<kQName, from_files>(c)) text += "; q_name=" + f.q_name;
  if (set_and_read<kKName, from_files>(c)) text += "; k_name=" + f.k_name;
  if (set_and_read<kVName, from_files>(c)) text += "; v_name=" + f.v_name;
  if (p.ragged == Ragged::kFile && !f.ragged.empty()) text += "; ragged=" + f.ragged;
  if (p.padding == PaddingMask::kFile && !f.mask.empty()) text += "; mask=" + f.mask;
  if (p.alibi == Alibi::kFile && !f.alibi.empty()) text += "; alibi=" + f.alibi;
  if (p.alibi == Alibi::kFile && is_set<kAlibiName>(c)) text += "; alibi_name=" + f.alibi_name;
  if (p.bias == Bias::kFile && !f.bias.empty()) text += "; bias=" + f.bias;
  if (p.bias == Bias::kFile && is_set<kBiasName>(c)) text += "; bias_name=" + f.bias_name;
  if (p.sinks == Sinks::kFile && !f.sinks.empty()) text += "; sinks=" + f.sinks;
  if (p.sinks == Sinks::kFile && is_set<kSinksName>(c)) text += "; sinks_name=" + f.sinks_name;
  if (p.needs_gradients() && p.d_o != GradSource::kOnes)
    text += fmt::format("; do={}", p.d_o == GradSource::kFile && !f.d_o.empty()
                                       ? std::string_view(f.d_o)
                                       : name(p.d_o));
  if (p.padding == PaddingMask::kFile && is_set<kMaskName>(c)) text += "; mask_name=" + f.mask_name;
  if (p.needs_gradients() && p.d_o == GradSource::kFile && is_set<kDoName>(c))
    text += "; do_name=" + f.do_name;
  return text;
}

constexpr auto kTensors = Heading::kTensors;
constexpr auto kNever = Varies::kNever;

// In the order of the help. Ranks: {nest, line, column, label, shown}.
// clang-format off
constexpr Field kRows[] = {
    {.name = "seed", .value = "N", .help = "of the random tensors and the random mask (default: 0)",
     .rank = {3, 4, 0, 1}, .parse = parse_seeds, .text = print<kSeed>, .said = is_set<kSeed>,
     .recorded = between(recorded<&Workload::seed>(recorded_as<kSeed>), 0)},

    {.name = "values", .value = "V", .help = "of the random tensors: {} (default: normal)",
     .words = choices_of<Values>, .rank = {3, 4, 0, 1}, .parse = parse_enumerators<kValues>,
     .text = print<kValues>, .said = is_set<kValues>,
     .has_effect = [](const Case& c) { return !from_files(c); }, .reset = reset_to_default<kValues>,
     .idle = "needs random tensors, which --input and --q replace",
     .recorded = in_workload<kValues>(words_of<Values>),
     .shown = {.phrase = "{} values"}},
    {.name = "input", .value = "FILE", .help = ".safetensors with q, k, v and perhaps mask, sinks, alibi_slopes, bias, do, cu_seqlens_q, cu_seqlens_k; or k_pages, v_pages, block_table, kv_lens",
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kInput>,
     .text = print<kInput>, .said = is_set<kInput>,
     .recorded = noted(recorded<&Workload::input>(recorded_input), "'random', or the files")},
    {.name = "q", .value = "FILE",
     .help = "one tensor a file, .npy or .safetensors; with --k and --v", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kQ>, .text = print<kQ>,
     .said = is_set<kQ>},
    {.name = "k", .value = "FILE", .heading = kTensors, .varies = kNever, .rank = {.line = 6},
     .parse = parse_single<kK>, .text = print<kK>, .said = is_set<kK>},
    {.name = "v", .value = "FILE", .heading = kTensors, .varies = kNever, .rank = {.line = 6},
     .parse = parse_single<kV>, .text = print<kV>, .said = is_set<kV>},
    {.name = "q_name", .value = "NAME", .help = "name of the tensor in the file (default: q)",
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kQName>,
     .text = print<kQName>, .said = set_and_read<kQName, from_files>,
     .has_effect = from_files, .reset = reset_to_default<kQName>,
     .idle = kNeedsFiles},
    {.name = "k_name", .value = "NAME", .help = "(default: k)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kKName>, .text = print<kKName>,
     .said = set_and_read<kKName, from_files>,
     .has_effect = from_files, .reset = reset_to_default<kKName>,
     .idle = kNeedsFiles},
    {.name = "v_name", .value = "NAME", .help = "(default: v)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kVName>, .text = print<kVName>,
     .said = set_and_read<kVName, from_files>,
     .has_effect = from_files, .reset = reset_to_default<kVName>,
     .idle = kNeedsFiles},
    {.name = "do_name", .value = "NAME", .help = "(default: do)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kDoName>, .text = print<kDoName>,
     .said = set_and_read<kDoName, do_from_file>,
     .has_effect = do_from_file, .reset = reset_to_default<kDoName>,
     .idle = "needs --input, or --do FILE"},
    {.name = "mask_name", .value = "NAME", .help = "(default: mask)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kMaskName>,
     .text = print<kMaskName>, .said = set_and_read<kMaskName, mask_from_file>,
     .has_effect = mask_from_file, .reset = reset_to_default<kMaskName>,
     .idle = "needs --input, or --mask FILE"},
    {.name = "sinks_name", .value = "NAME", .help = "(default: sinks)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kSinksName>,
     .text = print<kSinksName>, .said = set_and_read<kSinksName, sinks_from_file>,
     .has_effect = sinks_from_file, .reset = reset_to_default<kSinksName>,
     .idle = "needs --input, or --sinks FILE"},
    {.name = "alibi_name", .value = "NAME", .help = "(default: alibi_slopes)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kAlibiName>,
     .text = print<kAlibiName>, .said = set_and_read<kAlibiName, alibi_from_file>,
     .has_effect = alibi_from_file, .reset = reset_to_default<kAlibiName>,
     .idle = "needs --input, or --alibi FILE"},
    {.name = "bias_name", .value = "NAME", .help = "(default: bias)", .heading = kTensors,
     .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kBiasName>,
     .text = print<kBiasName>, .said = set_and_read<kBiasName, bias_from_file>,
     .has_effect = bias_from_file, .reset = reset_to_default<kBiasName>,
     .idle = "needs --input, or --bias FILE"},
    {.name = "layout", .value = "L", .help = "axes in files, but for a bias: {} (default: bhsd)",
     .words = choices_of<Layout>,
     .heading = kTensors, .varies = kNever, .rank = {.line = 6}, .parse = parse_single<kLayout>,
     .text = print<kLayout>, .said = set_and_read<kLayout, has_layout>,
     .has_effect = has_layout, .reset = reset_to_default<kLayout>,
     .idle = "needs --input, --q or --do FILE"},
};
// clang-format on

}  // namespace

std::span<const Field> tensor_rows() { return kRows; }

}  // namespace flashbench::sweep
