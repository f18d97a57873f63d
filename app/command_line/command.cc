#include "app/command_line/command.h"

#include <algorithm>

namespace flashbench::app {

std::vector<FlagGroup> flags_of(const Command& command, const std::vector<FlagGroup>& groups) {
  std::vector<FlagGroup> own;
  for (FlagGroup group : groups) {
    std::erase_if(group.flags, [&](const Flag& flag) {
      return std::find(command.takes.begin(), command.takes.end(), flag.set) == command.takes.end();
    });
    if (!group.flags.empty()) own.push_back(std::move(group));
  }
  own.insert(own.end(), command.own_flags.begin(), command.own_flags.end());
  return own;
}

std::vector<std::string> flag_names(const Command& command) {
  std::vector<std::string> names;
  for (const FlagGroup& group : flags_of(command))
    for (const Flag& flag : group.flags) names.emplace_back(flag.name);
  return names;
}

std::vector<std::string> config_names(const Command& command) {
  std::vector<std::string> names = flag_names(command);
  std::erase_if(names, [](const std::string& flag) { return !may_stand_in_config(flag); });
  return names;
}

}  // namespace flashbench::app
