#include "app/bench/bench_group.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "app/bench/fair_play.h"
#include "app/bench/running_case.h"
#include "app/case/memory.h"
#include "app/case/prepared_case.h"
#include "app/case/references.h"
#include "app/case/results.h"
#include "core/io_model.h"
#include "core/work.h"
#include "data/inputs.h"
#include "measure/energy.h"
#include "measure/lost_time.h"
#include "measure/peak_rss.h"
#include "measure/sampler.h"
#include "measure/warnings.h"
#include "oracle/verify.h"
#include "report/derive.h"
#include "report/grid.h"
#include "system/error.h"
#include "system/interrupt.h"
#include "system/machine.h"

namespace flashbench::app {
namespace {

/// A reading of a device's energy counter takes some milliseconds. More work than that is queued
/// behind it, or the device would idle meanwhile, and the calls would pay for it.
constexpr double kQueued_s = 0.01;

std::int64_t calls_in(double seconds, double call_s) {
  return call_s < seconds ? static_cast<std::int64_t>(std::ceil(seconds / call_s)) : 1;
}

std::size_t last_cache_bytes(const report::Context& machine) {
  std::uint64_t bytes = 0;
  for (const report::CpuCache& c : machine.cpu.caches)
    if (c.type != "instruction") bytes = std::max(bytes, c.bytes);
  return bytes != 0 ? bytes : std::size_t{32} << 20;
}

measure::Waiting waiting_of(const report::Omp& omp) {
  const bool passive = ::strcasecmp(omp.wait_policy.value_or("").c_str(), "passive") == 0;
  return passive ? measure::Waiting::kSleeps : measure::Waiting::kSpins;
}

/// A whole reference in fp64, and the copies of cold operands.
ExtraMemory extra_memory(const Problem& p, VerifyLevel level, std::size_t cache_bytes) {
  ExtraMemory extra;
  if (level == VerifyLevel::kFull) extra.shared = reference_bytes(p);
  extra.own = [cache_bytes](const RoutedCase& c) {
    return (copies_for(c, cache_bytes) - 1) * memory_need(c).total();
  };
  return extra;
}

/// What one launch with fresh outputs and workspace adds to the resident memory, its inputs
/// included. Also the first run of the case, so that a launch that fails does so here.
std::optional<std::uint64_t> peak_memory(const RoutedCase& c, const Inputs& in) {
  std::optional<PreparedCase> prepared;  // alive while its memory is read
  const auto first_run = [&] {
    prepared.emplace(c, in);
    prepared->launch();
    prepared->wait();
  };
  if (c.traits().own_memory || c.traits().times_itself) {  // not this process's
    first_run();
    return std::nullopt;
  }
  const auto peak = measure::peak_rss_during(first_run);
  if (!peak) return std::nullopt;
  return peak->growth_bytes() + memory_need(c).inputs;
}

/// What each type must move past the last cache: of the device, or of the processor
/// (`cpu_cache_bytes`).
std::map<std::string, double> io_by_type(const RoutedCase& c, std::size_t cpu_cache_bytes) {
  std::size_t fast_bytes = cpu_cache_bytes;
  if (c.route) fast_bytes = c.route->backend->cache_bytes(c.route->execution).value_or(fast_bytes);
  const IoBytes io = io_bytes(c.request.problem, c.request.kv_block, fast_bytes);
  return {{"normal", io.normal}, {"paper", io.paper}, {"flash", io.flash}};
}

class Group {
 public:
  Group(RoutedGroup& group, const BenchContext& context)
      : group_(group),
        context_(context),
        level_(oracle::choose_level(context.request.run.verify, group.problem)),
        cache_bytes_(last_cache_bytes(context.machine)) {}

  GroupResults run() {
    read_first_peaks();
    skip_what_does_not_fit(group_, context_.request, context_.machine);
    for (const RoutedCase& c : group_.cases) {
      results_.push_back(result_of("bench", c, context_.request.run.verify));
      results_.back().io_bytes = io_by_type(c, cache_bytes_);
    }
    if (!group_.any_runs()) return {std::move(results_), 0};
    try {
      describe("inputs");
      in_ = data::make_inputs(group_.problem);
      work_ = count_work(group_.problem, count_visible(group_.problem, in_.key_mask));
      if (fair_play_.applies()) fair_play_.change();
      prepare_cases();
      if (!interrupted()) measure();
      if (!interrupted()) trace();
    } catch (const UsageError&) {
      throw;  // a file that holds what it must not is no matter of this machine
    } catch (const std::exception& e) {
      for (report::Result* r : unfinished()) add_failure(*r, e);
    }
    if (interrupted())
      for (report::Result* r : unfinished()) {
        r->status = report::Status::kInterrupted;
        r->reason = "interrupted before it was verified";
      }
    return {std::move(results_), sampling_s_};
  }

 private:
  void describe(const std::string& what) {
    context_.progress.begin(
        context_.done + 1,
        fmt::format("{}, {}", report::workload_text(report::workload_of(group_.problem)), what));
  }

  /// Before the cases hold memory: beside them there may be no room to read a bandwidth.
  void read_first_peaks() {
    for (const RoutedCase& c : group_.cases) {
      if (!c.runs() || context_.peaks.knows(*c.route->backend, c.route->execution)) continue;
      context_.peaks.try_measure(*c.route->backend, c.route->execution, group_.problem.dtype);
    }
  }

  void prepare_cases() {
    for (std::size_t i = 0; i < group_.cases.size() && !interrupted(); ++i) {
      const RoutedCase& c = group_.cases[i];
      if (!c.runs()) continue;
      RunningCase running{.routed = &c, .result = &results_[i]};
      add_work(*running.result, work_);
      describe(std::string(name(c.request.type)));
      try {
        const double before_s = context_.clock.now_s();
        running.result->peak_rss_bytes = peak_memory(c, in_);
        if (std::optional<std::string> why =
                context_.gives_up(c, context_.clock.now_s() - before_s)) {
          running.result->status = report::Status::kSkipped;
          running.result->reason = std::move(*why);
          continue;
        }
        running_.push_back(std::move(running));
      } catch (const std::exception& e) {
        add_failure(*running.result, e);
      }
    }
    // Only now: workspace that lives on would hide what the next type needs for itself.
    for (RunningCase& r : running_) {
      if (interrupted()) return;
      try {
        r.prepared =
            std::make_unique<PreparedCase>(*r.routed, in_, copies_for(*r.routed, cache_bytes_));
      } catch (const std::exception& e) {
        add_failure(*r.result, e);
      }
    }
    std::erase_if(running_, [](const RunningCase& r) { return r.prepared == nullptr; });
  }

  /// Reads the peaks for every kind of execution in the group once.
  void probe() {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      RunningCase& r = running_[i];
      const auto self = running_.begin() + static_cast<long>(i);
      const auto same = std::find_if(running_.begin(), self,
                                     [&](const RunningCase& other) { return other.same_peaks(r); });
      r.peaks = same != self
                    ? same->peaks
                    : context_.peaks.try_measure(r.backend(), r.execution(), group_.problem.dtype);
      if (!r.peaks) continue;
      r.peak_flop_s = std::max(r.peak_flop_s, r.peaks->flop_s);
      // Others that took a processor from the probe made it slow, not the machine.
      r.ideal_s.push_back(r.peaks->disturbed ? std::numeric_limits<double>::quiet_NaN()
                                             : report::ideal_s(least_flop(r), work_.bytes,
                                                               r.peaks->flop_s, r.peaks->bytes_s));
    }
  }

  /// The visible FLOP, or what is executed where that is less: the backward of normal keeps P,
  /// whose product is counted.
  double least_flop(const RunningCase& r) const {
    return std::min(work_.flop_visible, r.prepared->flop_executed());
  }

  void measure() {
    describe("sampling");
    std::vector<measure::Subject> subjects;
    const bool fair = fair_play_.applies();
    for (RunningCase& r : running_) subjects.push_back(subject_of(r));
    measure::Hooks hooks;
    hooks.each_round = [this](int) {
      probe();
      read_clocks();
    };
    if (fair) hooks.before_round = [this] { return fair_play_.change_now_and_then(); };
    hooks.stop_requested = [] { return interrupted(); };
    hooks.progress = [this](const measure::Progress& p) { context_.progress.update(p); };
    const std::vector<int> cpus = machine::affinity();
    measure::ThreadTimeReader threads;
    hooks.thread_times = [&] { return threads.read(); };
    hooks.stolen_s = [&] { return measure::stolen_s(cpus); };
    measure::Conditions conditions;
    conditions.usable_cpus = machine::usable_cpus();
    conditions.waiting = waiting_of(context_.machine.omp);
    conditions.before = measure::take_snapshot(context_.clock, cpus);
    conditions.before.own_cpu_s += fair_play_.guests_cpu_s();
    const double before_s = context_.clock.now_s();
    const std::vector<measure::Samples> samples =
        measure::sample_interleaved(subjects, context_.limits, context_.clock, hooks);
    sampling_s_ = context_.clock.now_s() - before_s;
    read_clocks();
    conditions.after = measure::take_snapshot(context_.clock, cpus);
    conditions.after.own_cpu_s += fair_play_.guests_cpu_s();
    if (interrupted()) return;
    describe("verifying");
    if (fair) fair_play_.restore();
    References references(group_.problem, in_, level_);
    for (std::size_t i = 0; i < running_.size() && !interrupted(); ++i) {
      RunningCase& r = running_[i];
      conditions.threads = r.traits().host_threads;
      conditions.device = r.clocks;
      try {
        if (samples[i].failure) std::rethrow_exception(samples[i].failure);
        finish(r, samples[i], conditions, references.of(*r.routed));
      } catch (const UsageError&) {
        throw;
      } catch (const std::exception& e) {  // of this case; a device may have survived it
        add_failure(*r.result, e);
      }
    }
  }

  /// Where launches are queued, the clock of the device counts.
  measure::Subject subject_of(RunningCase& r) {
    measure::Subject subject;
    if (fair_play_.applies()) subject.settle = [this, &r] { fair_play_.settle(r); };
    subject.launch = [&r] { r.prepared->launch(); };
    if (r.traits().times_itself) {
      if (!r.traits().own_memory)  // else a device times it, which nobody here disturbs
        subject.lost_share = lost_share_in(r.prepared->threads_folder());
      subject.timed = [this, &r](std::int64_t n) { return fair_play_.timed(r, n); };
    }
    if (r.traits().queues)
      subject.timed = [&r](std::int64_t iterations) {
        return r.backend().queued_s(r.execution(), [&] {
          for (std::int64_t i = 0; i < iterations; ++i) r.prepared->launch();
        });
      };
    if (r.cold() && r.traits().flushes_caches) {
      subject.before_sample = [&r] { r.backend().flush_caches(r.execution()); };
      subject.one_call_per_sample = true;
    }
    return subject;
  }

  /// One more reading of what every case runs on, while it is still warm from its work.
  void read_clocks() {
    for (RunningCase& r : running_)
      if (auto now = r.backend().read_clocks(r.execution())) r.clocks.push_back(std::move(*now));
  }

  void finish(RunningCase& r, const measure::Samples& samples,
              const measure::Conditions& conditions, const oracle::Reference& reference) {
    report::Result& result = *r.result;
    result.timing = report::timing_of(samples);
    if (result.timing) result.stopped_by = samples.stopped_by;
    const std::vector<std::string> warnings =
        measure::warnings(samples, context_.limits, conditions);
    result.warnings.insert(result.warnings.end(), warnings.begin(), warnings.end());
    result.others_cpus = measure::others_cpus(conditions);
    result.workspace_bytes = r.prepared->workspace_bytes();
    result.flop_executed = r.prepared->flop_executed();
    report::derive_rates(result);
    if (const auto share = measure::median_share_of_peak(samples, r.ideal_s))
      result.pct_peak = 100 * *share;
    if (r.ideal_s.empty())
      result.warnings.push_back("no share of the peak: " +
                                context_.peaks.missing(r.backend(), r.execution()));
    else if (!result.pct_peak && result.timing && !result.timing->disturbed)
      result.warnings.push_back(
          "no share of the peak: others had a processor whenever that was read; stop other "
          "programs");
    std::optional<std::string> not_credible;
    if (fair_play_.applies())
      not_credible = fair_play_.launch_alone(
          r, result.timing ? std::optional(result.timing->median) : std::nullopt);
    add_verdict(result, reference.verify(r.prepared->collect()), reproduce("check", *r.routed));
    if (auto warning = fair_play_.warning(r)) result.warnings.push_back(std::move(*warning));
    if (not_credible && result.status == report::Status::kOk)
      add_failure(result, DeviceError(*result.kernel + ": " + *not_credible));
    add_energy(r, samples.iterations_per_sample);
    if (context_.request.run.profile)
      add_phases(result, *r.prepared, context_.request.run.profile_sort);
    finished_.push_back(&result);
  }

  /// Last, and with the memory of the timed runs given back: a trace changes no sample.
  void trace() {
    if (!context_.trace.wanted()) return;
    for (RunningCase& r : running_) r.prepared.reset();
    for (const RunningCase& r : running_) {
      if (interrupted() || r.result->status != report::Status::kOk) continue;
      describe("tracing");
      const std::string missing = context_.trace.add(*r.routed, in_);
      if (!missing.empty()) r.result->warnings.push_back(missing);
    }
  }

  /// A run of its own: between samples that take turns, the counters could not tell whose joules
  /// they count.
  void add_energy(RunningCase& r, std::int64_t iterations) {
    const ExecutionTraits traits = r.traits();
    if (r.cold() && traits.flushes_caches) return;  // the flushes between the calls would count too
    const measure::ReadEnergy read_j = [&] { return r.backend().energy_j(r.execution()); };
    if (!read_j()) return;  // the report's context says why
    describe("energy");
    report::Result& result = *r.result;
    if (traits.own_memory && result.timing) iterations = calls_in(kQueued_s, result.timing->median);
    const auto launch_all = [&] {
      for (std::int64_t i = 0; i < iterations; ++i) r.prepared->launch();
    };
    const auto launch = [&] {
      if (traits.times_itself)
        r.backend().queued_s(r.execution(), launch_all);  // as one request
      else
        launch_all();
      if (traits.queues) r.backend().wait_for_previous(r.execution());
    };
    result.energy_j = measure::energy_per_call_j(read_j, launch, context_.limits.min_time_s,
                                                 context_.clock, interrupted);
    r.prepared->wait();
    if (result.energy_j) *result.energy_j /= static_cast<double>(iterations);
    if (result.energy_j && *result.energy_j > 0)
      result.gflop_per_j = result.flop_visible / *result.energy_j * 1e-9;
  }

  std::vector<report::Result*> unfinished() {
    std::vector<report::Result*> out;
    for (report::Result& result : results_)
      if (result.status == report::Status::kOk &&
          std::find(finished_.begin(), finished_.end(), &result) == finished_.end())
        out.push_back(&result);
    return out;
  }

  RoutedGroup& group_;
  const BenchContext& context_;
  const VerifyLevel level_;
  const std::size_t cache_bytes_;
  Inputs in_;
  Work work_;
  std::vector<report::Result> results_;
  std::vector<RunningCase> running_;
  FairPlay fair_play_{group_, running_, in_, context_.clock};
  std::vector<const report::Result*> finished_;
  double sampling_s_ = 0;
};

}  // namespace

void skip_what_does_not_fit(RoutedGroup& group, const BenchRequest& request,
                            const report::Context& machine) {
  if (!group.any_runs()) return;
  const VerifyLevel level = oracle::choose_level(request.run.verify, group.problem);
  skip_what_does_not_fit(group, extra_memory(group.problem, level, last_cache_bytes(machine)));
}

GroupResults bench_group(RoutedGroup& group, const BenchContext& context) {
  return Group(group, context).run();
}

}  // namespace flashbench::app
