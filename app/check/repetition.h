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

 private:
  Outputs first_;
  report::Repeats result_;
  std::vector<std::vector<bool>> different_;  // of each output, by element
};

/// Which bits must be the same: O, LSE and dsinks always, other gradients where that is asked for.
enum class Promise { kAll, kWithoutGradients };

/// "dQ is not the same in 3 launches: ..." of the first output that is promised to be; nullopt
/// where they are.
std::optional<std::string> difference(const report::Repeats& repeats, Promise promise);

}  // namespace flashbench::app
