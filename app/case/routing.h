#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/command_line/request.h"
#include "registry/registry.h"

namespace flashbench::app {

/// A case with the kernel that computes it, or why none here does.
struct RoutedCase {
  sweep::Case request;                   ///< its problem resolved
  std::string name;                      ///< for check: of the suite
  std::optional<registry::Route> route;  ///< absent: see skipped
  std::optional<Rejection> skipped;      ///< why it does not run; absent when it does

  bool runs() const { return route && !skipped; }
  bool on_cuda() const { return route && route->execution.backend == Backend::kCuda; }
  bool emulated() const { return on_cuda() && route->execution.device == kEmulatedDevice; }
};

/// Cases of one resolved problem.
struct RoutedGroup {
  Problem problem;
  std::vector<RoutedCase> cases;

  bool any_runs() const;
};

/// Reads what the files say about every problem and finds a kernel for every case.
/// `given`: the names of the workload flags that the user gave. Throws UsageError for bad files and
/// for flags that contradict them.
RoutedGroup route_group(const sweep::Group& group, const std::vector<std::string>& given);

/// Bytes of this machine's memory that a case takes at its peak, its inputs included.
struct MemoryNeed {
  std::size_t inputs = 0, outputs = 0, workspace = 0;

  std::size_t total() const { return inputs + outputs + workspace; }
};
MemoryNeed memory_need(const RoutedCase& c);

/// Ends a command that has nothing else to do: UsageError for what nobody could compute,
/// UnavailableError for what cannot be computed here.
[[noreturn]] void throw_refusal(const Rejection& why);

/// What of the available memory cases may take; absent where that is unknown.
std::optional<double> bytes_for_cases(std::optional<std::uint64_t> available);

/// Of kind kMemory: "needs 68.7 GB, 21.0 GB available".
Rejection does_not_fit(double needed, double available);

/// Bytes that a whole reference in fp64 takes, about: results and their noise, every output.
std::size_t reference_bytes(const Problem& p);

/// What is held beside the operands and the workspace of one launch.
struct ExtraMemory {
  std::size_t shared = 0;  ///< once per group: what verification takes
  std::function<std::size_t(const RoutedCase&)> own = [](const RoutedCase&) { return 0u; };
};

/// Cases of a group hold their outputs and workspace at the same time, on one set of inputs. Those
/// that do not fit are marked as skipped: "needs 68.7 GB, 21.0 GB available".
void skip_what_does_not_fit(RoutedGroup& group, const ExtraMemory& extra);

/// The line that reproduces a case with a command: "flashbench check --b 1 ...".
std::string reproduce(std::string_view command, const sweep::Case& c);

}  // namespace flashbench::app
