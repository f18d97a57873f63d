#pragma once

#include <map>
#include <string>

#include "cuda/device.h"
#include "cuda/driver_api.h"

namespace flashbench::cuda {

/// A GPU through the CUDA driver. The table of functions is a parameter, so that tests stand in
/// for a driver that fails.
class DriverDevice final : public Device {
 public:
  /// `index` counts the GPUs that the driver shows.
  DriverDevice(const DriverApi& api, int index);

  const DeviceInfo& info() const override { return info_; }
  std::size_t free_bytes() override;
  Address allocate(std::size_t bytes, const std::string& what) override;
  void release(Address address) noexcept override;
  void write(Address to, const void* from, std::size_t bytes) override;
  void read(void* to, Address from, std::size_t bytes) override;
  void zero(Address to, std::size_t bytes) override;
  void poison(Address to, std::size_t bytes) override;
  void launch(const Launch& launch, const Attention& argument) override;
  void wait() override;
  double now_s() override;
  void flush_l2() override;

  /// What the driver says about a GPU, without opening it.
  static DeviceInfo describe(const DriverApi& api, int index);

 private:
  void check(Result result, const std::string& call) const;
  void* function(const Launch& launch);
  void* load(const std::string& entry);

  const DriverApi& api_;
  DeviceInfo info_;
  std::map<std::string, void*> functions_;     // by entry
  std::map<std::string_view, void*> modules_;  // by image
  void* last_event_ = nullptr;                 // the clock's previous reading
  void* next_event_ = nullptr;
  double clock_s_ = 0;
  DeviceBuffer flushed_;
};

}  // namespace flashbench::cuda
