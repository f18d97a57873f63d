#pragma once

#include "kernel/backend.h"
#include "measure/clock.h"

namespace flashbench::app {

/// What a command works with: the program hands in its backends and the steady clock, a test its
/// fakes.
struct Runtime {
  const Backends& backends;
  measure::Clock& clock;
};

}  // namespace flashbench::app
