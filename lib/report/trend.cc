#include "report/trend.h"

#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "report/derive.h"
#include "sweep/shown.h"

namespace flashbench::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kNanosecond = 1e-9;

std::string text_of(const Json& j) {
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// "flash forward, f32, b1 h2 4096x4096 d512, causal, avx512, 2 threads".
std::string name_of(const Result& r) {
  return fmt::format("{} {}", subject_of(r), sweep::described(r));
}

void for_each_time(const Report& report,
                   const std::function<void(const Result&, const Timing&)>& f) {
  std::vector<Result> results = report.results;
  for (Result& r : results) r = published(std::move(r));
  tell_guests_apart(results);
  for (const Result& r : results)
    if (r.timing && conclusive(r)) f(r, *r.timing);
}

}  // namespace

std::string bmf_text(const Report& report) {
  Json all = Json::object();
  for_each_time(report, [&](const Result& r, const Timing& t) {
    all[name_of(r)]["latency"] = {{"value", t.median / kNanosecond},
                                  {"lower_value", t.ci95[0] / kNanosecond},
                                  {"upper_value", t.ci95[1] / kNanosecond}};
  });
  return text_of(all);
}

std::string github_benchmark_text(const Report& report) {
  Json all = Json::array();
  for_each_time(report, [&](const Result& r, const Timing& t) {
    all.push_back({{"name", name_of(r)},
                   {"unit", "ns"},
                   {"value", t.median / kNanosecond},
                   {"range", fmt::format("± {:.0f}", (t.ci95[1] - t.ci95[0]) / 2 / kNanosecond)},
                   {"extra", r.command}});
  });
  return text_of(all);
}

}  // namespace flashbench::report
