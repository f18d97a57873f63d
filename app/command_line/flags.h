#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::app {

enum class Command { kForward, kBackward, kBench, kCheck, kInfo, kCompare };

inline constexpr Command kCommands[] = {Command::kForward, Command::kBackward, Command::kBench,
                                        Command::kCheck,   Command::kInfo,     Command::kCompare};

std::string_view name(Command c);
std::optional<Command> command_from_name(std::string_view text);

/// One flag of the command line, which is also one key of a config.
struct Flag {
  std::string_view name;  ///< without dashes
  /// What the help calls its value; "" for a switch, true when bare; as many values as words.
  std::string_view value;
  std::string_view help;
  std::string_view
      commands;  ///< the initials of the commands that take it: f, b(ackward) as w, ...
};

/// Flags under one heading of the help.
struct FlagGroup {
  std::string_view title;
  std::vector<Flag> flags;
};

const std::vector<FlagGroup>& flag_groups();

/// How many values the flag takes; 0 for a switch.
int value_count(const Flag& flag);

bool takes(Command c, const Flag& flag);

/// The names that a command takes on the command line, without dashes.
std::vector<std::string> flag_names(Command c);

/// The names that a config of this command may hold.
std::vector<std::string> config_names(Command c);

}  // namespace flashbench::app
