#pragma once

#include <cstddef>
#include <memory>

#include "kernel/partial.h"

// A problem whose K and V come in pieces of Problem::kv_chunk keys, for kernels that compute parts.
namespace flashbench {

/// Each pass goes through the chunks in order: a forward carries its rows from one to the next, a
/// backward has dK and dV of a chunk in f32 until all queries have added to them.
std::unique_ptr<Plan> plan_by_chunk(const PartialKernel& kernel, const Problem& p,
                                    const Execution& e, const Inputs& in);

/// Bytes that it allocates, and FLOP of a launch when no key is padded.
std::size_t chunk_workspace_bytes(const PartialKernel& kernel, const Problem& p,
                                  const Execution& e);
double chunk_flop(const PartialKernel& kernel, const Problem& p, const Execution& e);

/// The problem that its chunks are parts of.
Problem problem_of_chunks(const Problem& p);

}  // namespace flashbench
