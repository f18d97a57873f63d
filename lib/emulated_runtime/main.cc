#include "emulated_runtime/state.h"

// One library for each version of CUDA whose programs are served.
#pragma GCC visibility push(default)
extern "C" flashbench::emulated_runtime::Error cudaRuntimeGetVersion(int* version) {
  *version = RUNTIME_VERSION;
  return flashbench::emulated_runtime::kSuccess;
}
#pragma GCC visibility pop
