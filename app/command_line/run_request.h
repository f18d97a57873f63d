#pragma once

#include <string>
#include <vector>

#include "app/command_line/options.h"
#include "app/command_line/request.h"

/// What the requests of all commands that compute are made of.
namespace flashbench::app {

/// Everything but the groups.
RunRequest run_request(const CommandLine& line, const Options& options);

/// These types, and behind them those of the guests that the plan names.
std::vector<AttentionType> with_guests(const sweep::SweepPlan& plan,
                                       std::vector<AttentionType> types);

/// The guests that it names, or what is computed where it names none.
std::vector<AttentionType> guests_or(const sweep::SweepPlan& plan,
                                     std::vector<AttentionType> types);

/// The files that a command reads before it writes any.
std::vector<std::string> files_read(const CommandLine& line, const RunRequest& run);

}  // namespace flashbench::app
