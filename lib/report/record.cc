#include "report/record.h"

#include <fmt/format.h>

#include <cmath>

#include "core/enumerators.h"

namespace flashbench::report {
std::string_view name(Status s) {
  switch (s) {
    case Status::kOk:
      return "ok";
    case Status::kSkipped:
      return "skipped";
    case Status::kFailed:
      return "failed";
    case Status::kInterrupted:
      return "interrupted";
  }
  no_such_enumerator();
}

Workload workload_of(const Problem& p) {
  sweep::Case c;
  c.problem = p;
  return sweep::record_of(c).workload;
}

Worst worst_of(const TensorVerdict& v) {
  Worst w;
  w.tensor = v.tensor;
  if (std::isfinite(v.error_over_noise)) w.error_over_noise = v.error_over_noise;
  w.limit = v.limit;
  if (v.rms && std::isfinite(*v.rms)) w.rms_over_noise = v.rms;
  w.index = v.index;
  w.scope = name(v.scope);
  w.got = v.got;
  if (!std::isnan(v.want)) w.expected = v.want;
  if (v.in_base_2) w.hint = "log2 instead of ln in every row looked at: multiply it by ln 2";
  return w;
}

Check check_of(const Verdict& verdict) {
  Check check;
  check.level = name(verdict.level);
  if (verdict.checked()) check.verdict = verdict.ok() ? "pass" : "fail";
  for (const TensorVerdict& t : verdict.tensors) check.worst.push_back(worst_of(t));
  return check;
}

bool numbers_hold(const Result& r) {
  return (r.status == Status::kOk || r.status == Status::kInterrupted) && r.check.verdict == "pass";
}

bool conclusive(const Result& r) { return numbers_hold(r) && doubt(r).empty(); }

std::string doubt(const Result& r) {
  if (r.timing && r.timing->disturbed) return "other programs disturbed its samples";
  return r.rises == false ? "its times do not rise with the work" : "";
}

Result published(Result r) {
  if (numbers_hold(r)) return r;
  r.timing.reset();
  r.stopped_by.reset();
  r.calibration.reset();
  r.tflops.reset();
  r.gb_s.reset();
  r.pct_peak.reset();
  r.bound.reset();
  r.peak_rss_bytes.reset();
  r.balance.reset();
  r.why.reset();
  r.energy_j.reset();
  r.gflop_per_j.reset();
  r.speedup_over.reset();
  r.speedup_ci95.reset();
  r.rises.reset();
  r.phases.reset();
  r.phase_timer_s.reset();
  return r;
}

}  // namespace flashbench::report
