#pragma once

#include <memory>

#include "distributed/arrangement.h"
#include "distributed/threads_communicator.h"
#include "kernel/kernel.h"

namespace flashbench::distributed {

/// A kernel whose problems are spread over ranks that are threads of this process: each computes
/// parts with `kernel`, which must outlive this, on its share of the threads. It refuses what
/// `kernel` or the arrangement cannot, by name. A launch fails where a rank sends other bytes than
/// its schedule says.
std::unique_ptr<const Kernel> context_parallel(const Kernel& kernel, const Arrangement& of,
                                               const Link& link = {});

}  // namespace flashbench::distributed
