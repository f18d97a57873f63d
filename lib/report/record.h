#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "core/verdict.h"
#include "measure/stopped_by.h"
#include "sweep/field.h"

/// The report, field by field as the JSON has it and under the same names. SI base units (seconds,
/// bytes, FLOP). An absent optional is null.
namespace flashbench::report {

inline constexpr int kSchemaVersion = 1;

struct Tool {
  std::string name = "flashbench";
  std::string version;
  std::optional<std::string> git_sha;  ///< absent when built outside a git checkout
  std::optional<bool> dirty;
};

struct CpuCache {
  int level = 0;
  std::string type;  ///< "data", "instruction", "unified"
  std::uint64_t bytes = 0;
  int shared_by = 1;  ///< hardware threads that share one
};

struct Cgroup {
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory_bytes;
};

struct Cpu {
  std::string model;
  int cores = 0;                 ///< physical
  int threads = 0;               ///< hardware threads that are online
  int usable_threads = 0;        ///< of these, what affinity and cgroup quota leave to this process
  std::vector<CpuCache> caches;  ///< of the first processor
  std::string isa;               ///< the best level that runs here
  std::optional<std::string> governor;
  std::optional<double> load;  ///< 1-minute load average when the run started
  Cgroup cgroup;
};

struct Omp {
  int version = 0;  ///< _OPENMP, yyyymm
  int max_threads = 1;
  std::string proc_bind;
  std::optional<std::string> places;
  std::optional<std::string> wait_policy;
  bool dynamic = false;
};

/// Where joules are read from, or why they are not.
struct Energy {
  std::optional<std::string> source, missing;
};

struct Gpu {
  std::string model;
  std::string compute_capability;  ///< "9.0"
  int multiprocessors = 0;
  std::uint64_t memory_bytes = 0;
  std::string driver, runtime;                ///< the CUDA versions of driver and toolkit, "13.0"
  std::optional<std::string> driver_version;  ///< "550.54.15"
  std::optional<std::string> pci_bus_id;
  std::optional<std::uint64_t> l2_bytes;
  // What NVML said when the run started, or why it said nothing.
  std::optional<double> sm_clock_hz, max_sm_clock_hz, memory_clock_hz, max_memory_clock_hz;
  std::vector<std::string> throttle_reasons;
  std::optional<double> power_w, power_limit_w, temperature_c;
  std::optional<std::uint64_t> ecc_errors;  ///< uncorrected, since the driver was loaded
  std::optional<std::string> nvml_missing;
  Energy energy;
};

struct Context {
  std::string host, os, compiler, flags;
  Cpu cpu;
  Omp omp;
  std::optional<Gpu> gpu;
  std::optional<std::uint64_t> memory_bytes;            ///< physical
  std::optional<std::uint64_t> memory_available_bytes;  ///< to this process when the run started
  Energy energy;
};

/// A rate measured in this run: either gflops of a dtype or read_gb_s.
struct Peak {
  std::string backend;
  std::string isa;  ///< the level; on a GPU the instruction, "wgmma"
  int threads = 1;
  std::optional<std::string> dtype;  ///< absent for a bandwidth
  std::optional<double> gflops;
  std::optional<double> read_gb_s;
  std::optional<std::string> device;  ///< absent on the CPU
  bool disturbed = false;  ///< others had a processor that a thread wanted, at every reading
};

enum class Status { kOk, kSkipped, kFailed, kInterrupted };
std::string_view name(Status s);  ///< "ok", "skipped", "failed", "interrupted"

using sweep::case_key;
using sweep::Workload;
using sweep::workload_key;

/// `p` with everything resolved.
Workload workload_of(const Problem& p);

/// Wall time per iteration. All or nothing: in the JSON these are fields of the result. Statistics
/// are of the samples that nothing disturbed, as far as enough of them remain.
struct Timing {
  std::vector<double> times;  ///< every raw sample
  /// For each sample, which share of it a thread lost to others; empty where nobody told.
  std::vector<double> lost = {};
  std::int64_t marked = 0;  ///< samples of which that was too much
  bool disturbed = false;  ///< of so many that statistics are of all, and nothing follows from them
  std::int64_t iterations_per_sample = 1;
  double min = 0, max = 0, median = 0, mean = 0, stddev = 0, mad = 0, p25 = 0, p75 = 0;
  std::array<double, 2> ci95{};  ///< of the median
  double user = 0, system = 0;   ///< processor time per iteration
};

/// The same case in fresh processes, one after the other: what a run adds to every time it takes.
struct Calibration {
  std::vector<double> medians;  ///< seconds, one of each process, in order
  double spread = 0;            ///< standard deviation of their logarithms (n - 1)
};

struct PhaseThread {
  double seconds = 0;
  std::uint64_t calls = 0;
  std::optional<double> flop = {}, bytes_moved = {};  ///< as of the phase
};

struct Phase {
  std::string phase;
  double seconds = 0;  ///< summed over threads
  std::uint64_t calls = 0;
  std::uint64_t bytes = 0;          ///< allocated for it
  std::optional<double> flop = {};  ///< of its matrix products; absent where it has none
  /// What its calls read and wrote, every operand of a call once, wherever it lies; absent where
  /// nobody counted.
  std::optional<double> bytes_moved = {};
  std::vector<PhaseThread> threads = {};  ///< one per thread
  /// What an emulated device executed in it, by name; empty where nothing counts.
  std::map<std::string, std::uint64_t> counts = {};
};

struct Worst {
  std::string tensor;
  std::optional<double> error_over_noise;  ///< absent where the output is NaN or infinitely far off
  double limit = 2;
  std::array<std::int64_t, 4> index{};  ///< [b, h, row, d]
  /// Root mean square of the error of all judged elements, each over its expected deviation; absent
  /// for an identity and where the output is NaN.
  std::optional<double> rms_over_noise = {};
  /// What is as far off as that: an "element", or the mean of a "row", a "channel", a "head", of
  /// which `index` is the worst element.
  std::string scope = "element";
  /// There: what the kernel gives, and the oracle, which says nothing of what only has to be
  /// finite. JSON has no NaN and no infinities: both are absent for them in what is read from
  /// there.
  std::optional<double> got = {}, expected = {};
  /// What the error looks like, where it is known: a sentence's end.
  std::optional<std::string> hint = {};
};

struct Check {
  std::string verdict = "not verified";  ///< "pass", "fail", "not verified"
  std::string level = "none";            ///< "none", "sample", "full"
  std::vector<Worst> worst;              ///< one per checked output
};
/// One output of several launches on the same inputs.
struct RepeatedTensor {
  std::string tensor;
  std::uint64_t different = 0;  ///< elements whose bits some launch had otherwise than the first
  /// The first of these, [b, h, row, d]; absent where there are none, as what follows.
  std::optional<std::array<std::int64_t, 4>> index = {};
  std::optional<int> launch = {};  ///< the first that has it otherwise; the first launch is 1
  std::optional<double> first = {},
                        then = {};  ///< in the first launch, and in that; absent for NaN
};

/// Whether launches of the same case give the same bits.
struct Repeats {
  int launches = 0;
  std::vector<RepeatedTensor> tensors;  ///< one per output
};

/// Who made the kernel of a plug-in or worker.
struct Guest {
  std::string description, build;     ///< as it says itself; "" where it does not
  std::string abi;                    ///< what it is called through
  std::optional<std::string> sha256;  ///< of a plug-in's file
  bool isolated = true;               ///< in a process of its own
  std::vector<std::string> rounds;    ///< beyond what every kernel must, as it says itself
};

Worst worst_of(const TensorVerdict& verdict);
Check check_of(const Verdict& verdict);

/// What the case is (its fields are those of the field table), and what came of it.
struct Result : sweep::CaseRecord {
  std::string command;              ///< a line that reproduces it
  std::optional<sweep::Part> part;  ///< of a model; absent where no config says
  Status status = Status::kOk;
  std::optional<std::string> reason;              ///< why it was skipped or failed
  std::optional<Rejection::Kind> refusal;         ///< of a skipped one: what kind of reason that is
  std::map<std::string, std::string> parameters;  ///< what the sweep varied, by flag

  std::optional<Timing> timing;
  std::optional<measure::StoppedBy> stopped_by;  ///< why no more samples were taken
  std::optional<Calibration> calibration;        ///< with --calibrate
  std::vector<std::string> warnings;
  std::optional<double> others_cpus;  ///< processors that others kept busy while it was sampled
  /// Whether the times of the sweep over a length that it belongs to rise with the work; absent
  /// where no length was swept. Where they do not, something else took the time.
  std::optional<bool> rises;

  std::string flop_convention;
  double flop_dense = 0, flop_visible = 0;
  std::optional<double> flop_executed;
  std::uint64_t bytes = 0;
  std::optional<double> tflops;      ///< flop_visible / median
  std::optional<double> gb_s;        ///< bytes / median
  std::optional<double> pct_peak;    ///< median over rounds, of `bound`
  std::optional<std::string> bound;  ///< "compute" or "memory"
  std::optional<double> intensity;   ///< flop_visible / bytes
  std::optional<double> balance;     ///< FLOP per byte at which the peaks of this run balance
  std::optional<std::string> why;    ///< one sentence on what limits it
  /// By type: what each must move to and from main memory by the papers' analysis
  /// (core/io_model.h).
  std::optional<std::map<std::string, double>> io_bytes;

  std::optional<std::uint64_t> workspace_bytes, peak_rss_bytes;
  std::optional<std::uint64_t> device_bytes;  ///< that it takes on a GPU: tensors and workspace
  std::optional<double> energy_j;             ///< of one call, all packages; on a GPU, its board
  std::optional<double> gflop_per_j;          ///< flop_visible / energy_j, in 1e9
  std::optional<std::map<std::string, double>> speedup_over;  ///< by type
  /// By type, what holds that ratio with 95 % or more.
  std::optional<std::map<std::string, std::array<double, 2>>> speedup_ci95;
  std::optional<std::vector<Phase>> phases;
  std::optional<Repeats> repeats;       ///< with --repeat
  std::optional<Guest> guest;           ///< of the types plugin and worker
  std::optional<double> phase_timer_s;  ///< what clocking one call of a phase took, in its seconds
  Check check;
};

/// Where one type overtakes another as a parameter grows.
struct Crossover {
  std::string pass, dtype, parameter;  ///< parameter: "q_len", say
  double at = 0;                       ///< interpolated value of the parameter
  std::string below, above;            ///< the faster type on either side
  std::string series;                  ///< series_text() of what was swept
  std::array<double, 2> between{};     ///< the lengths next to it at which one is surely faster
};

/// A type that is surely the faster one at every length of a sweep.
struct Lead {
  std::string series;          ///< series_text() of what was swept
  std::string faster, slower;  ///< types
  std::string parameter;
  double from = 0, to = 0;           ///< the shortest and the longest length
  std::array<double, 2> ratio{};     ///< of the slower time to the faster, least and largest
  std::array<double, 2> interval{};  ///< that holds them all
};

/// All layers of a model together: the times of its parts, each as often as there are layers.
struct ModelTime {
  std::string model, pass, type, dtype;
  std::optional<std::string> kv_dtype;  ///< absent: as dtype
  std::optional<std::string> ragged;    ///< lengths of sequences; absent: they have one
  std::int64_t b = 1, q_len = 1, kv_len = 1;
  std::string backend;  ///< where: one place for all parts
  std::optional<std::string> isa = {};
  std::optional<int> threads = {};
  std::optional<std::string> device = {};
  std::string cache = "warm";
  int number = 1;  ///< of sums that differ in something else that was swept
  std::int64_t layers = 0;
  double seconds = 0;
  std::array<double, 2> ci95 = {};      ///< of errors of the parts that are independent
  std::optional<double> pct_peak = {};  ///< of each part's own bound; absent where one has none
  bool conclusive = true;               ///< the results of all parts are
};

/// Where a type no longer fits into memory as a parameter grows.
struct MemoryLimit {
  std::string pass, dtype, type, parameter;
  std::optional<double> fits;  ///< the largest value that ran; absent: none did
  double exceeds = 0;          ///< the smallest that did not fit
  std::string reason;          ///< "needs 68.7 GB, 21.0 GB available"
  std::string series;          ///< series_text() of what was swept
  bool predicted = false;  ///< every length of the sweep fits; this one, the first, was not tried
};

struct Summary {
  std::optional<std::vector<Crossover>> crossover;  ///< absent: no length was swept
  std::vector<Lead> lead;
  std::vector<MemoryLimit> memory_limit;
  std::vector<ModelTime> models;
  std::optional<double> noise;  ///< the largest ci95 half-width over median among the results
  std::optional<double> between_run_spread;  ///< the largest spread among the calibrations
};

struct Report {
  int schema_version = kSchemaVersion;
  Tool tool;
  std::vector<std::string> argv;
  std::string started_at;  ///< ISO 8601, UTC
  Context context;
  std::vector<Peak> peaks;
  std::vector<Result> results;
  Summary summary;
};

/// A number without a passed check does not count.
bool numbers_hold(const Result& r);

/// Whether a ratio, a crossover or a share of the peak may be concluded from its numbers. Every
/// sentence about results asks this.
bool conclusive(const Result& r);

/// Why nothing is concluded from numbers that hold: "its times do not rise with the work"; empty
/// where conclusive().
std::string doubt(const Result& r);

/// `r` as it may be shown: every measured number is absent unless numbers_hold(). All renderers
/// (JSON, CSV, Markdown, table) go through this.
Result published(Result r);

}  // namespace flashbench::report
