#pragma once

#include "guest/guest.h"

namespace flashbench::guest {

/// From here on, where this process, a worker, touches memory that it must not, the program is told
/// what that was before the process ends: "it wrote to q, which is an input".
void explain_faults(int socket);

/// Tensors of a plan that is about to run, for explain_faults(). Kept until the next call.
void explain_faults_in(const Operands& operands, const void* workspace, std::size_t bytes);

}  // namespace flashbench::guest
