#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command_line/flags.h"
#include "sweep/settings.h"

namespace flashbench::app {

/// A command line, its config merged in, before any value is parsed.
struct CommandLine {
  Command command = Command::kInfo;
  sweep::SweepPlan plan;
  std::vector<std::string> argv;      ///< with the program's name
  std::vector<std::string> operands;  ///< words that belong to no flag; of compare only
  std::vector<std::string> behind;    ///< the words behind "--"; of compare only
};

struct Invocation {
  std::optional<CommandLine> run;
  std::string text;  ///< printed to stdout when there is nothing to run: help, version
};

/// Throws UsageError, one line, for everything that is not understood.
Invocation parse_command_line(const std::vector<std::string>& argv);

}  // namespace flashbench::app
