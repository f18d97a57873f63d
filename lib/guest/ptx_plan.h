#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/launch.h"
#include "guest/launch_description.h"
#include "guest/ptx_kernel.h"
#include "kernel/kernel.h"

namespace flashbench::guest {

/// A tensor that a problem has, by its name in launch descriptions.
struct LaunchTensor {
  std::string name;
  Dims dims;
  std::optional<Dtype> dtype;  ///< nullopt: bytes

  std::size_t bytes() const {
    return static_cast<std::size_t>(dims.count()) * (dtype ? size_bytes(*dtype) : 1);
  }
};
std::vector<LaunchTensor> launch_tensors(const Problem& p);

/// A problem in the emulated device's memory, its launches ready.
class PtxPlan final : public flashbench::Plan {
 public:
  PtxPlan(std::string name, const LaunchDescription& description,
          std::shared_ptr<EmulatedModules> emulated, const Problem& p, const Execution& e,
          const Inputs& in, PtxKernel::Forward forward);

  void prepare(const flashbench::Operands& io) override;
  void launch(const flashbench::Operands& io) override;
  void collect(const flashbench::Operands& io) override;
  std::size_t workspace_bytes() const override { return description_.workspace_bytes(variables_); }
  double flop_executed() const override;
  std::vector<PhaseProfile::Row> profile(const flashbench::Operands& io) override;

 private:
  struct Memory {
    std::string name;
    ptx::Address address;
    std::size_t bytes;
    std::optional<Dtype> dtype;   ///< of a tensor
    std::shared_ptr<void> owner;  ///< gives it back
  };

  const Memory* find(std::string_view name) const;
  void allocate(const Problem& p, const Inputs& in);
  void write(std::string_view name, const Tensor& from);
  void read(std::string_view name, Tensor& to) const;
  void run(const std::vector<Launch>& launches);
  void launch(const Launch& what);
  void copy(const LaunchCopy& what, double factor);
  /// Throw DeviceError where the device's copy is another one than what was written there.
  void check_inputs(const Inputs& in) const;
  void check_unchanged(std::string_view name, const Tensor& input) const;
  [[noreturn]] void wrote_to(std::string_view input) const;

  std::string name_;
  const LaunchDescription& description_;
  std::shared_ptr<EmulatedModules> emulated_;
  Problem problem_;
  Execution execution_;
  Inputs const* inputs_;
  PtxKernel::Forward forward_given_;
  Variables variables_;
  std::vector<Memory> memory_;
  std::vector<Launch> forward_, backward_;
  std::uint64_t seed_;  ///< of the next launch
  std::vector<PhaseProfile::Row> counted_;
};

}  // namespace flashbench::guest
