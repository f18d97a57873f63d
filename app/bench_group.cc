#include "bench_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/io_model.h"
#include "core/machine.h"
#include "core/work.h"
#include "data/inputs.h"
#include "interrupt.h"
#include "lane.h"
#include "measure/peak_rss.h"
#include "measure/sampler.h"
#include "measure/warnings.h"
#include "oracle/verify.h"
#include "registry/registry.h"
#include "report/derive.h"
#include "report/grid.h"
#include "results.h"

namespace flashbench::app {
namespace {

/// A case of the group that runs.
struct Runner {
  const RoutedCase* routed = nullptr;
  report::Result* result = nullptr;
  std::unique_ptr<Lane> lane;
  std::vector<double> ideal_s;  ///< seconds at the peaks, one per probe
};

/// Device time, and this process's processor time.
class DeviceClock final : public measure::SteadyClock {
 public:
  explicit DeviceClock(int device) : device_(device) {}
  double now_s() override { return registry::device_now_s(device_); }

 private:
  int device_;
};

std::size_t last_cache_bytes(const report::Context& machine) {
  std::uint64_t bytes = 0;
  for (const report::CpuCache& c : machine.cpu.caches)
    if (c.type != "instruction") bytes = std::max(bytes, c.bytes);
  return bytes != 0 ? bytes : std::size_t{32} << 20;
}

/// Extra memory: a whole reference in fp64, and the copies of cold operands.
Extra extra_memory(const Problem& p, VerifyLevel level, std::size_t cache_bytes) {
  Extra extra;
  if (level == VerifyLevel::kFull) extra.shared = reference_bytes(p);
  extra.own = [cache_bytes](const RoutedCase& c) {
    return (copies_for(c, cache_bytes) - 1) * memory_need(c).total();
  };
  return extra;
}

/// What one launch with fresh outputs and workspace adds to the resident memory, its inputs
/// included. Also the first run of the case, so that a launch that fails does so here.
std::optional<std::uint64_t> peak_memory(const RoutedCase& c, const Inputs& in) {
  const auto first_run = [&] {
    Lane lane(c, in);
    lane.launch();
    lane.wait();
  };
  if (c.on_cuda()) {  // its memory is not this process's
    first_run();
    return std::nullopt;
  }
  const auto peak = measure::peak_rss_during(first_run);
  if (!peak) return std::nullopt;
  return peak->growth_bytes() + memory_need(c).inputs;
}

std::map<std::string, double> io_by_type(const RoutedCase& c, std::size_t cache_bytes) {
  const IoBytes io = io_bytes(c.request.problem, c.request.kv_block, cache_bytes);
  return {{"normal", io.normal}, {"paper", io.paper}, {"flash", io.flash}};
}

class Group {
 public:
  Group(RoutedGroup& group, const BenchContext& context)
      : group_(group),
        context_(context),
        level_(oracle::choose_level(context.request.run.verify, group.problem)),
        cache_bytes_(last_cache_bytes(context.machine)) {}

  std::vector<report::Result> run() {
    take_probe_memory();
    if (group_.any_runs())
      skip_what_does_not_fit(group_, extra_memory(group_.problem, level_, cache_bytes_));
    for (const RoutedCase& c : group_.cases) {
      results_.push_back(result_of("bench", c));
      results_.back().io_bytes = io_by_type(c, cache_bytes_);
    }
    if (!group_.any_runs()) return std::move(results_);
    try {
      describe("inputs");
      in_ = data::make_inputs(group_.problem);
      work_ = count_work(group_.problem, count_visible(group_.problem, in_.key_mask));
      make_runners();
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
    return std::move(results_);
  }

 private:
  void describe(const std::string& what) {
    context_.progress.begin(
        context_.done + 1,
        fmt::format("{}, {}", report::workload_text(report::workload_of(group_.problem)), what));
  }

  /// The first reading of the peaks takes a buffer that it keeps: before memory is shared out.
  void take_probe_memory() {
    for (const RoutedCase& c : group_.cases) {
      if (!c.runs()) continue;
      if (context_.peaks.empty())
        context_.peaks.try_measure(c.route->execution, group_.problem.dtype);
      return;
    }
  }

  void make_runners() {
    for (std::size_t i = 0; i < group_.cases.size() && !interrupted(); ++i) {
      const RoutedCase& c = group_.cases[i];
      if (!c.runs()) continue;
      Runner runner{&c, &results_[i], nullptr, {}};
      add_work(*runner.result, work_);
      describe(std::string(name(c.request.type)));
      try {
        runner.result->peak_rss_bytes = peak_memory(c, in_);
        runners_.push_back(std::move(runner));
      } catch (const std::exception& e) {
        add_failure(*runner.result, e);
      }
    }
    // Only now: workspace that lives on would hide what the next type needs for itself.
    for (Runner& r : runners_) {
      if (interrupted()) return;
      try {
        r.lane = std::make_unique<Lane>(*r.routed, in_, copies_for(*r.routed, cache_bytes_));
      } catch (const std::exception& e) {
        add_failure(*r.result, e);
      }
    }
    std::erase_if(runners_, [](const Runner& r) { return r.lane == nullptr; });
  }

  /// Reads the peaks for every kind of execution in the group once.
  void probe() {
    for (std::size_t i = 0; i < runners_.size(); ++i) {
      Runner& r = runners_[i];
      const Execution& e = r.routed->route->execution;
      const auto same = std::find_if(runners_.begin(), runners_.begin() + static_cast<long>(i),
                                     [&](const Runner& other) {
                                       const Execution& o = other.routed->route->execution;
                                       return o.isa == e.isa && o.threads == e.threads;
                                     });
      if (same != runners_.begin() + static_cast<long>(i)) {
        r.ideal_s.push_back(same->ideal_s.back());
        r.result->bound = same->result->bound;
        continue;
      }
      const auto rates = context_.peaks.try_measure(e, group_.problem.dtype);
      if (!rates) return;
      const report::Ideal ideal =
          report::ideal_time(work_.flop_visible, work_.bytes, rates->flop_s, rates->bytes_s);
      r.ideal_s.push_back(ideal.seconds);
      r.result->bound = ideal.bound;
    }
  }

  void measure() {
    describe("sampling");
    std::vector<measure::Subject> subjects;
    for (Runner& r : runners_) {
      measure::Subject subject;
      subject.launch = [&r] { r.lane->launch(); };
      if (r.routed->on_cuda() && r.routed->request.cache == sweep::CacheState::kCold) {
        subject.before_sample = [&r] { r.lane->flush_caches(); };
        subject.one_call_per_sample = true;
      }
      subjects.push_back(std::move(subject));
    }
    measure::Hooks hooks;
    hooks.each_round = [this](int) { probe(); };
    hooks.stop_requested = [] { return interrupted(); };
    hooks.progress = [this](const measure::Progress& p) { context_.progress.update(p); };
    const std::vector<int> cpus = machine::affinity();
    measure::Conditions conditions;
    conditions.usable_cpus = registry::usable_threads();
    conditions.before = measure::take_snapshot(context_.clock, cpus);
    const std::vector<measure::Samples> samples =
        measure::sample_interleaved(subjects, context_.limits, clock(), hooks);
    conditions.after = measure::take_snapshot(context_.clock, cpus);
    if (interrupted()) return;
    describe("verifying");
    const oracle::Reference reference(group_.problem, in_, level_);
    for (std::size_t i = 0; i < runners_.size() && !interrupted(); ++i) {
      conditions.threads = runners_[i].routed->route->execution.threads;
      finish(runners_[i], samples[i], conditions, reference);
    }
  }

  /// The clock of the device where a case runs on one: events, after everything that was launched.
  measure::Clock& clock() {
    for (const Runner& r : runners_)
      if (r.routed->on_cuda()) {
        device_clock_.emplace(r.routed->route->execution.device);
        return *device_clock_;
      }
    return context_.clock;
  }

  void finish(Runner& r, const measure::Samples& samples, const measure::Conditions& conditions,
              const oracle::Reference& reference) {
    report::Result& result = *r.result;
    if (samples.failure) {
      result.status = report::Status::kFailed;
      result.reason = samples.failure;
      return;
    }
    result.timing = report::timing_of(samples);
    result.warnings = measure::warnings(samples, context_.limits, conditions);
    result.others_cpus = measure::others_cpus(conditions);
    result.workspace_bytes = r.lane->workspace_bytes();
    result.flop_executed = r.lane->flop_executed();
    report::derive_rates(result);
    if (const auto share = measure::median_share_of_peak(samples, r.ideal_s))
      result.pct_peak = 100 * *share;
    if (r.ideal_s.empty())
      result.warnings.push_back(r.routed->on_cuda()
                                    ? "no share of the peak: a GPU's peaks are not measured"
                                    : "no share of the peak: too little memory for the buffer that "
                                      "bandwidth is read from");
    add_verdict(result, reference.verify(r.lane->collect()), r.routed->request);
    add_energy(r);
    if (context_.request.run.profile)
      add_phases(result, r.lane->profile(), context_.request.run.profile_sort);
    finished_.push_back(&result);
  }

  /// Last, and with the memory of the timed runs given back: a trace changes no sample.
  void trace() {
    if (!context_.trace.wanted()) return;
    for (Runner& r : runners_) r.lane.reset();
    for (const Runner& r : runners_) {
      if (interrupted() || r.result->status != report::Status::kOk) continue;
      describe("tracing");
      const std::string missing = context_.trace.add(*r.routed, in_);
      if (!missing.empty()) r.result->warnings.push_back(missing);
    }
  }

  /// A run of its own: between samples that take turns, the counters could not tell whose joules
  /// they count.
  void add_energy(Runner& r) {
    if (!context_.energy.missing().empty()) return;
    describe("energy");
    report::Result& result = *r.result;
    result.energy_j = measure::energy_per_call_j(
        context_.energy, [&r] { r.lane->launch(); }, context_.limits.min_time_s, interrupted);
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
  std::vector<Runner> runners_;
  std::vector<const report::Result*> finished_;
  std::optional<DeviceClock> device_clock_;
};

}  // namespace

std::vector<report::Result> bench_group(RoutedGroup& group, const BenchContext& context) {
  return Group(group, context).run();
}

}  // namespace flashbench::app
