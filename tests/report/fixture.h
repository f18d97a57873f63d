#pragma once

#include <utility>
#include <vector>

#include "measure/sampler.h"
#include "report/derive.h"
#include "report/record.h"

namespace flashbench::report {

/// A machine that no test machine is, so that golden files stay the same everywhere.
inline Context fixed_context() {
  Context c;
  c.host = "bench1";
  c.os = "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64";
  c.compiler = "GNU 12.2.0";
  c.flags = "Release: -O3 -DNDEBUG";
  c.cpu.model = "AMD EPYC";
  c.cpu.cores = 2;
  c.cpu.threads = 4;
  c.cpu.usable_threads = 2;
  c.cpu.caches = {{1, "data", 32768, 1}, {3, "unified", 33554432, 2}};
  c.cpu.isa = "avx2";
  c.cpu.load = 0.25;
  c.cpu.cgroup = {2.0, std::nullopt};
  c.omp.version = 201511;
  c.omp.max_threads = 2;
  c.omp.proc_bind = "false";
  c.memory_bytes = 8'000'000'000;
  c.memory_available_bytes = 7'000'000'000;
  return c;
}

inline Gpu fixed_gpu() {
  Gpu g;
  g.model = "NVIDIA H100 80GB HBM3";
  g.compute_capability = "9.0";
  g.multiprocessors = 132;
  g.memory_bytes = 85'000'000'000;
  g.driver = "13.0";
  g.runtime = "13.0";
  g.driver_version = "580.65.06";
  g.pci_bus_id = "0000:3B:00.0";
  g.l2_bytes = 52'428'800;
  g.sm_clock_hz = g.max_sm_clock_hz = 1.98e9;
  g.throttle_reasons = {"power limit"};
  g.power_w = 698.5;
  g.ecc_errors = 0;
  g.energy.source = "NVML, the whole board";
  return g;
}

/// A verified result whose samples lie around `median_s`.
inline Result fixed_result(const std::string& type, double median_s) {
  Result r;
  r.command =
      "flashbench bench --b 1 --h 2 --q_len 4096 --kv_len 4096 --d 512 --dtype f32 --pass "
      "forward --type " +
      type;
  r.workload = workload_of(Problem{});
  r.pass = "forward";
  r.type = type;
  r.backend = "cpu";
  r.kernel = "cpu_" + type;
  r.isa = "avx2";
  r.threads = 2;
  measure::Samples samples;
  for (int i = 0; i < 11; ++i) samples.times_s.push_back(median_s * (1 + 0.002 * (i - 5)));
  samples.user_s = 1.9 * median_s;
  r.timing = timing_of(samples);
  r.stopped_by = measure::StoppedBy::kNoise;
  r.flop_convention = "4*b*h*q*k*d forward, 10 backward, visible pairs";
  r.flop_dense = r.flop_visible = 4.0 * 2 * 4096 * 4096 * 512;
  r.flop_executed = r.flop_dense;
  r.bytes = 67141632;
  derive_rates(r);
  r.pct_peak = 78.4;
  r.bound = "compute";
  r.workspace_bytes = 1u << 20;
  r.peak_rss_bytes = type == "normal" ? 182'000'000 : 48'000'000;
  r.check.verdict = "pass";
  r.check.level = "full";
  r.check.worst = {{"o", 0.41, 2, {0, 1, 17, 3}}, {"lse", 0.12, 2, {0, 0, 5, 0}}};
  return r;
}

inline Report fixed_report() {
  Report report;
  report.tool.version = "0.1.0";
  report.tool.git_sha = "0123456789abcdef0123456789abcdef01234567";
  report.tool.dirty = false;
  report.argv = {"flashbench", "bench"};
  report.started_at = "2026-01-31T12:34:56Z";
  report.context = fixed_context();
  Peak compute;
  compute.backend = "cpu";
  compute.isa = "avx2";
  compute.threads = 2;
  compute.dtype = "f32";
  compute.gflops = 350.0;
  Peak memory = compute;
  memory.dtype.reset();
  memory.gflops.reset();
  memory.read_gb_s = 21.3;
  report.peaks = {compute, memory};
  report.results = {fixed_result("flash", 0.2513), fixed_result("normal", 0.7802)};
  derive_speedups(report.results);
  report.summary = summarize(report.results);
  return report;
}

/// These results in a report, with what follows from them.
inline Report concluded(std::vector<Result> results) {
  Report report = fixed_report();
  report.results = std::move(results);
  conclude(report);
  return report;
}

/// What can go wrong with a case, one result each.
inline Report troubled_report() {
  Report report = fixed_report();
  Result skipped = fixed_result("normal", 1);
  skipped.status = Status::kSkipped;
  skipped.reason = "needs 68.7 GB, 21.0 GB available";
  skipped.refusal = Rejection::Kind::kMemory;
  skipped.check = {};
  Result wrong = fixed_result("paper", 3);
  wrong.workload.causal = true;
  wrong.status = Status::kFailed;
  wrong.reason = "wrong result";
  wrong.check.verdict = "fail";
  wrong.check.worst[0].error_over_noise = 35.2;
  wrong.check.worst[1].error_over_noise.reset();
  Result threw = fixed_result("flash", 1);
  threw.workload.mask = "random";
  threw.workload.mask_keep = 0.5;
  threw.status = Status::kFailed;
  threw.reason = "device lost";
  threw.check = {};
  threw.timing.reset();
  Result unverified = fixed_result("flash", 1);
  unverified.workload.dtype = "bf16";
  unverified.check = {};
  Result interrupted = fixed_result("flash", 0.3);
  interrupted.workload.h_kv = 1;
  interrupted.status = Status::kInterrupted;
  interrupted.check.level = "sample";
  interrupted.warnings = {"noisy: the median is known to +-3 % only"};
  report.results = {skipped, wrong, threw, unverified, interrupted};
  report.summary = summarize(report.results);
  return report;
}

}  // namespace flashbench::report
