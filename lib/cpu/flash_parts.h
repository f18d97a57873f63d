#pragma once

#include "kernel/partial.h"

namespace flashbench::cpu {

/// The flash drivers on parts of problems: any mask by position, padding, softcap, ALiBi, sinks,
/// d_v, K and V of 8 bits, V within K; no bias, pages or ragged batches.
const PartialKernel& flash_parts();

}  // namespace flashbench::cpu
