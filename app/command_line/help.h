#pragma once

#include <string>

#include "app/command_line/command.h"

namespace flashbench::app {

/// `flashbench --help`: the commands.
std::string general_help(const Commands& commands);

/// `flashbench <command> --help`: what it does, its flags by group, examples. Ends with a newline.
/// `groups`: what its flags are taken from.
std::string command_help(const Command& command,
                         const std::vector<FlagGroup>& groups = flag_groups());

}  // namespace flashbench::app
