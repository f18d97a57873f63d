#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/problem.h"
#include "core/roundings.h"
#include "core/tensor.h"
#include "kernel/execution.h"
#include "kernel/profile.h"
#include "kernel/supports.h"

namespace flashbench {

/// Everything a launch touches. Shapes and dtypes are those of the problem that was planned.
struct Operands {
  const Inputs* in = nullptr;
  Outputs* out = nullptr;
};

/// A problem bound to its workspace: allocation happened, only launching is left.
class Plan {
 public:
  virtual ~Plan() = default;

  /// Untimed. For Pass::kBackward: runs this kernel's forward, which writes o and lse and keeps
  /// whatever the backward takes as given. Otherwise it does nothing.
  virtual void prepare(const Operands& io) = 0;

  /// The timed work. kForward writes o and lse; kBackward reads them and writes dq, dk and dv;
  /// kBoth does both. May be called any number of times after prepare().
  /// Throws DeviceError if a launch fails; shapes were vetted by refuses().
  virtual void launch(const Operands& io) = 0;

  /// Untimed: returns when what launch() began is done. Throws DeviceError if it failed.
  virtual void wait() {}

  /// Untimed: waits, and brings what the last launch wrote into `io.out`.
  virtual void collect(const Operands&) {}

  /// Untimed: what a launch writes is unknown from here on, where a plan keeps results apart from
  /// `io.out`; those of the forward stay for a backward pass that reads them.
  virtual void poison_results() {}

  /// The folder in /proc of the threads that compute; "" where they are this process's.
  virtual std::string threads_folder() const { return ""; }

  /// Bytes that plan() allocated; what Kernel::workspace_bytes() predicted.
  virtual std::size_t workspace_bytes() const = 0;

  /// FLOP that launch() executes, masked tiles and recomputation included.
  virtual double flop_executed() const = 0;

  /// The same work once, timed by phase (slower than launch(): each phase is clocked).
  virtual std::vector<PhaseProfile::Row> profile(const Operands& io) = 0;

  /// As profile(), one per pass, each thread remembering up to `events` of its calls. Empty from a
  /// backend that cannot tell.
  virtual std::vector<PhaseProfile> trace(const Operands&, std::size_t /*events*/) { return {}; }
};

struct KernelInfo {
  std::string name;  ///< as --kernel takes it, e.g. "cpu_flash"
  AttentionType type = AttentionType::kFlash;
  std::string description;  ///< one line, with its source (paper, algorithm)
};

/// Who made a kernel that is not of this program, as he says, and how it is called.
struct GuestFacts {
  std::string build;
  std::string abi;                    ///< "flashbench_kernel 1"
  std::optional<std::string> sha256;  ///< of its file; nullopt of a command
  bool isolated = true;
  ExtraRoundings rounds = {};
  std::string flags = {};  ///< of the command line, that say how it is kept: " --isolate false"
};

class PartialKernel;

/// An implementation of attention. Stateless; it refuses with a reason and never aborts.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual const KernelInfo& info() const = 0;

  virtual Supports supports() const = 0;

  /// Of a guest; nullopt of the program's own.
  virtual std::optional<GuestFacts> guest() const { return std::nullopt; }

  /// Why it does not compute a problem: first what nobody could, then what supports() does not
  /// name, then what only the kernel knows. nullopt: it does.
  std::optional<Rejection> refuses(const Problem& p, const Execution& e) const;

  /// Of a problem that it does not refuse: kernels after it in its backend's list are expected to
  /// be faster, so that it is chosen where they all refuse, or by name.
  virtual bool yields(const Problem&, const Execution&) const { return false; }

  /// Bytes of workspace that plan() will allocate, exactly, before anything is taken.
  virtual std::size_t workspace_bytes(const Problem& p, const Execution& e) const = 0;

  /// Bytes of this machine's memory among what plan() allocates; a GPU has its own.
  virtual std::size_t host_bytes(const Problem& p, const Execution& e) const {
    return workspace_bytes(p, e);
  }

  /// Bytes that plan() takes on the device that the execution names, tensors included.
  virtual std::size_t device_bytes(const Problem&, const Execution&) const { return 0; }

  /// FLOP that one launch executes when no key is padded.
  virtual double predicted_flop(const Problem& p, const Execution& e) const = 0;

  /// `in` gives the masks (Inputs::key_mask); tensors are not read before launch.
  virtual std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                                     const Inputs& in) const = 0;

  /// How it computes some queries and keys at a time (partial.h); nullptr: it does not.
  virtual const PartialKernel* parts() const { return nullptr; }

 private:
  /// What data cannot say: a limit of the device, memory, the execution. Asked only about problems
  /// that are valid and within supports().
  virtual std::optional<Rejection> rejects(const Problem&, const Execution&) const {
    return std::nullopt;
  }
};

}  // namespace flashbench
