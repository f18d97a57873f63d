#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest/launch_description.h"
#include "kernel/kernel.h"
#include "ptx/device.h"

namespace flashbench::guest {

/// Modules on an emulated GPU of the architecture that the first one is for.
struct EmulatedModules {
  ptx::Device device;
  std::map<std::string, ptx::Module> modules;  ///< by LaunchStep::ptx
};

/// Somebody's PTX with a description of its launches, executed by lib/ptx in this process: all that
/// it can touch is the emulated device's memory.
class PtxKernel final : public Kernel {
 public:
  /// Writes o and lse, for kernels that have a backward alone.
  using Forward =
      std::function<void(const Problem&, const Execution&, const flashbench::Operands&)>;

  /// Reads both files, and those that the description names. Throws UsageError: no such file, no
  /// PTX, no description, entries that are not there, arguments that are not those of the kernel,
  /// instructions that nobody knows. `stop_requested` ends a launch.
  PtxKernel(const std::string& path, const std::string& launch, Forward forward,
            std::function<bool()> stop_requested = {});

  const KernelInfo& info() const override { return info_; }
  Supports supports() const override;
  std::optional<GuestFacts> guest() const override;
  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override;
  std::size_t host_bytes(const Problem& p, const Execution& e) const override;
  double predicted_flop(const Problem& p, const Execution& e) const override;
  std::unique_ptr<flashbench::Plan> plan(const Problem& p, const Execution& e,
                                         const Inputs& in) const override;

 private:
  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override;
  /// Loads what a step launches from, if nothing has loaded it, and vets the launch.
  void load(const LaunchStep& step, const std::string& path, const std::string& launch);
  std::optional<Rejection> does_not_fit(const Problem& p, const Variables& v) const;

  LaunchDescription description_;
  KernelInfo info_;
  std::string build_, sha256_;
  std::shared_ptr<EmulatedModules> emulated_;
  Forward forward_;
};

}  // namespace flashbench::guest
