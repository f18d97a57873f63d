#pragma once

#include <optional>
#include <string>

#include "report/record.h"

namespace flashbench::report {

/// What this program was built from, and how.
struct BuildInfo {
  std::string version;                  ///< of the project, "0.1.0"
  std::optional<std::string> describe;  ///< git describe; absent outside a git checkout
  std::optional<std::string> git_sha;
  std::optional<bool> dirty;
  std::string compiler;  ///< "GNU 12.2.0"
  std::string flags;     ///< of the C++ compiler
  std::string build_type;
};
const BuildInfo& build_info();

/// For the report.
Tool tool();

/// "flashbench 0.1.0 (abc12345, modified)": of any report, what wrote it.
std::string tool_text(const Tool& tool);

/// One line for --version: "flashbench 0.1.0 (v0.1.0-3-gabc1234), GNU 12.2.0, Release: -O3
/// -DNDEBUG".
std::string version_line();

}  // namespace flashbench::report
