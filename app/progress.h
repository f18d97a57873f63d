#pragma once

#include <chrono>
#include <string>

#include "measure/sampler.h"

namespace flashbench::app {

/// One line on stderr that is rewritten in place: a bar, the case, the current estimate, the time
/// left. Silent when stderr is not a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(int cases);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// `first` of `cases` is about to run; `what` says what happens to it.
  void begin(int first, std::string what);
  /// The same case, as far as sampling is. Redraws ten times a second at most.
  void update(const measure::Progress& progress);
  void clear();

 private:
  void draw(const std::string& estimate);

  bool enabled_;
  int cases_, at_ = 0;
  std::string what_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

/// "[######----] 3/12 what: estimate", cut to `width` characters. ASCII only.
std::string progress_text(int at, int cases, const std::string& what, const std::string& estimate,
                          std::size_t width);

}  // namespace flashbench::app
