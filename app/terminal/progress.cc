#include "app/terminal/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/terminal/streams.h"
#include "report/grid.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

constexpr int kBarWidth = 20;
constexpr std::chrono::milliseconds kRedraw{100};

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
  return size.ws_col;
}

std::string seconds(double s) {
  if (s < 1e-3) return fmt::format("{:.1f} us", s * 1e6);
  if (s < 1) return fmt::format("{:.2f} ms", s * 1e3);
  return fmt::format("{:.2f} s", s);
}

std::string estimate_of(const measure::Progress& p) {
  if (p.warming_up) return "warming up";
  std::string text;
  for (std::size_t i = 0; i < p.medians_s.size(); ++i) {
    if (!(p.medians_s[i] > 0)) continue;
    text += (text.empty() ? "" : ", ") + seconds(p.medians_s[i]);
    if (std::isfinite(p.noise[i])) text += fmt::format(" +-{:.1f} %", 100 * p.noise[i]);
  }
  return text;
}

}  // namespace

std::string progress_text(int at, int cases, const std::string& what, const std::string& estimate,
                          std::size_t width) {
  const int done = cases > 0 ? std::clamp(kBarWidth * (at - 1) / cases, 0, kBarWidth) : 0;
  std::string text =
      fmt::format("[{}{}] {}/{} {}", std::string(static_cast<std::size_t>(done), '#'),
                  std::string(static_cast<std::size_t>(kBarWidth - done), '-'), at, cases, what);
  if (!estimate.empty()) text += ": " + estimate;
  if (text.size() > width) text.resize(width);
  return text;
}

std::string left_text(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s left", std::ceil(seconds));
  if (seconds < 6000) return fmt::format("{:.0f} min left", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h left", seconds / 3600);
}

std::string finished_text(int at, int cases, const report::Result& r,
                          std::optional<double> left_s) {
  std::string text = fmt::format("{}/{} {}: ", at, cases, report::result_text(r));
  if (r.status != report::Status::kOk || !r.timing) {
    text += r.timing ? "" : name(r.status);
    if (r.reason) text += fmt::format(": {}", *r.reason);
  } else {
    const report::Timing& t = *r.timing;
    text += fmt::format("{} +-{:.1f} %", seconds(t.median),
                        t.median > 0 ? 50 * (t.ci95[1] - t.ci95[0]) / t.median : 0);
  }
  if (left_s && at < cases) text += ", " + left_text(*left_s);
  return text;
}

ProgressLine::ProgressLine(int cases, bool quiet)
    : style_(quiet                    ? Style::kNone
             : stderr_takes_escapes() ? Style::kBar
                                      : Style::kLines),
      cases_(cases) {}

void ProgressLine::begin(int first, std::string what) {
  at_ = first;
  what_ = escape(what);
  draw("");
}

void ProgressLine::update(const measure::Progress& progress) {
  if (style_ != Style::kBar || std::chrono::steady_clock::now() - last_ < kRedraw) return;
  std::string text = estimate_of(progress);
  // Before the first case is done nobody knows what the others take.
  text += later_s_ || at_ >= cases_ ? ", " + left_text(progress.time_left_s + later_s_.value_or(0))
                                    : ", " + left_text(progress.time_left_s) + " in this case";
  draw(text);
}

void ProgressLine::finished(int at, const report::Result& result) {
  if (style_ == Style::kLines) print_err(finished_text(at, cases_, result, later_s_).append("\n"));
}

void ProgressLine::clear() {
  if (style_ == Style::kBar) draw_line("");
}

void ProgressLine::draw(const std::string& estimate) {
  if (style_ != Style::kBar) return;
  last_ = std::chrono::steady_clock::now();
  // One column stays free: a full line would wrap and leave its first half behind.
  draw_line(progress_text(at_, cases_, what_, estimate, terminal_width() - 1));
}

}  // namespace flashbench::app
