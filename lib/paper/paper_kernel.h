#pragma once

#include "kernel/kernel.h"

namespace flashbench::paper {

/// The FlashAttention-1 algorithms as written, in f32 on the CPU: heads in parallel, each head
/// scalar and sequential. The readable yardstick, not the fast one.
const Kernel& paper_kernel();

}  // namespace flashbench::paper
