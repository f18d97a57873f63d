#pragma once

#include "kernel/backend.h"

namespace flashbench::cuda {

/// The GPUs of this machine, and the emulated device beside them.
class CudaBackend final : public Backend {
 public:
  const BackendInfo& info() const override;
  const std::vector<const Kernel*>& kernels() override;
  std::optional<std::string> absent(std::optional<int> device) override;
  std::vector<DeviceStatus> devices() override;
  std::vector<std::string> device_kinds() override;
  RouteTable routes(const std::string& kind) override;
  Execution execution(const ExecutionRequest& asked, Dtype dtype) override;
  Place place(const Execution& e) override;
  ExecutionTraits traits(const Execution& e) override;
  std::uint64_t free_bytes(const Execution& e) override;
  std::optional<std::uint64_t> cache_bytes(const Execution& e) override;
  void flush_caches(const Execution& e) override;
  double queued_s(const Execution& e, const std::function<void()>& work) override;
  void wait_for_previous(const Execution& e) override;
  std::vector<Execution> with_own_peaks(const ExecutionRequest& asked) override;
  bool same_peaks(const Execution& a, const Execution& b) override;
  double peak_flop_s(const Execution& e, Dtype dtype) override;
  double peak_bytes_s(const Execution& e) override;
  PeakSubject peak_subject(const Execution& e, std::optional<Dtype> dtype) override;
  std::optional<DeviceReading> read(const Execution& e) override;
  std::optional<DeviceReading> read_clocks(const Execution& e) override;
  std::optional<double> energy_j(const Execution& e) override;
};

}  // namespace flashbench::cuda
