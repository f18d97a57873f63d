#include "app/bench/bench_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "app/case/prepared_case.h"
#include "app/case/results.h"
#include "app/process/interrupt.h"
#include "core/gpu_reading.h"
#include "core/io_model.h"
#include "core/work.h"
#include "data/inputs.h"
#include "measure/peak_rss.h"
#include "measure/sampler.h"
#include "measure/warnings.h"
#include "oracle/verify.h"
#include "registry/registry.h"
#include "report/derive.h"
#include "report/grid.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::app {
namespace {

/// A case of the group that runs.
struct Runner {
  const RoutedCase* routed = nullptr;
  report::Result* result = nullptr;
  std::unique_ptr<PreparedCase> prepared;
  std::vector<double> ideal_s;  ///< seconds at the peaks, one per probe

  const Execution& execution() const { return routed->route->execution; }
  bool on_cuda() const { return routed->on_cuda(); }
};

/// A reading of a GPU's energy counter takes some milliseconds. More than that is queued behind it,
/// or the GPU would idle meanwhile, and the calls would pay for it.
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

/// ExtraMemory memory: a whole reference in fp64, and the copies of cold operands.
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
  const auto first_run = [&] {
    PreparedCase prepared(c, in);
    prepared.launch();
    prepared.wait();
  };
  if (c.on_cuda()) {  // its memory is not this process's
    first_run();
    return std::nullopt;
  }
  const auto peak = measure::peak_rss_during(first_run);
  if (!peak) return std::nullopt;
  return peak->growth_bytes() + memory_need(c).inputs;
}

/// What the fast memory of the model is: the last cache of the processor, or the GPU's L2.
std::size_t fast_memory_bytes(const RoutedCase& c, std::size_t cache_bytes) {
  if (!c.on_cuda() || c.emulated()) return cache_bytes;
  const auto gpus = registry::gpus();
  return gpus.at(static_cast<std::size_t>(c.route->execution.device)).l2_bytes;
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
      results_.back().io_bytes = io_by_type(c, fast_memory_bytes(c, cache_bytes_));
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
      if (!c.runs() || context_.peaks.knows(c.route->execution)) continue;
      context_.peaks.try_measure(c.route->execution, group_.problem.dtype);
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
        r.prepared =
            std::make_unique<PreparedCase>(*r.routed, in_, copies_for(*r.routed, cache_bytes_));
      } catch (const std::exception& e) {
        add_failure(*r.result, e);
      }
    }
    std::erase_if(runners_, [](const Runner& r) { return r.prepared == nullptr; });
  }

  /// Reads the peaks for every kind of execution in the group once.
  void probe() {
    for (std::size_t i = 0; i < runners_.size(); ++i) {
      Runner& r = runners_[i];
      const auto same = std::find_if(
          runners_.begin(), runners_.begin() + static_cast<long>(i),
          [&](const Runner& other) { return same_peaks(other.execution(), r.execution()); });
      if (same != runners_.begin() + static_cast<long>(i)) {
        if (same->ideal_s.empty()) continue;
        r.ideal_s.push_back(same->ideal_s.back());
        r.result->bound = same->result->bound;
        continue;
      }
      const auto rates = context_.peaks.try_measure(r.execution(), group_.problem.dtype);
      if (!rates) continue;
      const report::Ideal ideal =
          report::ideal_time(work_.flop_visible, work_.bytes, rates->flop_s, rates->bytes_s);
      r.ideal_s.push_back(ideal.seconds);
      r.result->bound = ideal.bound;
    }
  }

  void measure() {
    describe("sampling");
    std::vector<measure::Subject> subjects;
    for (Runner& r : runners_) subjects.push_back(subject_of(r));
    measure::Hooks hooks;
    hooks.each_round = [this](int) {
      probe();
      read_gpu_clocks();
    };
    hooks.stop_requested = [] { return interrupted(); };
    hooks.progress = [this](const measure::Progress& p) { context_.progress.update(p); };
    const std::vector<int> cpus = machine::affinity();
    measure::Conditions conditions;
    conditions.usable_cpus = registry::usable_threads();
    conditions.before = measure::take_snapshot(context_.clock, cpus);
    const std::vector<measure::Samples> samples =
        measure::sample_interleaved(subjects, context_.limits, context_.clock, hooks);
    read_gpu_clocks();
    conditions.after = measure::take_snapshot(context_.clock, cpus);
    if (interrupted()) return;
    describe("verifying");
    const oracle::Reference reference(group_.problem, in_, level_);
    for (std::size_t i = 0; i < runners_.size() && !interrupted(); ++i) {
      Runner& r = runners_[i];
      conditions.threads = r.on_cuda() ? 1 : r.execution().threads;
      conditions.gpu.clear();
      if (r.on_cuda()) conditions.gpu = gpu_clocks_[r.execution().device];
      try {
        if (samples[i].failure) std::rethrow_exception(samples[i].failure);
        finish(r, samples[i], conditions, reference);
      } catch (const UsageError&) {
        throw;
      } catch (const std::exception& e) {  // of this case; a device may have survived it
        add_failure(*r.result, e);
      }
    }
  }

  /// On a GPU its own clock counts, between events.
  static measure::Subject subject_of(Runner& r) {
    measure::Subject subject;
    subject.launch = [&r] { r.prepared->launch(); };
    if (!r.on_cuda()) return subject;
    subject.timed = [&r](std::int64_t iterations) {
      return registry::device_seconds(r.execution().device, [&] {
        for (std::int64_t i = 0; i < iterations; ++i) r.prepared->launch();
      });
    };
    if (r.routed->request.cache == sweep::CacheState::kCold) {
      subject.before_sample = [&r] { r.prepared->flush_caches(); };
      subject.one_call_per_sample = true;
    }
    return subject;
  }

  /// One more reading for every GPU of the group, while it is still warm from its work.
  void read_gpu_clocks() {
    std::set<int> devices;
    for (const Runner& r : runners_)
      if (r.on_cuda()) devices.insert(r.execution().device);
    for (const int device : devices)
      gpu_clocks_[device].push_back(registry::read_gpu_clocks(device));
  }

  void finish(Runner& r, const measure::Samples& samples, const measure::Conditions& conditions,
              const oracle::Reference& reference) {
    report::Result& result = *r.result;
    result.timing = report::timing_of(samples);
    result.warnings = measure::warnings(samples, context_.limits, conditions);
    result.others_cpus = measure::others_cpus(conditions);
    result.workspace_bytes = r.prepared->workspace_bytes();
    result.flop_executed = r.prepared->flop_executed();
    report::derive_rates(result);
    if (const auto share = measure::median_share_of_peak(samples, r.ideal_s))
      result.pct_peak = 100 * *share;
    if (r.ideal_s.empty())
      result.warnings.push_back("no share of the peak: " + context_.peaks.missing(r.execution()));
    add_verdict(result, reference.verify(r.prepared->collect()),
                reproduce("check", r.routed->request));
    add_energy(r, samples.iterations_per_sample);
    if (context_.request.run.profile)
      add_phases(result, r.prepared->profile(), context_.request.run.profile_sort);
    finished_.push_back(&result);
  }

  /// Last, and with the memory of the timed runs given back: a trace changes no sample.
  void trace() {
    if (!context_.trace.wanted()) return;
    for (Runner& r : runners_) r.prepared.reset();
    for (const Runner& r : runners_) {
      if (interrupted() || r.result->status != report::Status::kOk) continue;
      describe("tracing");
      const std::string missing = context_.trace.add(*r.routed, in_);
      if (!missing.empty()) r.result->warnings.push_back(missing);
    }
  }

  /// A run of its own: between samples that take turns, the counters could not tell whose joules
  /// they count.
  void add_energy(Runner& r, std::int64_t iterations) {
    const bool cold = r.routed->request.cache == sweep::CacheState::kCold;
    if (r.on_cuda() && cold) return;  // the flushes between the calls would count too
    const measure::ReadEnergy read_j = [&]() -> std::optional<double> {
      return r.on_cuda() ? registry::gpu_energy_j(r.execution().device) : context_.energy.read_j();
    };
    if (!read_j()) return;  // the report's context says why
    describe("energy");
    report::Result& result = *r.result;
    if (r.on_cuda() && result.timing) iterations = calls_in(kQueued_s, result.timing->median);
    const auto launch = [&] {
      for (std::int64_t i = 0; i < iterations; ++i) r.prepared->launch();
      if (r.on_cuda()) registry::wait_for_previous(r.execution().device);
    };
    result.energy_j =
        measure::energy_per_call_j(read_j, launch, context_.limits.min_time_s, interrupted);
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
  std::vector<Runner> runners_;
  std::vector<const report::Result*> finished_;
  std::map<int, std::vector<GpuReading>> gpu_clocks_;  ///< by device, between the rounds
};

}  // namespace

std::vector<report::Result> bench_group(RoutedGroup& group, const BenchContext& context) {
  return Group(group, context).run();
}

}  // namespace flashbench::app
