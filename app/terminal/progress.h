#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "measure/sampler.h"
#include "report/record.h"

namespace flashbench::app {

/// Says on stderr how far a command is. On a terminal: one line that is rewritten in place, with a
/// bar, the case, the current estimate and its spread, the time left. Elsewhere: a plain line for
/// every finished case. Nothing with --quiet.
class ProgressLine {
 public:
  ProgressLine(int cases, bool quiet);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// `first` of `cases` is about to run; `what` says what happens to it.
  void begin(int first, std::string what);
  /// The same case, as far as sampling is. Redraws ten times a second at most.
  void update(const measure::Progress& progress);
  /// Case `at` is done.
  void finished(int at, const report::Result& result);
  /// Seconds that the cases after this one will take, about.
  void set_later(std::optional<double> seconds) { later_s_ = seconds; }
  void clear();

 private:
  enum class Style { kBar, kLines, kNone };
  void draw(const std::string& estimate);

  Style style_;
  int cases_, at_ = 0;
  std::string what_;
  std::optional<double> later_s_;
  std::chrono::steady_clock::time_point last_{};
};

/// "[######----] 3/12 what: estimate", cut to `width` characters. ASCII only.
std::string progress_text(int at, int cases, const std::string& what, const std::string& estimate,
                          std::size_t width);

/// "3/12 flash forward f32 b1 h2 4096x4096 d64: 12.34 ms +-0.4 %, 2 min left"; what was not
/// measured gives its reason instead.
std::string finished_text(int at, int cases, const report::Result& result,
                          std::optional<double> left_s);

/// "4 s left", "3 min left", "2.5 h left".
std::string left_text(double seconds);

}  // namespace flashbench::app
