#pragma once

#include <exception>

#include "system/error.h"

namespace flashbench {

/// From here on SIGINT, SIGTERM and SIGHUP only raise a flag, once: a second one ends the program
/// at once. Signals that the parent had ignored (nohup) stay ignored. SIGXFSZ is ignored: a write
/// beyond `ulimit -f` fails with an error that can be told, instead of ending the program without a
/// word.
void watch_signals();

/// True once one of them came. Asked between samples, cases, tiles and rows of what takes long: a
/// launch or a check that sees it leaves the rest out, and what called it throws Interrupted.
bool interrupted();

/// 130, 143 or 129 once interrupted.
ExitCode interrupted_code();

/// Thrown where work that cannot give a partial result is cut short by a signal.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

/// Throws Interrupted once interrupted.
void stop_if_interrupted();

}  // namespace flashbench
