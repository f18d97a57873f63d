#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "app/case/routing.h"
#include "core/tensor.h"
#include "report/chrome_trace.h"
#include "system/locked_file.h"

namespace flashbench::app {

/// The file of --trace: what every thread did, tile by tile, and how much memory the case held.
/// Cases are run for it again, after their times were taken.
class TraceFile {
 public:
  /// Throws UsageError where `path` cannot be written; "" for none. `cases` share a bounded number
  /// of events.
  TraceFile(std::string path, int cases);

  bool wanted() const { return !path_.empty(); }

  /// Runs `c` in memory of its own: plans it, calls it once, and once more with every call of every
  /// phase logged. Returns why there is no trace; "" when there is one.
  std::string add(const RoutedCase& c, const Inputs& in);

  void write(const std::vector<std::string>& argv) const;

 private:
  std::string path_;
  std::vector<OutputLock> claimed_;
  std::size_t events_;  ///< of one case, all threads together
  report::ChromeTrace trace_;
};

}  // namespace flashbench::app
