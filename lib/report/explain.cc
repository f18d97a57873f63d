#include "report/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "report/shares.h"
#include "report/units.h"
#include "system/digits.h"

namespace flashbench::report {
namespace {

/// Below this share of the limit a reader asks what the rest of the time goes to.
constexpr double kNearPeak = 90;
/// Score matrices that move this many times what the operands are explain a time.
constexpr double kMatricesMatter = 2;

std::optional<double> balance_of(const Report& report, const Result& r) {
  std::optional<double> gflops, gb_s;
  for (const Peak& p : report.peaks) {
    const bool same_cpu = p.isa == r.isa.value_or("") && p.threads == r.threads.value_or(0);
    if (p.backend != r.backend || p.device != r.device || !(r.device || same_cpu)) continue;
    if (p.disturbed) return std::nullopt;
    if (p.gflops && p.dtype == r.workload.dtype) gflops = p.gflops;
    if (p.read_gb_s) gb_s = p.read_gb_s;
  }
  if (!gflops || !gb_s || !(*gb_s > 0)) return std::nullopt;
  return *gflops / *gb_s;
}

double share_of(const std::vector<Phase>& phases, bool (*counts)(const Phase&)) {
  double part_s = 0, all_s = 0;
  for (const Phase& p : phases) {
    all_s += p.seconds;
    if (counts(p)) part_s += p.seconds;
  }
  return all_s > 0 ? part_s / all_s : 0;
}

/// What the profile has seen besides matrix products.
std::string phases_cause(const Result& r) {
  if (!r.phases || r.phases->empty()) return "";
  const bool any_product =
      std::any_of(r.phases->begin(), r.phases->end(), [](const Phase& p) { return p.flop; });
  if (!any_product) return "";
  const double products = share_of(*r.phases, [](const Phase& p) { return p.flop.has_value(); });
  const Phase* other = nullptr;
  double all_s = 0;
  for (const Phase& p : *r.phases) {
    all_s += p.seconds;
    if (!p.flop && (other == nullptr || p.seconds > other->seconds)) other = &p;
  }
  std::string text =
      fmt::format("{:.0f} % of its thread time is in the matrix products", 100 * products);
  if (other != nullptr && all_s > 0)
    text += fmt::format(", {:.0f} % in '{}'", 100 * other->seconds / all_s, other->phase);
  return text;
}

/// What a score matrix in memory costs.
std::string matrices_cause(const Result& r) {
  if (r.type != "normal" || !r.io_bytes || !r.io_bytes->contains("normal") || r.bytes == 0)
    return "";
  const double moved = r.io_bytes->at("normal");
  const double ratio = moved / static_cast<double>(r.bytes);
  if (ratio < kMatricesMatter) return "";
  return fmt::format("its score matrices move {} through memory, {}x its operands",
                     human_bytes(moved), human_ratio(ratio));
}

/// Masked pairs that it computes all the same.
std::string waste_cause(const Result& r) {
  if (!r.flop_executed || !(r.flop_visible > 0)) return "";
  const double ratio = *r.flop_executed / r.flop_visible;
  return ratio < 1.2 ? "" : fmt::format("it computes {:.1f}x the pairs that count", ratio);
}

}  // namespace

std::optional<std::string> explanation(const Result& r) {
  if (!r.bound || !r.intensity || !r.balance) return std::nullopt;
  const bool compute = *r.bound == "compute";
  std::string text = fmt::format(
      "{} operations for every byte of its tensors, and this machine can do {} while one byte "
      "arrives from memory: {} is the limit",
      digits(*r.intensity, 3), digits(*r.balance, 3), compute ? "arithmetic" : "memory");
  if (!r.pct_peak) return text;
  text += fmt::format(", of which it reaches {:.0f} %", *r.pct_peak);
  if (*r.pct_peak > kMostShare)
    text += ", since part of its tensors stays in the caches, which are faster than memory";
  std::vector<std::string> causes;
  for (std::string cause : {waste_cause(r), matrices_cause(r), phases_cause(r)})
    if (!cause.empty()) causes.push_back(std::move(cause));
  if (r.type == "paper") causes.push_back("it is scalar code, written to be read");
  if (*r.pct_peak < kNearPeak && !causes.empty())
    text += fmt::format("; {}", fmt::join(causes, "; "));
  return text;
}

void derive_bounds(Report& report) {
  for (Result& r : report.results) {
    if (!numbers_hold(r) || r.why) continue;
    if (r.bytes > 0) r.intensity = r.flop_visible / static_cast<double>(r.bytes);
    r.balance = balance_of(report, r);
    if (r.intensity && r.balance) r.bound = *r.intensity >= *r.balance ? "compute" : "memory";
  }
}

void derive_explanations(Report& report) {
  for (Result& r : report.results)
    if (numbers_hold(r) && !r.why) r.why = explanation(r);
}

std::string io_text(const Result& r) {
  if (!r.io_bytes) return "";
  std::vector<std::string> parts;
  for (const char* type : {"normal", "paper", "flash"})
    if (const auto found = r.io_bytes->find(type); found != r.io_bytes->end())
      parts.push_back(fmt::format("{}{} {}", type, parts.empty() ? " has to move" : "",
                                  human_bytes(found->second)));
  if (parts.empty()) return "";
  return fmt::format(
      "between memory and the caches {} (by the papers' analysis, not measured: normal stores and "
      "reads its matrices of scores; paper reads its queries once for every block of --kv_block "
      "keys; flash reads keys and values once for as many queries as fill a quarter of the last "
      "cache)",
      fmt::join(parts, ", "));
}

}  // namespace flashbench::report
