#pragma once

#include <filesystem>
#include <string>

#include "report/record.h"

namespace flashbench::report {

/// The machine, the build and the OpenMP settings. `isa`: the best level that runs here. `root`:
/// where /proc, /sys and /etc are looked for. What the system does not tell stays absent or empty.
Context capture_context(const std::string& isa, const std::filesystem::path& root = "/");

/// Now, "2026-01-31T12:34:56Z".
std::string utc_now();

}  // namespace flashbench::report
