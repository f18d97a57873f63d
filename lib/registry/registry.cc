#include "registry/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cpu/kernels.h"
#include "cpu/peak.h"
#include "cpu/tile_ops.h"
#include "cuda/device/absent.h"
#include "cuda/device/device.h"
#include "cuda/device/monitor.h"
#include "cuda/kernels.h"
#include "cuda/probe/peak_probe.h"
#include "paper/paper_kernel.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::registry {
namespace {

/// Why no GPU can be used; nullopt when one can.
std::optional<std::string> gpus_absent() {
  const std::string& why = cuda::gpus().absent;
  return why.empty() ? std::nullopt : std::optional(why);
}

const Kernel& kernel_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Kernel* k : kernels()) {
    if (k->info().name == name) return *k;
    names.push_back(k->info().name);
  }
  throw UsageError(fmt::format("unknown kernel '{}'; use one of {}", name, fmt::join(names, ", ")));
}

Execution execution_of(Backend backend, const Request& r, Dtype dtype) {
  return {.backend = backend,
          .isa = r.isa.value_or(best_isa(dtype)),
          .threads = r.threads > 0 ? r.threads : usable_threads(),
          .device = r.device.value_or(0),
          .deterministic = r.deterministic,
          .q_block = r.q_block,
          .kv_block = r.kv_block};
}

/// Why a request that names CUDA, by --backend or --device, cannot run there.
std::optional<Rejection> cuda_unavailable(const Request& r) {
  using Kind = Rejection::Kind;
  const std::string asked =
      r.device ? fmt::format("--device {}", device_text(*r.device)) : "--backend cuda";
  const std::optional<std::string> why =
      r.device == kEmulatedDevice ? cuda::absent() : gpus_absent();
  if (why) return Rejection{Kind::kAbsent, fmt::format("{} is not available: {}", asked, *why)};
  if (r.isa)
    return Rejection{Kind::kUnsupported,
                     fmt::format("--isa {} is of the processor; {} has none", name(*r.isa), asked)};
  if (r.threads > 0)
    return Rejection{
        Kind::kUnsupported,
        fmt::format("--threads {} is of the processor; {} has none", r.threads, asked)};
  return std::nullopt;
}

/// The backend of a request that names none: the GPU where there is one, unless something was asked
/// for that only the processor has.
Backend automatic_backend(const Request& r) {
  if (!r.kernel.empty()) return kernel_named(r.kernel).info().backend;
  const bool of_processor = r.isa || r.threads > 0 || r.type == AttentionType::kPaper;
  return of_processor || gpus_absent() ? Backend::kCpu : Backend::kCuda;
}

std::string no_kernel(AttentionType type, Backend backend) {
  if (backend == Backend::kCuda && type == AttentionType::kPaper)
    return "type paper is the papers' algorithm as written, for the processor; use --backend cpu";
  return fmt::format("no kernel of type {} in this build", name(type));
}

std::variant<Route, Rejection> route_forced(const Problem& p, const Request& r, Backend backend) {
  const Kernel& forced = kernel_named(r.kernel);
  if (forced.info().backend != backend)
    return Rejection{Rejection::Kind::kUnsupported,
                     fmt::format("kernel {} is of backend {}, not {}", r.kernel,
                                 name(forced.info().backend), name(backend))};
  if (forced.info().type != r.type)
    return Rejection{Rejection::Kind::kUnsupported,
                     fmt::format("kernel {} computes type {}, not {}", r.kernel,
                                 name(forced.info().type), name(r.type))};
  const Execution execution = execution_of(backend, r, p.dtype);
  if (auto rejection = forced.refuses(p, execution)) return *rejection;
  return Route{&forced, execution};
}

}  // namespace

const std::vector<const Kernel*>& kernels() {
  static const std::vector<const Kernel*> all = [] {
    std::vector<const Kernel*> list = cpu::kernels();
    list.insert(list.end(), cuda::kernels().begin(), cuda::kernels().end());
    list.push_back(&paper::paper_kernel());
    return list;
  }();
  return all;
}

std::vector<BackendStatus> backends() {
  return {{Backend::kCpu, std::nullopt}, {Backend::kCuda, gpus_absent()}};
}

std::vector<IsaStatus> isas() {
  std::vector<IsaStatus> all;
  for (const Isa isa : kIsas) {
    IsaStatus status = {isa, cpu::absent(isa), {}, {}};
    if (!status.absent) {
      const cpu::TileOps& ops = cpu::tile_ops(isa);
      status.tile = fmt::format("{} x {}", ops.rows, ops.cols);
      for (const Dtype dtype : kDtypes)
        if (best_isa(dtype) == isa) status.chosen_for.push_back(dtype);
    }
    all.push_back(std::move(status));
  }
  return all;
}

std::vector<Isa> available_isas() { return cpu::available_isas(); }

Isa best_isa(Dtype dtype) { return cpu::best_isa(dtype); }

std::variant<Route, Rejection> route(const Problem& p, const Request& r) {
  Backend backend = r.backend.value_or(automatic_backend(r));
  if (r.device) backend = Backend::kCuda;
  if (backend == Backend::kCuda)
    if (auto why = cuda_unavailable(r)) return *why;
  if (!r.kernel.empty()) return route_forced(p, r, backend);
  const Execution execution = execution_of(backend, r, p.dtype);
  Rejection last{Rejection::Kind::kUnsupported, no_kernel(r.type, backend)};
  for (const Kernel* k : kernels()) {
    if (k->info().type != r.type || k->info().backend != backend) continue;
    const auto rejection = k->refuses(p, execution);
    if (!rejection) return Route{k, execution};
    last = *rejection;
  }
  return last;
}

std::vector<GpuStatus> gpus() {
  std::vector<GpuStatus> all;
  for (const cuda::DeviceInfo& g : cuda::gpus().found) {
    const int index = static_cast<int>(all.size());
    const cuda::Monitor& monitor = cuda::monitor(index);
    all.push_back({index, g.name, g.driver, g.capability, g.multiprocessors, g.memory_bytes,
                   g.shared_bytes, g.l2_bytes, g.pci_bus_id, monitor.driver_version(),
                   monitor.energy_missing()});
  }
  return all;
}

GpuReading read_gpu(int device) { return cuda::monitor(device).read(); }

GpuReading read_gpu_clocks(int device) { return cuda::monitor(device).read_clocks(); }

std::optional<double> gpu_energy_j(int device) { return cuda::monitor(device).energy_j(); }

std::string cuda_toolkit() { return cuda::toolkit(); }

std::optional<std::string> emulated_device_absent() { return cuda::absent(); }

std::optional<std::uint64_t> device_free_bytes(const Execution& e) {
  if (e.backend != Backend::kCuda) return std::nullopt;
  return cuda::device(e.device).free_bytes();
}

double device_seconds(int device, const std::function<void()>& work) {
  cuda::Device& on = cuda::device(device);
  on.mark_first();
  work();
  on.mark();
  return on.intervals_s().at(0);
}

void wait_for_previous(int device) { cuda::device(device).wait_for_previous(); }

int usable_threads() { return machine::usable_cpus(); }

double measure_peak_flops(const Execution& e, Dtype dtype) {
  if (e.backend == Backend::kCuda) return cuda::peak_probe(e.device).flops(dtype);
  return cpu::measure_peak_flops(e, dtype);
}

double measure_peak_bandwidth(const Execution& e) {
  if (e.backend == Backend::kCuda) return cuda::peak_probe(e.device).read_bandwidth();
  return cpu::measure_read_bandwidth(e);
}

std::string peak_instruction(const Execution& e, std::optional<Dtype> dtype) {
  if (e.backend == Backend::kCpu) return std::string(name(e.isa));
  if (!dtype) return "ld.global";
  return std::string(
      cuda::PeakProbe::instruction(cuda::device(e.device).info().capability, *dtype));
}

int peak_threads(const Execution& e, std::optional<Dtype> dtype) {
  return e.backend == Backend::kCuda ? cuda::peak_probe(e.device).threads(dtype) : e.threads;
}

}  // namespace flashbench::registry
