#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/visibility.h"
#include "cuda/contract/family.h"
#include "cuda/device/device.h"

// What a problem takes of a device, before anything is allocated: launches, bytes, FLOP.
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

// ---- Parts of it, of which a plan makes the same use

/// There is a padding mask.
bool padded(const Problem& p);
/// The family keeps all scores in memory.
bool materialises(const KernelFamily& f);
/// Bytes of a f32 for each query row.
std::size_t rows_bytes(const Problem& p);
/// Where a family that moves boxes gathers the kept keys of both K and V.
std::size_t packed_bytes(const KernelFamily& f, const Problem& p);
/// Floats of a row of scores: it starts at a multiple of 16 bytes.
std::int64_t scores_stride(const Problem& p);
std::size_t scores_bytes(const Problem& p);
/// Bytes of a row of the padding mask, which kernels read by four.
std::int64_t key_mask_stride(const Problem& p);
/// What a family asks for, whatever the mask turns out to be.
std::size_t family_workspace_bytes(const KernelFamily& f, const Problem& p, const DeviceInfo& on);

Extent extent_of(const Problem& p, const std::vector<Visibility>& sees, const DeviceInfo& on);
std::vector<Launch> timed_launches(const KernelFamily& f, Pass pass, const Extent& e);
/// What a plan launches, timed or before: a backward alone follows a forward.
std::vector<Launch> all_launches(const KernelFamily& f, const Problem& p, const Extent& e);

}  // namespace flashbench::cuda
