#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/device/device.h"
#include "guest/guest.h"

namespace flashbench::guest {

/// The tensors of a plan on a GPU, each in memory of its own, and its workspace. Methods throw what
/// cuda::Device throws.
class DeviceCopies {
 public:
  /// `operands` outlive this. Tensors are copied once; workspace and guards start as 0xFF. The
  /// emulated device needs no guards, and its workspace stays uninitialised, so that reading it is
  /// reported.
  DeviceCopies(cuda::Device& device, const Operands& operands, std::size_t workspace_bytes);

  /// Null where there is no such tensor.
  void* find(std::string_view name) const;
  void* workspace() const { return workspace_.bytes == 0 ? nullptr : start(workspace_); }

  /// These tensors become what shared memory has.
  void give(const Names& tensors);
  /// Waits. Shared memory gets the outputs.
  void collect();
  /// What somebody wrote that he must not: "it wrote to its input q"; "" where all is well. Waits.
  std::string trespass();

 private:
  /// Between guards, which are looked at; the emulated device looks itself.
  struct Guarded {
    std::string name;
    std::size_t bytes = 0;
    std::byte* host = nullptr;  ///< in shared memory
    cuda::DeviceBuffer buffer;
    std::shared_ptr<void> named;  ///< on the emulated device, as long as the buffer is there
  };
  Guarded guarded(const std::string& name, std::size_t bytes, std::byte* host,
                  const Placed* tensor);
  std::vector<Guarded> all_of(const Placement& placement, SharedMemory& memory);
  void* start(const Guarded& g) const;
  bool is_whole(const Guarded& g);

  cuda::Device& device_;
  std::size_t guard_bytes_;
  std::vector<Guarded> inputs_, outputs_;
  Guarded workspace_;
};

}  // namespace flashbench::guest
