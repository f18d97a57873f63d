#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command_line/command.h"

namespace flashbench::app {

struct Invocation {
  std::optional<CommandLine> run;
  std::string text;       ///< printed to stdout when there is nothing to run: help, version
  std::string note = {};  ///< for stderr, before the run: what the reader may not expect
};

/// Throws UsageError, one line, for everything that is not understood.
Invocation parse_command_line(const std::vector<std::string>& argv, const Commands& commands,
                              const Backends& backends);

}  // namespace flashbench::app
