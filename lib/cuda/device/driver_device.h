#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "cuda/device/cublas.h"
#include "cuda/device/device.h"
#include "cuda/device/driver_api.h"

namespace flashbench::cuda {

/// A GPU through the CUDA driver: its primary context and the default stream. The table of
/// functions is a parameter, so that tests stand in for a driver that fails; so is how cuBLAS is
/// loaded, when it is first asked for.
///
/// Errors of a kernel (an illegal address, an uncorrectable ECC error, a failed launch) end the
/// context, and with it this device for the rest of the process. The call that meets one throws
/// DeviceError; from then on every call throws UnavailableError that names it. Whether a context
/// survived is asked of the driver, since no list of its errors stays complete.
class DriverDevice final : public Device {
 public:
  using LoadCublas = const CublasApi* (*)(std::string& absent);
  /// `index` counts the GPUs that the driver shows.
  DriverDevice(const DriverApi& api, int index, LoadCublas load_cublas = cuda::load_cublas);

  const DeviceInfo& info() const override { return info_; }
  std::size_t free_bytes() override;
  Address allocate(std::size_t bytes, const std::string& what) override;
  void release(Address address) noexcept override;
  void write(Address to, const void* from, std::size_t bytes) override;
  void read(void* to, Address from, std::size_t bytes) override;
  void zero(Address to, std::size_t bytes) override;
  void poison(Address to, std::size_t bytes) override;
  void enqueue(const Launch& launch, std::span<const std::byte> argument) override;
  TensorMap tensor_map(const BoxedTensor& tensor) override;
  void multiply(const Gemm& g) override;
  std::optional<std::string> products_absent() override;
  std::size_t product_scratch_bytes() const override { return Cublas::kScratchBytes; }
  void wait() override;
  void wait_for_previous() override;
  void mark_first() override;
  void mark() override;
  std::vector<double> intervals_s() override;
  void flush_l2() override;

  /// What the driver says about a GPU, without opening it.
  static DeviceInfo describe(const DriverApi& api, int index);

 private:
  /// Makes this device the one that calls go to. Throws UnavailableError once it is lost.
  void use();
  /// Throws unless the call succeeded, and remembers when the context did not survive.
  void check(Result result, const std::string& call);
  void* function(const Launch& launch);
  void* load(const std::string& entry);
  void* new_event();

  const DriverApi& api_;
  DeviceInfo info_;
  void* context_ = nullptr;
  std::string lost_;  // the error that ended the context
  LoadCublas load_cublas_;
  std::unique_ptr<Cublas> cublas_;
  std::map<std::string, void*> functions_;     // by entry
  std::map<std::string_view, void*> modules_;  // by image
  std::vector<void*> events_;                  // kept for later marks
  std::size_t marks_ = 0;                      // how many of them are in the series
  std::array<void*, 2> pacing_events_{};       // events of wait_for_previous(), the next one first
  DeviceBuffer flushed_;
};

}  // namespace flashbench::cuda
