#pragma once

#include <string>

#include "report/record.h"

/// For services that draw a curve over commits: the conclusive() times of a report, one a case, by
/// a name that says all of the case. UTF-8, a newline at the end.
namespace flashbench::report {

/// Bencher Metric Format: {"NAME": {"latency": {"value", "lower_value", "upper_value"}}}, the
/// median and its 95 % interval in nanoseconds, which Bencher's measure `latency` has.
std::string bmf_text(const Report& report);

/// What github-action-benchmark reads as `customSmallerIsBetter`: [{"name", "unit": "ns", "value",
/// "range", "extra"}].
std::string github_benchmark_text(const Report& report);

}  // namespace flashbench::report
