#pragma once

#include <memory>

#include "core/visibility.h"
#include "cuda/contract/family.h"
#include "cuda/device/device.h"
#include "kernel/kernel.h"

namespace flashbench::cuda {

/// Bytes of device memory that a plan takes for a problem on a device. `tensors`: the operands,
/// their rows padded to 16 bytes; `workspace`: what no user asked for, of it the device's
/// product_scratch_bytes() where a family multiplies through Device::multiply.
struct DeviceNeed {
  std::size_t tensors = 0, workspace = 0;
  std::size_t total() const { return tensors + workspace; }
};
DeviceNeed device_need(const KernelFamily& family, const Problem& p,
                       std::size_t product_scratch_bytes, const DeviceInfo& on);

/// FLOP that one launch of the problem executes; `sees` has one entry per batch element.
double flop_executed(const KernelFamily& family, const Problem& p,
                     const std::vector<Visibility>& sees);

/// Every launch of a pass fits CUDA's limits on grids, every product those of BLAS.
bool grid_fits(const KernelFamily& family, const Problem& p);

/// The problem on that device: its operands live there, `prepare` fills and `collect` reads them.
std::unique_ptr<Plan> make_plan(Device& device, const KernelFamily& family, const Problem& p,
                                const Inputs& in);

}  // namespace flashbench::cuda
