#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/roundings.h"
#include "guest/shared_memory.h"
#include "guest/tensors.h"

namespace flashbench::guest {

enum class Status { kOk, kUnsupported, kNoMemory, kDeviceError, kFailed };

/// What a guest says to what it is asked.
struct Answer {
  Status status = Status::kOk;
  std::string why = {};  ///< a line, unless it is kOk
  std::size_t workspace_bytes = 0;
  std::optional<double> flop_executed = {};
  bool prepares = false;                ///< of a backward pass: it runs its own forward
  Layout layout = Layout::kBhsd;        ///< in which it wants its tensors, but for packed ones
  std::optional<bool> writes_lse = {};  ///< else LSE is not judged; to a plan, or to its calls
  double seconds = 0;                   ///< of calls, by its own clock
};

/// Of workspace: beyond what any machine has, and far from where sums of bytes overflow.
inline constexpr std::size_t kMostWorkspace = std::size_t{1} << 56;

/// Whether it can be FLOP that one call executes.
constexpr bool is_flop(double n) { return n >= 0 && n <= 1e30; }

/// A kernel of a guest.
struct KernelFacts {
  std::string name, description, build;
  ExtraRoundings rounds = {};
};

/// Throws UsageError, which begins with `who`, unless each has a name of its own that is a word,
/// for tables and files. What else they say becomes one line.
void vet_names(std::vector<KernelFacts>& kernels, const std::string& who);

/// Tensors of a plan. They outlive it.
struct Operands {
  const Placement* in_place;
  SharedMemory* in;
  const Placement* out_place;
  SharedMemory* out;
};

/// Some tensors of a plan.
struct Names {
  std::vector<std::string> inputs, outputs;
};

/// Somebody else's kernels: a library or a program that was loaded, in a process of its own or in
/// this one. Methods throw DeviceError where it crashes, hangs or breaks its promises.
class Guest {
 public:
  virtual ~Guest() = default;
  virtual const std::vector<KernelFacts>& kernels() const = 0;

  /// Whether a kernel computes a problem, as problem_message() says it.
  virtual Answer ask(std::size_t kernel, const nlohmann::json& problem) = 0;
  /// The same, to keep, under a number that no other plan has.
  virtual Answer plan(std::size_t kernel, int id, const nlohmann::json& problem,
                      const Operands& operands) = 0;
  virtual Answer prepare(int id) = 0;
  /// `calls` timed calls, the first of plan ids[0], the next of ids[1], ... and round again.
  virtual Answer run(std::span<const int> ids, std::int64_t calls) = 0;
  virtual void drop(int id) = 0;

  // Where tensors are on a GPU, beside those in shared memory:
  /// There they become what shared memory has.
  virtual Answer give(int id, const Names& tensors) = 0;
  /// Shared memory gets the outputs. Fails where the guest has written inputs, or beside a tensor.
  virtual Answer collect(int id) = 0;

  /// The folder in /proc of the threads that compute; "" where they are this process's.
  virtual std::string tasks() const { return ""; }
};

}  // namespace flashbench::guest
