#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest/guest.h"
#include "guest/protocol.h"
#include "kernel/backend.h"
#include "kernel/kernel.h"

namespace flashbench::guest {

class GuestPlan;

/// Launches that are to be timed together, while somebody collects them.
class LaunchQueue {
 public:
  /// True where the launch waits in the queue now; else it is to be done at once.
  bool take(GuestPlan& plan);
  /// Runs what `work` launches, and returns the seconds that it took by the guest's clock.
  double collect(const std::function<void()>& work);

 private:
  bool collecting_ = false;
  std::vector<GuestPlan*> launches_;
};

/// What the kernels of one guest share with the backend that they belong to.
struct Host {
  /// The guest, alive: loaded for that execution, again where it has crashed.
  std::function<std::shared_ptr<Guest>(const Execution&)> guest;
  /// Writes o and lse, for guests that have a backward and no forward of their own.
  std::function<void(const Problem&, const Execution&, const flashbench::Operands&)> forward;
  LaunchQueue* queue;
  std::string abi;
  std::optional<std::string> sha256;
  bool isolated = true;
  std::string flags = {};
  std::function<void(const std::string& line)> warn = {};  ///< the user
  /// Whether tensors lie on the GPU that the execution names, beside those here.
  std::function<bool(const Execution&)> on_gpu = {};

  /// As messages say it: the emulated device is the only one of its process.
  std::string device(const Execution& e) const {
    return on_gpu(e) ? guest::on_gpu(std::max(e.device, 0)) : kOnProcessor;
  }
};

/// A kernel of a guest. What it computes only it knows: supports() names everything, and every
/// problem is put to it.
class GuestKernel final : public Kernel {
 public:
  GuestKernel(AttentionType type, std::size_t index, const KernelFacts& facts, Host host);

  const KernelInfo& info() const override { return info_; }
  Supports supports() const override;
  std::optional<GuestFacts> guest() const override {
    return GuestFacts{build_, host_.abi, host_.sha256, host_.isolated, rounds_, host_.flags};
  }
  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override;
  std::size_t host_bytes(const Problem& p, const Execution& e) const override;
  std::size_t device_bytes(const Problem& p, const Execution& e) const override;
  double predicted_flop(const Problem& p, const Execution& e) const override;
  std::unique_ptr<flashbench::Plan> plan(const Problem& p, const Execution& e,
                                         const Inputs& in) const override;

 private:
  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override;
  /// What it says to a problem, which it is asked once. Where it crashed over that: kDeviceError
  /// with what happened, which plan() fails with.
  const Answer& asked(const Problem& p, const Execution& e) const;

  KernelInfo info_;
  std::string build_;
  ExtraRoundings rounds_;
  std::size_t index_;
  Host host_;
  mutable std::map<std::string, Answer> answers_;
};

}  // namespace flashbench::guest
