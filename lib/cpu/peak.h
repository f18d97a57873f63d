#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/dtype.h"
#include "kernel/execution.h"

namespace flashbench::cpu {

/// Multiply-add rate in FLOP/s of these threads for a dtype at this ISA level: of bf16 dot products
/// for bf16 where the level has them, else of f32, in which the 16-bit types are computed as well.
/// One reading of about 10 ms.
double measure_peak_flops(const Execution& e, Dtype dtype);

/// Bytes of the buffer that bandwidth is read from: four times the last caches, between 128 MiB and
/// 2 GiB; less where that is more than a quarter of what is available, which others need as well.
/// Throws OutOfMemoryError where so little would be left that the caches hold half of it.
std::size_t bandwidth_buffer_bytes(std::uint64_t last_caches_bytes,
                                   std::optional<std::uint64_t> available_bytes);

/// Read bandwidth of these threads in bytes/s, from a buffer beyond the last caches, which is
/// kept for the next one where it is a small part of the memory. Not thread-safe. One reading of
/// the whole buffer, after one that is not timed. Throws OutOfMemoryError where there is too little
/// memory for such a buffer now.
double measure_read_bandwidth(const Execution& e);

}  // namespace flashbench::cpu
