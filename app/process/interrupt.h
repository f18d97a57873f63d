#pragma once

#include "system/error.h"

namespace flashbench::app {

/// From here on SIGINT and SIGTERM only raise a flag, once: a second one ends the program at once.
/// Signals that the parent had ignored (nohup) stay ignored. SIGXFSZ is ignored: a write beyond
/// `ulimit -f` fails with an error that can be told, instead of ending the program without a word.
void watch_signals();

/// True once SIGINT or SIGTERM came. Asked between samples and between cases.
bool interrupted();

/// 130 or 143 once interrupted.
ExitCode interrupted_code();

/// Thrown where work that cannot give a partial result is cut short by a signal.
struct Interrupted {};

}  // namespace flashbench::app
