#pragma once

#include "app/command_line/cli.h"
#include "app/command_line/request.h"
#include "app/runtime.h"
#include "system/error.h"

namespace flashbench::app {

/// Dispatches to the command's own function below.
ExitCode run_command(const CommandLine& line, const Runtime& runtime);

ExitCode run_single(const SingleRequest& request, const Runtime& runtime);  ///< forward, backward
ExitCode run_bench(const BenchRequest& request, const Runtime& runtime);
ExitCode run_check(const CheckRequest& request, const Runtime& runtime);
ExitCode run_info(const InfoRequest& request, const Runtime& runtime);
ExitCode run_compare(const CompareRequest& request, const Runtime& runtime);

}  // namespace flashbench::app
