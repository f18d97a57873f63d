#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sweep/record.h"

namespace flashbench::sweep {

/// What one flag or one key of a config was given, as text: numbers are parsed in one place.
struct Setting {
  std::vector<std::string> values;  ///< a flag gives one text; a JSON array gives one per element
  std::string where;                ///< for messages: "--q_len", or "quick.json: 'q_len'"
};

/// By flag name without dashes.
using Settings = std::map<std::string, Setting, std::less<>>;

/// A config or a command line: settings, and points that overlay them, each expanded in turn.
struct SweepPlan {
  Settings base;
  std::vector<Settings> zip = {};    ///< empty: the base alone
  Part part = {};                    ///< of a model, as the config says
  std::vector<Part> zip_parts = {};  ///< likewise of each point; empty: as the base
};

/// `flags` win over `config`, inside its zip points too.
SweepPlan merge(const Settings& flags, SweepPlan config);

}  // namespace flashbench::sweep
