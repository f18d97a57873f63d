#pragma once

#include "kernel/execution.h"

namespace flashbench::cpu {

/// Multiply-add rate of these threads at this ISA level in FLOP/s, in f32: the 16-bit types are
/// computed in f32 as well. One reading of about 10 ms.
double measure_peak_flops(const Execution& e);

/// Read bandwidth of these threads in bytes/s, from a buffer of four times the last cache (at least
/// 128 MiB), which is kept for the next reading. One reading of the whole buffer.
double measure_read_bandwidth(const Execution& e);

}  // namespace flashbench::cpu
