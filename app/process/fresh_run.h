#pragma once

#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::app {

/// Whether `flags` name this flag ("--min_time"), with or without "=".
bool names_flag(const std::vector<std::string>& flags, std::string_view flag);

/// `flashbench bench flags --json -` in a fresh process of `program`, read back. A wrong result or
/// a failed case is in the report and no error here. Throws UsageError and UnavailableError where
/// the program says that the request is either, DeviceError where it ends in another way; the
/// message has its command line and the last line that it wrote to stderr.
report::Report fresh_run(const std::string& program, const std::vector<std::string>& flags);

/// Timing of a short run, one of many: what `flags` do not say already.
std::vector<std::string> brief(std::vector<std::string> flags);

}  // namespace flashbench::app
