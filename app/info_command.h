#pragma once

#include "app/command_line/command.h"

namespace flashbench::app {

const Command& info_command();

}  // namespace flashbench::app
