#pragma once

#include <memory>

#include "core/visibility.h"
#include "cuda/contract/family.h"
#include "cuda/device/device.h"
#include "kernel/kernel.h"

namespace flashbench::cuda {

/// The problem on that device: its operands live there, `prepare` fills and `collect` reads them.
std::unique_ptr<Plan> make_plan(Device& device, const KernelFamily& family, const Problem& p,
                                const Inputs& in);

}  // namespace flashbench::cuda
