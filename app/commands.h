#pragma once

#include "app/command_line/cli.h"
#include "app/command_line/request.h"
#include "system/error.h"

namespace flashbench::app {

/// Dispatches to the command's own function below.
ExitCode run_command(const CommandLine& line);

ExitCode run_single(const SingleRequest& request);  ///< forward and backward
ExitCode run_bench(const BenchRequest& request);
ExitCode run_check(const CheckRequest& request);
ExitCode run_info(const InfoRequest& request);
ExitCode run_compare(const CompareRequest& request);

}  // namespace flashbench::app
