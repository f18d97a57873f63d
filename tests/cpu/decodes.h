#pragma once

#include "cpu/flash_decode.h"
#include "cpu/tile_ops.h"
#include "kernel/kernel.h"

namespace flashbench::cpu {

/// Whether the kernel decodes some sequence of a forward pass: it then sums in an order of its own.
inline bool decodes(const Kernel& kernel, const Problem& p, Isa isa) {
  if (kernel.info().name != "cpu_flash" || p.needs_gradients()) return false;
  for (std::int64_t b = 0; b < p.shape.b; ++b)
    if (FlashDecode::suits(p.shape, b, tile_ops(isa, p.dtype))) return true;
  return false;
}

}  // namespace flashbench::cpu
