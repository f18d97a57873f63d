#pragma once

#include <vector>

#include "kernel/backend.h"
#include "system/energy_meter.h"

namespace flashbench::cpu {

/// The processor that this program runs on: it is always there.
class CpuBackend final : public Backend {
 public:
  /// `more`: kernels for the processor from other rooms, after this room's own.
  explicit CpuBackend(const std::vector<const Kernel*>& more);

  const BackendInfo& info() const override;
  const std::vector<const Kernel*>& kernels() override { return kernels_; }
  std::optional<std::string> absent(std::optional<int>) override { return std::nullopt; }
  std::vector<IsaStatus> isas() override;
  Execution execution(const ExecutionRequest& asked, Dtype dtype) override;
  Place place(const Execution& e) override;
  ExecutionTraits traits(const Execution& e) override;
  std::vector<Execution> with_own_peaks(const ExecutionRequest& asked) override;
  bool same_peaks(const Execution& a, const Execution& b) override;
  double peak_flop_s(const Execution& e, Dtype dtype) override;
  double peak_bytes_s(const Execution& e) override;
  PeakSubject peak_subject(const Execution& e, std::optional<Dtype> dtype) override;
  std::optional<double> energy_j(const Execution& e) override;

 private:
  std::vector<const Kernel*> kernels_;
  EnergyMeter energy_;
};

}  // namespace flashbench::cpu
