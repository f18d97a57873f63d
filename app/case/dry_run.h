#pragma once

#include <string>
#include <vector>

#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "app/command_line/runtime.h"
#include "system/error.h"

namespace flashbench::app {

/// Prints every case with its kernel and the FLOP, bytes, memory and time that it would take: the
/// time at the peaks of this machine, which are read for it. Nothing else runs and no file is
/// written; --json - gives the cases as a report whose results are skipped, for other programs.
/// `preface` stands above the table.
ExitCode show_dry_run(const RunRequest& request, std::vector<RoutedGroup>& groups,
                      const Runtime& runtime, const std::string& preface = "");

}  // namespace flashbench::app
