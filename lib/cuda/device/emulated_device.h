#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "cuda/device/device.h"
#include "ptx/device.h"

namespace flashbench::cuda {

/// The map as the emulator reads it.
TensorMap emulated_tensor_map(const BoxedTensor& tensor);

/// The device that executes the embedded PTX. A launch is done when it returns; whatever the
/// emulator finds wrong with it is thrown as a DeviceError. Every launch is scheduled in another
/// random order that follows from begin_orders and the number of launches since.
class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(const ptx::DeviceOptions& options);

  const DeviceInfo& info() const override { return info_; }
  std::size_t free_bytes() override;
  Address allocate(std::size_t bytes, const std::string& what) override;
  void release(Address address) noexcept override;
  void write(Address to, const void* from, std::size_t bytes) override;
  void read(void* to, Address from, std::size_t bytes) override;
  void zero(Address to, std::size_t bytes) override;
  void poison(Address to, std::size_t bytes) override;
  void begin_orders(std::uint64_t seed) override { seed_ = seed << 32; }
  void enqueue(const Launch& launch, std::span<const std::byte> argument) override;
  TensorMap tensor_map(const BoxedTensor& tensor) override;
  void multiply(const Gemm& g) override;
  void wait() override {}
  void mark_first() override;
  void mark() override;
  std::vector<double> intervals_s() override;
  void flush_l2() override {}
  std::vector<PhaseProfile::Row> take_counts() override;

 private:
  ptx::Counters& counters_of(const std::string& phase);
  const ptx::Module& module_with(const std::string& entry);

  ptx::Device device_;
  DeviceInfo info_;
  std::uint64_t seed_ = 0;       ///< of the next launch
  std::vector<double> marks_s_;  // of the steady clock: launches are done when they return
  std::map<std::string, ptx::Module> by_entry_;
  std::map<std::string_view, ptx::Module> by_image_;
  std::vector<std::pair<std::string, ptx::Counters>> counts_;  // by phase, in order
};

}  // namespace flashbench::cuda
