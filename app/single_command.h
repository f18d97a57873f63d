#pragma once

#include "app/command_line/command.h"

namespace flashbench::app {

const Command& forward_command();
const Command& backward_command();

}  // namespace flashbench::app
