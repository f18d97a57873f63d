#pragma once

#include <string_view>

namespace flashbench::app {

/// Writes to stdout and flushes. A reader that went away (`| head`) ends the program silently, as
/// it ends any filter; another failure (a full disk) throws UsageError.
void print_out(std::string_view text);

/// Writes to stderr and flushes; a failure is ignored, since it could be told nowhere.
void print_err(std::string_view text);

/// Rewrites the last line of stderr where that is a terminal; "" takes it away.
void say(std::string_view line);

bool stdout_is_terminal();
bool stderr_is_terminal();

/// Whether stdout may carry colour: a terminal, and no NO_COLOR.
bool stdout_takes_color();

}  // namespace flashbench::app
