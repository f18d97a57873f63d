#pragma once

#include <concepts>
#include <type_traits>

#include "report/record.h"

/// The fields of the report, each named once: JSON is written and read by visiting the same lists,
/// in the order in which the fields appear. `visit("name", value)` is called for each; records are
/// const when they are written and mutable when they are read. `visit.added` is for fields that
/// reports of the same schema_version may lack, because an earlier program or a peer wrote them.
namespace flashbench::report {

template <typename R, typename T>
concept RecordOf = std::same_as<std::remove_const_t<R>, T>;

template <RecordOf<Tool> R, typename V>
void fields(R& r, V&& visit) {
  visit("name", r.name);
  visit("version", r.version);
  visit("git_sha", r.git_sha);
  visit("dirty", r.dirty);
}

template <RecordOf<CpuCache> R, typename V>
void fields(R& r, V&& visit) {
  visit("level", r.level);
  visit("type", r.type);
  visit("bytes", r.bytes);
  visit("shared_by", r.shared_by);
}

template <RecordOf<Cgroup> R, typename V>
void fields(R& r, V&& visit) {
  visit("cpus", r.cpus);
  visit("memory_bytes", r.memory_bytes);
}

template <RecordOf<Cpu> R, typename V>
void fields(R& r, V&& visit) {
  visit("model", r.model);
  visit("cores", r.cores);
  visit("threads", r.threads);
  visit("usable_threads", r.usable_threads);
  visit("caches", r.caches);
  visit("isa", r.isa);
  visit("governor", r.governor);
  visit("load", r.load);
  visit("cgroup", r.cgroup);
}

template <RecordOf<Omp> R, typename V>
void fields(R& r, V&& visit) {
  visit("version", r.version);
  visit("max_threads", r.max_threads);
  visit("proc_bind", r.proc_bind);
  visit("places", r.places);
  visit("wait_policy", r.wait_policy);
  visit("dynamic", r.dynamic);
}

template <RecordOf<Energy> R, typename V>
void fields(R& r, V&& visit) {
  visit("source", r.source);
  visit("missing", r.missing);
}

template <RecordOf<Gpu> R, typename V>
void fields(R& r, V&& visit) {
  visit("model", r.model);
  visit("compute_capability", r.compute_capability);
  visit("multiprocessors", r.multiprocessors);
  visit("memory_bytes", r.memory_bytes);
  visit("driver", r.driver);
  visit("runtime", r.runtime);
  visit.added("driver_version", r.driver_version);
  visit.added("pci_bus_id", r.pci_bus_id);
  visit.added("l2_bytes", r.l2_bytes);
  visit.added("sm_clock_hz", r.sm_clock_hz);
  visit.added("max_sm_clock_hz", r.max_sm_clock_hz);
  visit.added("memory_clock_hz", r.memory_clock_hz);
  visit.added("max_memory_clock_hz", r.max_memory_clock_hz);
  visit.added("throttle_reasons", r.throttle_reasons);
  visit.added("power_w", r.power_w);
  visit.added("power_limit_w", r.power_limit_w);
  visit.added("temperature_c", r.temperature_c);
  visit.added("ecc_errors", r.ecc_errors);
  visit.added("nvml_missing", r.nvml_missing);
  visit.added("energy", r.energy);
}

template <RecordOf<Context> R, typename V>
void fields(R& r, V&& visit) {
  visit("host", r.host);
  visit("os", r.os);
  visit("compiler", r.compiler);
  visit("flags", r.flags);
  visit("cpu", r.cpu);
  visit("omp", r.omp);
  visit("gpu", r.gpu);
  visit("memory_bytes", r.memory_bytes);
  visit("memory_available_bytes", r.memory_available_bytes);
  visit.added("energy", r.energy);
}

template <RecordOf<Peak> R, typename V>
void fields(R& r, V&& visit) {
  visit("backend", r.backend);
  visit("isa", r.isa);
  visit("threads", r.threads);
  visit("dtype", r.dtype);
  visit("gflops", r.gflops);
  visit("read_gb_s", r.read_gb_s);
  visit.added("device", r.device);
  visit.added("disturbed", r.disturbed);
}

template <RecordOf<Timing> R, typename V>
void fields(R& r, V&& visit) {
  visit("times", r.times);
  visit.added("lost", r.lost);
  visit.added("marked", r.marked);
  visit.added("disturbed", r.disturbed);
  visit("iterations_per_sample", r.iterations_per_sample);
  visit("min", r.min);
  visit("max", r.max);
  visit("median", r.median);
  visit("mean", r.mean);
  visit("stddev", r.stddev);
  visit("mad", r.mad);
  visit("p25", r.p25);
  visit("p75", r.p75);
  visit("ci95", r.ci95);
  visit("user", r.user);
  visit("system", r.system);
}

template <RecordOf<Calibration> R, typename V>
void fields(R& r, V&& visit) {
  visit("medians", r.medians);
  visit("spread", r.spread);
}

template <RecordOf<PhaseThread> R, typename V>
void fields(R& r, V&& visit) {
  visit("seconds", r.seconds);
  visit("calls", r.calls);
  visit.added("flop", r.flop);
  visit.added("bytes_moved", r.bytes_moved);
}

template <RecordOf<Phase> R, typename V>
void fields(R& r, V&& visit) {
  visit("phase", r.phase);
  visit("seconds", r.seconds);
  visit("calls", r.calls);
  visit("bytes", r.bytes);
  visit.added("flop", r.flop);
  visit.added("bytes_moved", r.bytes_moved);
  visit.added("threads", r.threads);
  visit.added("counts", r.counts);
}

template <RecordOf<Worst> R, typename V>
void fields(R& r, V&& visit) {
  visit("tensor", r.tensor);
  visit("error_over_noise", r.error_over_noise);
  visit("limit", r.limit);
  visit("index", r.index);
  visit.added("scope", r.scope);
  visit.added("rms_over_noise", r.rms_over_noise);
  visit.added("got", r.got);
  visit.added("expected", r.expected);
  visit.added("hint", r.hint);
}

template <RecordOf<Check> R, typename V>
void fields(R& r, V&& visit) {
  visit("verdict", r.verdict);
  visit("level", r.level);
  visit("worst", r.worst);
}

template <RecordOf<RepeatedTensor> R, typename V>
void fields(R& r, V&& visit) {
  visit("tensor", r.tensor);
  visit("different", r.different);
  visit("index", r.index);
  visit("launch", r.launch);
  visit("first", r.first);
  visit("then", r.then);
}

template <RecordOf<Guest> R, typename V>
void fields(R& r, V&& visit) {
  visit("description", r.description);
  visit("build", r.build);
  visit("abi", r.abi);
  visit("sha256", r.sha256);
  visit("isolated", r.isolated);
  visit.added("rounds", r.rounds);
}

template <RecordOf<Repeats> R, typename V>
void fields(R& r, V&& visit) {
  visit("launches", r.launches);
  visit("tensors", r.tensors);
}

template <RecordOf<Crossover> R, typename V>
void fields(R& r, V&& visit) {
  visit("pass", r.pass);
  visit("dtype", r.dtype);
  visit("parameter", r.parameter);
  visit("at", r.at);
  visit("below", r.below);
  visit("above", r.above);
  visit.added("series", r.series);
  visit.added("between", r.between);
}

template <RecordOf<Lead> R, typename V>
void fields(R& r, V&& visit) {
  visit("series", r.series);
  visit("faster", r.faster);
  visit("slower", r.slower);
  visit("parameter", r.parameter);
  visit("from", r.from);
  visit("to", r.to);
  visit("ratio", r.ratio);
  visit.added("interval", r.interval);
}

template <RecordOf<MemoryLimit> R, typename V>
void fields(R& r, V&& visit) {
  visit("pass", r.pass);
  visit("dtype", r.dtype);
  visit("type", r.type);
  visit("parameter", r.parameter);
  visit("fits", r.fits);
  visit("exceeds", r.exceeds);
  visit("reason", r.reason);
  visit.added("series", r.series);
  visit.added("predicted", r.predicted);
}

template <RecordOf<ModelTime> R, typename V>
void fields(R& r, V&& visit) {
  visit("model", r.model);
  visit("pass", r.pass);
  visit("type", r.type);
  visit("dtype", r.dtype);
  visit.added("kv_dtype", r.kv_dtype);
  visit.added("ragged", r.ragged);
  visit("b", r.b);
  visit("q_len", r.q_len);
  visit("kv_len", r.kv_len);
  visit("backend", r.backend);
  visit("isa", r.isa);
  visit("threads", r.threads);
  visit("device", r.device);
  visit("cache", r.cache);
  visit("number", r.number);
  visit("layers", r.layers);
  visit("seconds", r.seconds);
  visit("ci95", r.ci95);
  visit("pct_peak", r.pct_peak);
  visit("conclusive", r.conclusive);
}

template <RecordOf<sweep::Part> R, typename V>
void fields(R& r, V&& visit) {
  visit("model", r.model);
  visit("name", r.name);
  visit("layers", r.layers);
}

template <RecordOf<Summary> R, typename V>
void fields(R& r, V&& visit) {
  visit("crossover", r.crossover);
  visit.added("lead", r.lead);
  visit.added("memory_limit", r.memory_limit);
  visit.added("models", r.models);
  visit("noise", r.noise);
  visit("between_run_spread", r.between_run_spread);
}

/// Timing is all or nothing, and its fields are those of the result: visitors flatten it. What the
/// case is stands in the field table (sweep/field.h), which `recorded` and the visitors' treatment
/// of Workload follow.
template <RecordOf<Result> R, typename V>
void fields(R& r, V&& visit) {
  visit("command", r.command);
  visit.added("part", r.part);
  visit("status", r.status);
  visit("reason", r.reason);
  visit.added("refusal", r.refusal);
  visit("parameters", r.parameters);
  visit("workload", r.workload);
  visit.recorded(r);
  visit.flattened(r.timing);
  visit.added("stopped_by", r.stopped_by);
  visit("calibration", r.calibration);
  visit("warnings", r.warnings);
  visit.added("others_cpus", r.others_cpus);
  visit.added("rises", r.rises);
  visit("flop_convention", r.flop_convention);
  visit("flop_dense", r.flop_dense);
  visit("flop_visible", r.flop_visible);
  visit("flop_executed", r.flop_executed);
  visit("bytes", r.bytes);
  visit("tflops", r.tflops);
  visit("gb_s", r.gb_s);
  visit("pct_peak", r.pct_peak);
  visit("bound", r.bound);
  visit.added("intensity", r.intensity);
  visit.added("balance", r.balance);
  visit.added("why", r.why);
  visit.added("io_bytes", r.io_bytes);
  visit("workspace_bytes", r.workspace_bytes);
  visit("peak_rss_bytes", r.peak_rss_bytes);
  visit.added("device_bytes", r.device_bytes);
  visit("energy_j", r.energy_j);
  visit.added("gflop_per_j", r.gflop_per_j);
  visit("speedup_over", r.speedup_over);
  visit.added("speedup_ci95", r.speedup_ci95);
  visit("phases", r.phases);
  visit.added("phase_timer_s", r.phase_timer_s);
  visit.added("repeats", r.repeats);
  visit.added("guest", r.guest);
  visit("check", r.check);
}

template <RecordOf<Report> R, typename V>
void fields(R& r, V&& visit) {
  visit("schema_version", r.schema_version);
  visit("tool", r.tool);
  visit("argv", r.argv);
  visit("started_at", r.started_at);
  visit("context", r.context);
  visit("peaks", r.peaks);
  visit("results", r.results);
  visit("summary", r.summary);
}

/// Whether fields() describes a type.
struct AnyVisitor {
  template <typename T>
  void operator()(const char*, T&&) {}
  template <typename T>
  void added(const char*, T&&) {}
  template <typename T>
  void flattened(T&&) {}
  template <typename T>
  void recorded(T&&) {}
};
template <typename T>
concept HasFields = requires(T& t, AnyVisitor v) {
  fields(t, v);
};

}  // namespace flashbench::report
