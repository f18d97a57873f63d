#pragma once

#include <string>

#include "app/command_line/command.h"

namespace flashbench::app {

/// `flashbench --help`: the commands.
std::string general_help(const Commands& commands);

/// `flashbench <command> --help`: what it does, its flags by group, examples. Ends with a newline.
std::string command_help(const Command& command);

}  // namespace flashbench::app
