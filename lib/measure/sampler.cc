#include "measure/sampler.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>

#include "measure/statistics.h"
#include "measure/stop_rule.h"

namespace flashbench::measure {
namespace {

/// Longer calls get no untimed launch: reloading the largest cache (1 GB, say, at 20 GB/s) is 5 %
/// of a second once, and a timed run of three such calls would take twice as long for it.
constexpr double kEvictionsMatterBelow_s = 1.0;

/// One tick of the counter of stolen time may belong to the window before.
constexpr double kOneTick_s = 0.015;

/// Peak probes may take this share of the time.
constexpr double kProbeShare = 0.1;

/// What warming up may take of the time of a case.
constexpr double kWarmupShare = 0.25;

struct State {
  State(const Subject& s, const Limits& limits)
      : subject(&s),
        warmup(limits, s.one_call_per_sample ? 1 : Warmup::kMaxIterations),
        rule(limits) {}

  bool live() const { return !out.failure; }

  const Subject* subject;
  Warmup warmup;
  StopRule rule;
  Samples out;
  CpuTime cpu;
  double last_call_s = 0;
  std::optional<double> last_lost;  ///< share of the last timed launches that a thread lost
  bool told = false;                ///< somebody says what was lost
  bool evicted = true;              ///< something else ran since its last launch
  std::size_t judged = 0;           ///< samples of earlier steal windows
};

class Session {
 public:
  Session(std::span<const Subject> subjects, const Limits& limits, Clock& clock, const Hooks& hooks)
      : limits_(limits), clock_(&clock), hooks_(&hooks), started_s_(clock.now_s()) {
    limits_.max_warmup_s = std::min(limits.max_warmup_s, kWarmupShare * limits.timeout_s);
    for (const Subject& s : subjects) states_.emplace_back(s, limits_);
    timeout_s_ = limits.timeout_s * static_cast<double>(states_.size());
    medians_s_.resize(states_.size());
    noise_.resize(states_.size());
  }

  std::vector<Samples> run() {
    for (State& s : states_) warm_up(s);
    judge_by_stolen_time();
    rounds_started_s_ = clock_->now_s();
    while (!finished()) round();
    judge_by_stolen_time(true);
    std::vector<Samples> all;
    for (State& s : states_) all.push_back(close(s));
    return all;
  }

 private:
  double elapsed_s() { return clock_->now_s() - started_s_; }
  double mean_round_s() {
    return rounds_ == 0 ? 0 : (clock_->now_s() - rounds_started_s_) / static_cast<double>(rounds_);
  }

  bool stop_requested() {
    stopped_ = stopped_ || (hooks_->stop_requested && hooks_->stop_requested());
    return stopped_;
  }

  /// Times `iterations` launches as one; nullopt if one of them failed.
  std::optional<double> timed(State& s, std::int64_t iterations, CpuTime* cpu) {
    try {
      prepare_sample(s);
      const double took_s = launched_watching(s, iterations, cpu);
      s.last_call_s = took_s / static_cast<double>(iterations);
      mark_evicted(&s);
      return took_s;
    } catch (const std::exception&) {
      s.out.failure = std::current_exception();
      mark_evicted(&s);
      return std::nullopt;
    }
  }

  /// Seconds of that many launches, and what others took of them.
  double launched_watching(State& s, std::int64_t iterations, CpuTime* cpu) {
    s.last_lost.reset();
    double took_s = 0;
    if (s.subject->lost_share) {
      s.last_lost =
          s.subject->lost_share([&] { return took_s = launched(*s.subject, iterations, cpu); });
      return took_s;
    }
    if (!hooks_->thread_times || s.subject->timed) return launched(*s.subject, iterations, cpu);
    s.last_lost = lost_share(hooks_->thread_times,
                             [&] { return took_s = launched(*s.subject, iterations, cpu); });
    return took_s;
  }

  /// Seconds of that many launches, and their processor time.
  double launched(const Subject& subject, std::int64_t iterations, CpuTime* cpu) {
    const CpuTime cpu_before = clock_->cpu_time();
    double took_s = 0;
    if (subject.timed) {
      took_s = subject.timed(iterations);
    } else {
      const double before_s = clock_->now_s();
      for (std::int64_t i = 0; i < iterations; ++i) subject.launch();
      took_s = clock_->now_s() - before_s;
    }
    const CpuTime cpu_after = clock_->cpu_time();
    if (cpu != nullptr) {
      cpu->user_s += cpu_after.user_s - cpu_before.user_s;
      cpu->system_s += cpu_after.system_s - cpu_before.system_s;
    }
    return took_s;
  }

  void prepare_sample(State& s) {
    if (s.evicted && s.subject->settle) s.subject->settle();
    const bool ahead = s.evicted || s.subject->timed;
    if (s.subject->before_sample)
      s.subject->before_sample();
    else if (ahead && s.warmup.info().calls > 0 && s.last_call_s < kEvictionsMatterBelow_s)
      s.subject->launch();
  }

  void mark_evicted(const State* launched) {
    for (State& s : states_) s.evicted = &s != launched;
  }

  void warm_up(State& s) {
    while (s.live() && !s.warmup.done() && !stop_requested()) {
      const bool first = s.warmup.info().calls == 0;
      const std::optional<double> took_s = timed(s, s.warmup.iterations(), nullptr);
      if (!took_s) return;
      if (first) s.out.first_run_s = *took_s;
      s.warmup.add(*took_s);
      report_progress(true);
    }
  }

  bool finished() {
    if (stop_requested()) return true;
    bool done = true;
    bool may_time_out = true;
    for (const State& s : states_) {
      if (!s.live()) continue;
      done = done && needs_no_more(s).has_value();
      may_time_out = may_time_out && s.rule.may_time_out();
    }
    // A round that would end beyond the limit is not begun.
    timed_out_ = !done && may_time_out && elapsed_s() + mean_round_s() > timeout_s_;
    return done || timed_out_;
  }

  std::optional<StoppedBy> needs_no_more(const State& s) {
    if (s.rule.satisfied()) return StoppedBy::kNoise;
    if (s.rule.noise_stays()) return StoppedBy::kNoiseStays;
    const double round_s = mean_round_s();
    if (!(round_s > 0)) return std::nullopt;
    const double fit = (timeout_s_ - elapsed_s()) / round_s;
    if (s.rule.out_of_reach(fit)) return StoppedBy::kOutOfReach;
    if (s.rule.too_disturbed(fit)) return StoppedBy::kDisturbed;
    return std::nullopt;
  }

  /// Of those that are not done all end by the time; one that was out of reach until then, too.
  StoppedBy stopped_by(const State& s) {
    if (stopped_) return StoppedBy::kInterrupt;
    const std::optional<StoppedBy> own = needs_no_more(s);
    const bool until_then = own == StoppedBy::kOutOfReach || own == StoppedBy::kDisturbed;
    return !own || (timed_out_ && until_then) ? StoppedBy::kTimeout : *own;
  }

  void round() {
    const double began_s = clock_->now_s();
    const double least_s = std::max(limits_.probe_interval_s, probe_took_s_ / kProbeShare);
    if (hooks_->each_round && (probes_ == 0 || began_s - probed_s_ >= least_s)) {
      hooks_->each_round(probes_++);
      probed_s_ = clock_->now_s();
      probe_took_s_ = probed_s_ - began_s;
      mark_evicted(nullptr);
    }
    if (hooks_->before_round && hooks_->before_round()) mark_evicted(nullptr);
    const std::size_t n = states_.size();
    for (std::size_t i = 0; i < n; ++i) {
      State& s = states_[(static_cast<std::size_t>(rounds_) + i) % n];
      if (!s.live()) continue;
      if (stop_requested()) return;
      take_sample(s);
    }
    ++rounds_;
    judge_by_stolen_time();
    report_progress(false);
  }

  void take_sample(State& s) {
    const std::int64_t iterations = s.warmup.iterations();
    const std::optional<double> took_s = timed(s, iterations, &s.cpu);
    if (!took_s) return;
    const double call_s = *took_s / static_cast<double>(iterations);
    const double lost = s.last_lost.value_or(0);
    s.told = s.told || s.last_lost;
    if (is_disturbed(lost))
      s.rule.add_disturbed(*took_s);
    else
      s.rule.add(call_s, *took_s);
    s.out.times_s.push_back(call_s);
    s.out.lost.push_back(lost);
    s.out.probe.push_back(probes_ - 1);
    s.out.timed_s += *took_s;
  }

  /// What a hypervisor takes of another thread's processor the reader cannot see: it is known for a
  /// while only, and then of all samples in it. `now`: however short the while.
  void judge_by_stolen_time(bool now = false) {
    if (!hooks_->stolen_s) return;
    const double now_s = clock_->now_s(), window_s = now_s - window_began_s_;
    if (!stolen_s_.empty() && !now && window_s < limits_.steal_window_s) return;
    std::vector<double> stolen_s = hooks_->stolen_s();
    double most_s = 0;  // of one processor: the others wait for its thread
    for (std::size_t i = 0; i < std::min(stolen_s.size(), stolen_s_.size()); ++i)
      most_s = std::max(most_s, stolen_s[i] - stolen_s_[i]);
    if (most_s > kOneTick_s && is_disturbed(most_s / window_s))
      for (State& s : states_) mark_window(s, std::min(most_s / window_s, 1.0));
    for (State& s : states_) s.judged = s.out.lost.size();
    stolen_s_ = std::move(stolen_s);
    window_began_s_ = now_s;
  }

  void mark_window(State& s, double share) {
    if (s.subject->timed && !s.subject->lost_share) return;
    s.told = true;
    for (std::size_t i = s.judged; i < s.out.lost.size(); ++i)
      s.out.lost[i] = std::max(s.out.lost[i], share);
    s.rule = StopRule(limits_);
    for (std::size_t i = 0; i < s.out.lost.size(); ++i) {
      const double sample_s = s.out.times_s[i] * static_cast<double>(s.warmup.iterations());
      if (is_disturbed(s.out.lost[i]))
        s.rule.add_disturbed(sample_s);
      else
        s.rule.add(s.out.times_s[i], sample_s);
    }
  }

  void report_progress(bool warming_up) {
    if (!hooks_->progress) return;
    double rounds_left = 0;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      medians_s_[i] = states_[i].rule.median_s();
      noise_[i] = states_[i].rule.noise();
      if (states_[i].live()) rounds_left = std::max(rounds_left, states_[i].rule.samples_left());
    }
    const double elapsed = elapsed_s();
    const double limit_left_s = std::max(timeout_s_ - elapsed, 0.0);
    Progress p;
    p.warming_up = warming_up;
    p.round = rounds_;
    p.elapsed_s = elapsed;
    p.time_left_s =
        warming_up ? limit_left_s : std::min(limit_left_s, rounds_left * mean_round_s());
    p.medians_s = medians_s_;
    p.noise = noise_;
    hooks_->progress(p);
  }

  Samples close(State& s) {
    Samples& out = s.out;
    if (!s.told) out.lost.clear();
    out.iterations_per_sample = s.warmup.iterations();
    out.warmup = s.warmup.info();
    out.stopped_by = stopped_by(s);
    const double calls =
        static_cast<double>(out.times_s.size()) * static_cast<double>(out.iterations_per_sample);
    if (calls > 0) {
      out.user_s = s.cpu.user_s / calls;
      out.system_s = s.cpu.system_s / calls;
    }
    return std::move(out);
  }

  Limits limits_;
  Clock* clock_;
  const Hooks* hooks_;
  std::vector<State> states_;
  std::vector<double> medians_s_, noise_;
  double started_s_, rounds_started_s_ = 0, timeout_s_ = 0, probed_s_ = 0, probe_took_s_ = 0;
  double window_began_s_ = 0;
  std::vector<double> stolen_s_;  ///< when the window began
  int rounds_ = 0, probes_ = 0;
  bool stopped_ = false, timed_out_ = false;
};

}  // namespace

std::vector<Samples> sample_interleaved(std::span<const Subject> subjects, const Limits& limits,
                                        Clock& clock, const Hooks& hooks) {
  return Session(subjects, limits, clock, hooks).run();
}

std::optional<double> median_share_of_peak(const Samples& samples,
                                           std::span<const double> ideal_s) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < samples.times_s.size(); ++i) {
    const int probe = samples.probe[i];
    if (probe < 0 || static_cast<std::size_t>(probe) >= ideal_s.size()) continue;
    if (i < samples.lost.size() && is_disturbed(samples.lost[i])) continue;
    const double share = ideal_s[static_cast<std::size_t>(probe)] / samples.times_s[i];
    if (std::isfinite(share)) shares.push_back(share);
  }
  if (shares.empty()) return std::nullopt;
  return median(shares);
}

}  // namespace flashbench::measure
