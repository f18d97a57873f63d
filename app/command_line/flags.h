#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sweep/expand.h"

namespace flashbench::app {

/// Flags that the same commands take; a command says which sets are its own.
enum class FlagSet {
  kEvery,     ///< every command
  kMachine,   ///< what looks at this machine
  kComputes,  ///< what computes
  kTables,    ///< what ends with a table
  kSingle,    ///< what computes one case
  kTraced,    ///< what runs a case again to trace it
  kSweeps,    ///< what computes many cases
  kBench,
  kCheck,
  kCompare,
  kGates,  ///< what ends with a judgement: check and compare
  kInfo,
};

/// One flag of the command line, which is also one key of a config.
struct Flag {
  std::string_view name;  ///< without dashes
  /// What the help calls its value; "" for a switch, true when bare; as many values as words.
  std::string_view value;
  std::string help;
  FlagSet set;
  bool repeats = false;  ///< it may be given again, for another value
};

/// Flags under one heading of the help.
struct FlagGroup {
  std::string_view title;
  std::vector<Flag> flags;
};

/// Every flag that more than one command might take; those of a case come from the field table.
/// `defaults`: whose backends the help names.
std::vector<FlagGroup> flag_groups(const sweep::Defaults& defaults = {},
                                   std::span<const sweep::Field> table = sweep::fields());

/// How many values the flag takes; 0 for a switch.
int value_count(const Flag& flag);

/// Whether a config may hold it.
bool may_stand_in_config(std::string_view flag);

}  // namespace flashbench::app
