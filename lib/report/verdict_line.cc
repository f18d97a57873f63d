#include "report/verdict_line.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <span>

#include "core/verdict.h"
#include "report/units.h"

namespace flashbench::report {
namespace {

/// An absent error (NaN, or infinitely far off) is the worst of all.
double badness(const Worst& w) {
  return w.error_over_noise ? *w.error_over_noise / w.limit
                            : std::numeric_limits<double>::infinity();
}

/// ": got 0.5, expected 0.25"; "" where neither is known.
std::string numbers(const Worst& w) {
  // f32 needs nine digits to be told from its neighbours. NaN has a sign, which says nothing.
  const auto text = [](double x) { return std::isnan(x) ? "NaN" : fmt::format("{:.9g}", x); };
  if (!w.got && !w.expected) return "";
  const std::string got = w.got ? text(*w.got) : "NaN or an infinity";
  return fmt::format(": got {}{}", got, w.expected ? ", expected " + text(*w.expected) : "");
}

}  // namespace

const Worst* worst_output(const Check& check) {
  const Worst* worst = nullptr;
  for (const Worst& w : check.worst)
    if (worst == nullptr || badness(w) > badness(*worst)) worst = &w;
  return worst;
}

std::string tensor_label(std::string_view tensor) {
  if (tensor == "o") return "O";
  if (tensor == "lse") return "LSE";
  if (tensor == "dq") return "dQ";
  if (tensor == "dk") return "dK";
  if (tensor == "dv") return "dV";
  return std::string(tensor);
}

std::string index_text(std::string_view tensor, const std::array<std::int64_t, 4>& index) {
  if (tensor == "dsinks") return fmt::format("{}", index[1]);
  const std::size_t axes = tensor == "lse" ? 3 : 4;
  return fmt::format("{}", fmt::join(std::span(index).first(axes), ","));
}

std::string verdict_line(const Worst& w, std::string_view dtype) {
  // A bias may be f32 beside tensors of 16 bits: its gradient is judged as the bias is.
  const std::string rounding = w.tensor == "dbias" && dtype != "fp64" ? "rounding"
                               : w.tensor == "lse" || w.tensor == "dsinks"
                                   ? "f32 rounding"
                                   : fmt::format("{} rounding", dtype);
  const std::string error = w.error_over_noise ? human_ratio(*w.error_over_noise) + "x of expected"
                                               : "NaN, or infinitely far from expected";
  const std::string mean =
      w.scope == name(Scope::kElement) ? "" : fmt::format(" in the mean of a {}", w.scope);
  return fmt::format("{} {} {}{} (limit {:g}x), worst at [{}]{}{}", tensor_label(w.tensor), error,
                     rounding, mean, w.limit, index_text(w.tensor, w.index), numbers(w),
                     w.hint ? "; " + *w.hint : "");
}

std::string verdict_cell(const Check& check, std::string_view usual) {
  if (check.verdict == "not verified") return check.verdict;
  const Worst* worst = worst_output(check);
  const bool pass = check.verdict == "pass";
  std::string text = pass ? "pass" : "FAIL";
  if (worst == nullptr) return text;
  if (!pass) text += fmt::format(" {}", tensor_label(worst->tensor));
  text += worst->error_over_noise ? fmt::format(" {}x", human_ratio(*worst->error_over_noise))
                                  : std::string(" NaN");
  if (check.level == "sample" && usual != "sample") text += " of a sample";
  return text;
}

}  // namespace flashbench::report
