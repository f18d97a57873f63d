#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "app/case/routing.h"

namespace flashbench::app {

/// Bytes of this machine's memory that a case takes at its peak, its inputs included.
struct MemoryNeed {
  std::size_t inputs = 0, outputs = 0, workspace = 0;

  std::size_t total() const { return inputs + outputs + workspace; }
};
MemoryNeed memory_need(const RoutedCase& c);

/// Of kind kMemory where the tensors of `p` alone are more than what is left of this machine's
/// memory. Asked before a kernel is: its lists of work grow with the problem, and would take
/// gigabytes only to say how much more is needed.
std::optional<Rejection> tensors_do_not_fit(const Problem& p);

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

}  // namespace flashbench::app
