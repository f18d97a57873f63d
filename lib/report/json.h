#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "report/record.h"

namespace flashbench::report {

/// The value, or null where it is not finite: JSON has no NaN.
nlohmann::ordered_json finite_or_null(double value);

/// Every result as published(): a number without a passed check is null.
nlohmann::ordered_json to_json(const Report& report);
nlohmann::ordered_json to_json(const Result& result);
nlohmann::ordered_json workload_json(const Workload& w,
                                     std::span<const sweep::Field> table = sweep::fields());

/// The report as text with a newline at the end. Invalid UTF-8 (in a file name, say) becomes
/// U+FFFD.
std::string to_json_text(const Report& report);

/// Reads what to_json_text() wrote. `source` names it in messages. Unknown keys are skipped, and
/// fields that may be null may be missing, so that reports of other minor versions can be read.
/// Throws UsageError with one line for anything that is no JSON, nests deeper than any report, has
/// a key twice, lacks a field, or has a wrong type or range.
Report from_json_text(std::string_view text, std::string_view source);

/// The same from a file. Throws UsageError where it cannot be read.
Report read_report(const std::string& path);

/// A result's `workload` alone.
Workload workload_from_json_text(std::string_view text, std::string_view source,
                                 std::span<const sweep::Field> table = sweep::fields());

}  // namespace flashbench::report
