#pragma once

#include <string>

#include "app/command_line/flags.h"

namespace flashbench::app {

/// `flashbench --help`: the commands.
std::string general_help();

/// `flashbench <command> --help`: what it does, its flags by group, examples. Ends with a newline.
std::string command_help(Command c);

}  // namespace flashbench::app
