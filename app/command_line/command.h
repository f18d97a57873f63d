#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/command_line/flags.h"
#include "app/command_line/runtime.h"
#include "sweep/settings.h"
#include "system/error.h"

namespace flashbench::app {

struct CommandLine;

/// A command of the program. A new one is one of these, and one line in the list of
/// app/commands.cc.
struct Command {
  std::string_view name;     ///< the first word
  std::string_view summary;  ///< its line in the general help
  std::string_view more;     ///< the rest of its own help, before the flags
  std::vector<FlagSet> takes;
  std::vector<FlagGroup> own_flags = {};  ///< whatever their set says, it takes them
  bool takes_operands = false;            ///< words that belong to no flag, and those behind "--"
  ExitCode (*run)(const CommandLine& line, const Runtime& runtime);
};

/// In the order of the help. Not owned, never null.
using Commands = std::vector<const Command*>;

/// A command line, its config merged in, before any value is parsed.
struct CommandLine {
  const Command* command = nullptr;
  sweep::SweepPlan plan;
  std::string config;                 ///< the file that --config named, or ""
  std::vector<std::string> argv;      ///< with the program's name
  std::vector<std::string> operands;  ///< with takes_operands: words that belong to no flag
  std::vector<std::string> behind;    ///< with takes_operands: the words behind "--"
};

/// The flags that it takes, out of flag_groups(), under their headings; its own at the end.
std::vector<FlagGroup> flags_of(const Command& command,
                                const std::vector<FlagGroup>& groups = flag_groups());

/// Their names, without dashes.
std::vector<std::string> flag_names(const Command& command);

/// The names that a config for it may hold.
std::vector<std::string> config_names(const Command& command);

}  // namespace flashbench::app
