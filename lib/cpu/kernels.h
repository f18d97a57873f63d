#pragma once

#include <vector>

#include "kernel/kernel.h"

namespace flashbench::cpu {

/// The kernels of this backend, in the order that routing tries them.
const std::vector<const Kernel*>& kernels();

}  // namespace flashbench::cpu
