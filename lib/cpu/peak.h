#pragma once

#include "core/dtype.h"
#include "kernel/execution.h"

namespace flashbench::cpu {

/// Multiply-add rate in FLOP/s of these threads for a dtype at this ISA level: of bf16 dot products
/// for bf16 where the level has them, else of f32, in which the 16-bit types are computed as well.
/// One reading of about 10 ms.
double measure_peak_flops(const Execution& e, Dtype dtype);

/// Read bandwidth of these threads in bytes/s, from a buffer of four times the last cache (at least
/// 128 MiB), which is kept for the next reading. One reading of the whole buffer.
double measure_read_bandwidth(const Execution& e);

}  // namespace flashbench::cpu
