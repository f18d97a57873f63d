#include "report/record.h"

#include <fmt/format.h>

#include <cmath>

#include "core/enumerators.h"

namespace flashbench::report {
namespace {

std::string input_of(const Problem& p) {
  const InputFiles& f = p.files;
  std::string text = "random";
  if (!f.bundle.empty())
    text = f.bundle;
  else if (f.any())
    text = fmt::format("{}, {}, {}", f.q, f.k, f.v);
  if (f.any() && f.layout != Layout::kBhsd) text += fmt::format("; layout={}", name(f.layout));
  if (p.padding == PaddingMask::kFile && !f.mask.empty()) text += "; mask=" + f.mask;
  if (p.needs_gradients() && p.d_o != GradSource::kOnes)
    text +=
        "; do=" + (p.d_o == GradSource::kFile && !f.d_o.empty() ? f.d_o : std::string(name(p.d_o)));
  return text;
}

}  // namespace

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
  Workload w;
  w.b = p.shape.b;
  w.h = p.shape.h;
  w.h_kv = p.shape.h_kv;
  w.q_len = p.shape.q_len;
  w.kv_len = p.shape.kv_len;
  w.d = p.shape.d;
  w.dtype = name(p.dtype);
  w.causal = p.causal;
  w.mask = name(p.padding);
  if (p.padding == PaddingMask::kRandom) w.mask_keep = p.mask_keep;
  w.scale = p.softmax_scale();
  w.seed = p.seed;
  w.input = input_of(p);
  return w;
}

Worst worst_of(const TensorVerdict& v) {
  Worst w;
  w.tensor = v.tensor;
  if (std::isfinite(v.error_over_noise)) w.error_over_noise = v.error_over_noise;
  w.limit = v.limit;
  w.index = v.index;
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

Result published(Result r) {
  if (numbers_hold(r)) return r;
  r.timing.reset();
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
  r.phases.reset();
  r.phase_timer_s.reset();
  return r;
}

std::string workload_key(const Workload& w) {
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}", w.b, w.h, w.h_kv, w.q_len, w.kv_len,
                     w.d, w.dtype, w.causal, w.mask, w.mask_keep.value_or(-1), w.scale, w.seed,
                     w.input);
}

std::string case_key(const Result& r) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}", workload_key(r.workload), r.pass, r.type,
                     r.backend, r.kernel_request.value_or(""), r.isa.value_or(""),
                     r.threads.value_or(0), r.device.value_or(""), r.cache);
}

}  // namespace flashbench::report
