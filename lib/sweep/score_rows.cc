// What becomes of the scores before and in softmax.
#include <fmt/format.h>

#include "sweep/parse.h"
#include "sweep/rows.h"
#include "sweep/widths.h"
#include "sweep/word_or_file.h"
#include "system/digits.h"

namespace flashbench::sweep {
namespace {

constexpr auto kScale = FB_MEMBER(problem.scale);
constexpr auto kSoftcap = FB_MEMBER(problem.softcap);
constexpr auto kAlibi = FB_MEMBER(problem.alibi);
constexpr auto kAlibiFile = FB_MEMBER(problem.files.alibi);
constexpr auto kBias = FB_MEMBER(problem.bias);
constexpr auto kBiasFile = FB_MEMBER(problem.files.bias);
constexpr auto kBiasShape = FB_MEMBER(problem.bias_shape);
constexpr auto kBiasGrad = FB_MEMBER(problem.bias_grad);
constexpr auto kSinks = FB_MEMBER(problem.sinks);
constexpr auto kSinksFile = FB_MEMBER(problem.files.sinks);

std::string scale_text(const Case& c) { return fmt::format("{}", c.problem.softmax_scale()); }
Value recorded_scale(const Case& c) { return c.problem.softmax_scale(); }
std::string scale_cell(const CaseRecord& r) {
  return has_usual_scale(r.workload) ? "" : digits(r.workload.scale, 4);
}

std::string alibi_label(const Case& c) {
  return c.problem.alibi == Alibi::kFile ? c.problem.files.alibi
                                         : fmt::format("alibi_{}", name(c.problem.alibi));
}

std::string bias_label(const Case& c) {
  switch (c.problem.bias) {
    case Bias::kNone:
      return "no_bias";
    case Bias::kRandom:
      return "bias";
    case Bias::kFile:
      return c.problem.files.bias;
  }
  no_such_enumerator();
}
bool has_bias(const Case& c) { return c.problem.bias != Bias::kNone; }
bool random_bias(const Case& c) { return c.problem.bias == Bias::kRandom; }
std::string bias_shape_label(const Case& c) {
  return has_bias(c) ? fmt::format("bias_{}", name(c.problem.bias_shape)) : "";
}
constexpr Recorded recorded_bias_shape() {
  Recorded r = in_workload<kBiasShape>(words_of<BiasShape>);
  r.nullable = true;
  r.value = [](const Case& c) { return has_bias(c) ? recorded_as<kBiasShape>(c) : Value(); };
  return noted(r, "null or absent: there is no bias");
}
/// A bundle may hold a bias; whether it does is known when it is opened.
bool may_need_bias_gradient(const Case& c) {
  return c.problem.needs_gradients() && (has_bias(c) || !c.problem.files.bundle.empty());
}
/// Whether there is one to compute, whatever was asked.
std::string bias_gradient_text(const Case& c) {
  return plain_text(c.problem.needs_bias_gradient());
}
constexpr Recorded recorded_bias_gradient() {
  Recorded r = in_workload<kBiasGrad>();
  r.value = [](const Case& c) { return Value(c.problem.needs_bias_gradient()); };
  return r;
}
void erase_shape_and_gradient_of_bias(CaseRecord& r) {
  r.workload.others.erase("bias_shape");
  r.workload.others.erase("bias_grad");
  erase_from_input(r, "bias");
}
void erase_slopes_file(CaseRecord& r) { erase_from_input(r, "alibi"); }
void erase_sinks_file(CaseRecord& r) { erase_from_input(r, "sinks"); }

std::string sinks_label(const Case& c) {
  switch (c.problem.sinks) {
    case Sinks::kNone:
      return "no_sinks";
    case Sinks::kRandom:
      return "sinks";
    case Sinks::kFile:
      return c.problem.files.sinks;
  }
  no_such_enumerator();
}

// In the order of the help. Ranks: {nest, line, column, label, shown}.
// clang-format off
constexpr Field kRows[] = {
    {.name = "scale", .value = "X", .help = "factor of the scores (default: 1/sqrt(d))",
     .rank = {3, 4, 0, 1}, .parse = parse_reals<kScale, kAnyReal>, .text = scale_text,
     .said = is_set<kScale>, .follows = [](const Case& c) { return !kScale(c); },
     .recorded = noted(recorded<&Workload::scale>(recorded_scale), "the factor itself"),
     .shown = {.cell = scale_cell, .follows = "d"}},
    {.name = "softcap", .value = "X",
     .help = "a scaled score s becomes X tanh(s / X) before softmax (default: 0, none)",
     .rank = {3, 4, 0, 1}, .parse = parse_reals<kSoftcap, kNotNegative>, .text = print<kSoftcap>,
     .said = is_set<kSoftcap>, .needs = Feature::kSoftcap,
     .recorded = between(in_workload<kSoftcap>(), 0), .shown = {.phrase = "softcap {}"}},
    {.name = "alibi", .value = "A",
     .help = "a score loses slope * |i + kv_len - q_len - j|, a slope a query head: none, standard or "
             "FILE (default: none)",
     .rank = {3, 4, 0, 1}, .parse = parse_word_or_file<kAlibi, kAlibiFile>,
     .text = word_or_file<kAlibi, kAlibiFile>, .said = says_word_or_file<kAlibi, kAlibiFile>,
     .label = alibi_label, .needs = Feature::kAlibi,
     .recorded = erasing(in_workload<kAlibi>(words_of<Alibi>), erase_slopes_file), .shown = {.phrase = "{} ALiBi"}},
    {.name = "bias", .value = "B",
     .help = "what is added to each score, where -inf hides the pair: none, random (hides 1 pair in "
             "16) or FILE (default: none)",
     .rank = {3, 4, 0, 1}, .parse = parse_word_or_file<kBias, kBiasFile>,
     .text = word_or_file<kBias, kBiasFile>, .said = says_word_or_file<kBias, kBiasFile>,
     .label = bias_label, .needs = Feature::kBias,
     .recorded = erasing(in_workload<kBias>(words_of<Bias>), erase_shape_and_gradient_of_bias),
     .shown = {.phrase = "{} bias"}},
    {.name = "bias_shape", .value = "S",
     .help = "batch elements and heads that have a random bias of their own: {} (default: 1xh)",
     .words = choices_of<BiasShape>, .rank = {3, 4, 0, 1}, .parse = parse_enumerators<kBiasShape>,
     .text = print<kBiasShape>,
     .said = [](const Case& c) { return random_bias(c) && is_set<kBiasShape>(c); },
     .label = bias_shape_label, .has_effect = random_bias, .reset = reset_to_default<kBiasShape>,
     .idle = "needs --bias random", .recorded = recorded_bias_shape(),
     .shown = {.phrase = "bias shape {}"}},
    {.name = "bias_grad", .help = "the gradient of the bias is computed too, summed over axes of 1",
     .rank = {3, 4, 0, 1}, .parse = parse_switch<kBiasGrad>, .text = bias_gradient_text,
     .said = [](const Case& c) { return may_need_bias_gradient(c) && is_set<kBiasGrad>(c); },
     .label = [](const Case& c) { return std::string(kBiasGrad(c) ? "dbias" : "no_dbias"); },
     .has_effect = may_need_bias_gradient, .reset = reset_to_default<kBiasGrad>,
     .needs = Feature::kBiasGradient,
     .idle = "needs a bias (--bias, or --input with one) and gradients (backward, or --pass backward "
             "or both)",
     .recorded = recorded_bias_gradient()},
    {.name = "sinks", .value = "S",
     .help = "one more logit a query head, without a value: none, random or FILE (default: none)",
     .rank = {3, 4, 0, 1}, .parse = parse_word_or_file<kSinks, kSinksFile>,
     .text = word_or_file<kSinks, kSinksFile>, .said = says_word_or_file<kSinks, kSinksFile>,
     .label = sinks_label, .needs = Feature::kSinks,
     .recorded = erasing(in_workload<kSinks>(words_of<Sinks>), erase_sinks_file), .shown = {.phrase = "{} sinks"}},
};
// clang-format on

}  // namespace

std::span<const Field> score_rows() { return kRows; }

}  // namespace flashbench::sweep
