#pragma once

#include "cuda/fragments/instructions.cuh"

// Names of entry points in a file NAME_16bit.cu, which the build compiles once for bf16 and once
// for f16: it defines FLASHBENCH_DTYPE (bf16, f16) and FLASHBENCH_ELEMENT (Bf16, F16).
#if !defined(FLASHBENCH_DTYPE) || !defined(FLASHBENCH_ELEMENT)
#error "compile this file as lib/cuda/image/compile.cmake does: once for each type of 16 bits"
#endif

#define FLASHBENCH_JOINED(name, dtype) name##_##dtype
#define FLASHBENCH_JOINED_D(name, dtype, d) name##_##dtype##_d##d
#define FLASHBENCH_EXPANDED(name, dtype) FLASHBENCH_JOINED(name, dtype)
#define FLASHBENCH_EXPANDED_D(name, dtype, d) FLASHBENCH_JOINED_D(name, dtype, d)

/// NAME_bf16, and NAME_bf16_d64: what a launch asks for.
#define FLASHBENCH_ENTRY(name) FLASHBENCH_EXPANDED(name, FLASHBENCH_DTYPE)
#define FLASHBENCH_ENTRY_D(name, d) FLASHBENCH_EXPANDED_D(name, FLASHBENCH_DTYPE, d)

namespace flashbench::cuda {
/// The type of the elements that this compilation is for.
using EntryElement = fragments::FLASHBENCH_ELEMENT;
}  // namespace flashbench::cuda
