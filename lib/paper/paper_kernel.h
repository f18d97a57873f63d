#pragma once

#include "kernel/kernel.h"

namespace flashbench::paper {

/// The `paper` type: FlashAttention-1 as written, in f32, one head per thread.
const Kernel& paper_kernel();

}  // namespace flashbench::paper
