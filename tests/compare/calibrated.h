#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "tests/report/fixture.h"

namespace flashbench::compare {

inline constexpr double kSecondsAtPeak = 0.2;

/// flash and normal, whose runs differ by a tenth of a percent.
inline report::Report calibrated_report(double slowdown = 1) {
  report::Report report = report::fixed_report();
  report.results = {report::fixed_result("flash", 0.25 * slowdown),
                    report::fixed_result("normal", 0.75)};
  for (report::Result& r : report.results) {
    r.calibration = report::Calibration{std::vector<double>(6, r.timing->median), 0.001};
    r.pct_peak = 100 * kSecondsAtPeak / r.timing->median;  // of a machine that stays the same
  }
  return report;
}

inline Comparison compared(const report::Report& base, const report::Report& fresh) {
  return compare_reports("base.json", base, "new.json", fresh, {});
}

inline std::vector<std::string> verdicts(const Comparison& c) {
  std::vector<std::string> out;
  for (const ComparedCase& one : c.cases) out.emplace_back(verdict_name(one));
  return out;
}

}  // namespace flashbench::compare
