#include "app/bench/foretold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <utility>

#include "app/case/memory.h"
#include "app/case/prepared_case.h"
#include "core/features.h"
#include "core/io_model.h"
#include "core/work.h"
#include "data/inputs.h"
#include "measure/limits.h"
#include "oracle/verify.h"

namespace flashbench::app {
namespace {

/// A call of that length says how fast longer ones are.
constexpr double kTelling_s = 5e-3;
constexpr std::int64_t kFirstLength = 64;
constexpr int kCalls = 8;
constexpr double kMostCalls_s = 0.03;

/// Seconds per byte: a page that is touched for the first time, and random numbers.
constexpr double kTouch_s = 1 / 3e9, kFill_s = 1 / 0.8e9;
/// Probes of the peaks before and while a group is sampled.
constexpr double kProbes_s = 0.1;
/// From there on no untimed call precedes a sample.
constexpr double kLong_s = 1.0;
/// Where no small version can be run.
constexpr double kUsualShareOfPeak = 0.3, kSlowFlop_s = 1e9;
constexpr std::size_t kFastMemory = std::size_t{32} << 20;

/// What decides the speed of a call, lengths and batch apart.
std::string kind_of(const RoutedCase& c) {
  const Problem& p = c.request.problem;
  std::string features;
  for (const Feature f : kEnumerators<Feature>) features += uses(p, f) ? '1' : '0';
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", c.route->kernel->info().name,
                     name(p.pass), name(p.dtype), name(p.kv_dtype()), p.shape.d, p.shape.d_v(),
                     p.page_size, p.kv_chunk, features, p.window_left.value_or(-1),
                     p.window_right.value_or(-1), p.shape.q_len == 1, c.place.isa.value_or(""),
                     c.place.threads.value_or(0), c.place.device.value_or(""));
}

/// `c` with fewer heads and shorter, its windows as well. Its files, if any, fix its shape.
RoutedCase small_version(RoutedCase c, std::int64_t length) {
  Shape& s = c.request.problem.shape;
  const std::int64_t group = s.group();
  s.b = 1;
  s.h_kv = std::min<std::int64_t>(s.h_kv, std::max(c.traits().host_threads, 2));
  s.h = s.h_kv * group;
  s.q_len = std::min(s.q_len, length);
  const std::int64_t kv_len = std::exchange(s.kv_len, std::min(s.kv_len, length));
  shorten_windows(c.request.problem, kv_len);
  return c;
}

double flop_of(const RoutedCase& c) {
  return c.route->kernel->predicted_flop(c.request.problem, c.route->execution);
}

double moved_bytes(const RoutedCase& c) {
  const IoBytes io = io_bytes(c.request.problem, c.request.kv_block, kFastMemory);
  switch (c.request.type) {
    case AttentionType::kNormal:
      return io.normal;
    case AttentionType::kFlash:
    case AttentionType::kPlugin:
    case AttentionType::kWorker:
      return io.flash;
    case AttentionType::kPaper:
      return io.paper;
  }
  no_such_enumerator();
}

/// The fastest of some calls but the first, which touches memory for the first time: others may
/// take the processor away in the middle of most of them, and what so short a call waited then
/// would count as many times as the case is longer.
double fastest_call_s(PreparedCase& prepared, measure::Clock& clock) {
  double fastest_s = std::numeric_limits<double>::infinity(), all_s = 0;
  for (int call = 0; call <= kCalls && (call < 2 || all_s < kMostCalls_s); ++call) {
    const double before_s = clock.now_s();
    prepared.launch();
    prepared.wait();
    const double took_s = clock.now_s() - before_s;
    if (call > 0) fastest_s = std::min(fastest_s, took_s);
    all_s += took_s;
  }
  return fastest_s;
}

}  // namespace

void Foretold::run_small_versions(const RoutedCase& c, Pilot& pilot) {
  const Shape& whole = c.request.problem.shape;
  for (std::int64_t length = kFirstLength;; length *= 2) {
    const RoutedCase small = small_version(c, length);
    const Inputs in = data::make_inputs(small.request.problem);
    PreparedCase prepared(small, in);
    pilot.flop = flop_of(small);
    pilot.call_s = pilot.least_s = fastest_call_s(prepared, clock_);
    if (pilot.call_s >= kTelling_s || length >= std::max(whole.q_len, whole.kv_len)) return;
  }
}

Foretold::Pilot& Foretold::pilot(const RoutedCase& c) {
  const auto [known, is_new] = pilots_.try_emplace(kind_of(c));
  Pilot& pilot = known->second;
  if (!is_new) return pilot;
  const Problem& p = c.request.problem;
  const auto rates = peaks_.try_measure(*c.route->backend, c.route->execution, p.dtype);
  pilot.call_s = 1;
  pilot.flop = kUsualShareOfPeak * (rates ? rates->flop_s : kSlowFlop_s);
  if (rates) pilot.bytes_s = rates->bytes_s;
  if (has_fixed_lengths(p)) return pilot;
  try {
    run_small_versions(c, pilot);
  } catch (const std::exception&) {  // the case itself will say what is wrong
  }
  return pilot;
}

double Foretold::call_s(const RoutedCase& c) {
  const Pilot& told = pilot(c);
  double seconds = std::max(told.least_s, told.call_s * flop_of(c) / told.flop);
  if (told.bytes_s > 0) seconds += moved_bytes(c) / told.bytes_s;
  return told.taught * seconds;
}

measure::Need Foretold::need(const RoutedCase& c) {
  const RunRequest& run = request_.run;
  const double call = call_s(c);
  const MemoryNeed memory = memory_need(c);
  const double own_bytes = static_cast<double>(memory.outputs + memory.workspace);
  // A backward is prepared by its forward, which costs 1 of its 2.5.
  const double prepare_s =
      own_bytes * kTouch_s + (c.request.problem.pass == Pass::kBackward ? call / 2.5 : 0);
  const double copies = static_cast<double>(copies_for(c, kFastMemory));
  measure::Need need;
  need.cases = 1;
  need.fixed_s = call + (1 + copies) * prepare_s +
                 (copies - 1) * static_cast<double>(memory.total()) * kTouch_s;
  if (run.profile) need.fixed_s += 2 * call;
  if (!run.trace.empty()) need.fixed_s += prepare_s + 3 * call;
  if (c.route->backend->energy_j(c.route->execution))
    need.fixed_s += std::max(request_.limits.min_time_s, call);
  const double untimed = call < kLong_s ? call : 0;
  need.sampling_s = call + request_.limits.timeout_samples *
                               (std::max(call, request_.limits.min_sample_s) + untimed);
  return need;
}

measure::Need Foretold::need(const RoutedGroup& group) {
  measure::Need need;
  for (const RoutedCase& c : group.cases)
    if (c.runs()) need += this->need(c);
  if (need.cases == 0) return need;
  const Problem& p = group.problem;
  const VerifyLevel level = oracle::choose_level(request_.run.verify, p);
  need.fixed_s += kProbes_s + static_cast<double>(operand_bytes(p).inputs) * kFill_s +
                  oracle::verification_s(p, level, need.cases);
  need.fixed_s *= fixed_taught_;
  return need;
}

void Foretold::learn(const RoutedGroup& group, const std::vector<report::Result>& results,
                     double fixed_s) {
  const double foretold_s = need(group).fixed_s / fixed_taught_;
  if (foretold_s > 0) fixed_taught_ = std::clamp(fixed_s / foretold_s, 0.5, 4.0);
  for (std::size_t i = 0; i < results.size() && i < group.cases.size(); ++i) {
    if (group.cases[i].runs() && results[i].timing)
      learn(group.cases[i], results[i].timing->median);
  }
}

void Foretold::learn(const RoutedCase& c, double took_s) { pilot(c).taught *= took_s / call_s(c); }

}  // namespace flashbench::app
