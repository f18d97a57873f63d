#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "report/record.h"

namespace flashbench::app {

/// Compares what launches of one case wrote, bit by bit: NaN and the sign of 0 included.
class Repetition {
 public:
  /// `first`: what the first launch wrote, all of the same problem.
  explicit Repetition(Outputs first);

  /// What one more launch wrote.
  void add(const Outputs& again);

  const report::Repeats& result() const { return result_; }
  /// "dq differs between launches: ..."; nullopt where all bits are the same.
  std::optional<std::string> difference() const;

 private:
  Outputs first_;
  report::Repeats result_;
  std::vector<std::vector<bool>> different_;  // of each output, by element
};

}  // namespace flashbench::app
