#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cuda/device/device.h"
#include "guest/guest.h"

namespace flashbench::guest {

/// The tensors of a plan on a GPU: inputs and outputs lie there as they do in shared memory, and
/// the workspace is there alone. Methods throw what cuda::Device throws.
class DeviceCopies {
 public:
  /// `operands` outlive this. Everything is copied once; the workspace is 0xFF.
  DeviceCopies(cuda::Device& device, const Operands& operands, std::size_t workspace_bytes);

  std::byte* in() const { return in_.as<std::byte>(); }
  std::byte* out() const { return out_.as<std::byte>(); }
  void* workspace() const { return workspace_bytes_ == 0 ? nullptr : workspace_.as<void>(); }

  /// These tensors become what shared memory has.
  void give(const Names& tensors);
  /// Waits. Shared memory gets the outputs, and what lies between them.
  void collect();
  /// What somebody wrote that he must not: "it wrote to its input q"; "" where all is well. Waits.
  std::string trespass();

 private:
  void write(const Placement& placement, const SharedMemory& from, const cuda::DeviceBuffer& to,
             const std::vector<std::string>& names);

  cuda::Device& device_;
  Operands operands_;
  std::size_t workspace_bytes_;
  cuda::DeviceBuffer in_, out_, workspace_;
};

}  // namespace flashbench::guest
