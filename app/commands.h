#pragma once

#include "app/command_line/command.h"

namespace flashbench::app {

/// The commands of this program, in the order of its help.
const Commands& commands();

}  // namespace flashbench::app
