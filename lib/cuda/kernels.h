#pragma once

#include <vector>

#include "kernel/kernel.h"

namespace flashbench::cuda {

/// The kernels of this backend, in the order that routing tries them; none without the toolkit.
const std::vector<const Kernel*>& kernels();

}  // namespace flashbench::cuda
