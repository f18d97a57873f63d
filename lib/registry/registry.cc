#include "registry/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "core/machine.h"
#include "cpu/kernels.h"
#include "cpu/peak.h"
#include "cpu/tile_ops.h"
#include "cuda/absent.h"
#include "paper/paper_kernel.h"

namespace flashbench::registry {
namespace {

const Kernel& kernel_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Kernel* k : kernels()) {
    if (k->info().name == name) return *k;
    names.push_back(k->info().name);
  }
  throw UsageError(fmt::format("unknown kernel '{}'; use one of {}", name, fmt::join(names, ", ")));
}

Execution execution_of(const Request& r, Dtype dtype) {
  return {.isa = r.isa.value_or(best_isa(dtype)),
          .threads = r.threads > 0 ? r.threads : usable_threads(),
          .deterministic = r.deterministic,
          .q_block = r.q_block,
          .kv_block = r.kv_block};
}

}  // namespace

const std::vector<const Kernel*>& kernels() {
  static const std::vector<const Kernel*> all = [] {
    std::vector<const Kernel*> list = cpu::kernels();
    list.push_back(&paper::paper_kernel());
    return list;
  }();
  return all;
}

std::vector<BackendStatus> backends() {
  return {{Backend::kCpu, std::nullopt}, {Backend::kCuda, cuda::absent()}};
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
  if (r.backend == Backend::kCuda)
    return Rejection{fmt::format("--backend cuda is not available: {}", cuda::absent())};
  const Execution execution = execution_of(r, p.dtype);
  if (!r.kernel.empty()) {
    const Kernel& forced = kernel_named(r.kernel);
    if (forced.info().type != r.type)
      return Rejection{fmt::format("kernel {} computes type {}, not {}", r.kernel,
                                   name(forced.info().type), name(r.type))};
    if (auto rejection = forced.rejects(p, execution)) return *rejection;
    return Route{&forced, execution};
  }
  Rejection last{fmt::format("no kernel of type {} in this build", name(r.type))};
  for (const Kernel* k : kernels()) {
    if (k->info().type != r.type) continue;
    const auto rejection = k->rejects(p, execution);
    if (!rejection) return Route{k, execution};
    last = *rejection;
  }
  return last;
}

int usable_threads() { return machine::usable_cpus(); }

double measure_peak_flops(const Execution& e, Dtype dtype) {
  return cpu::measure_peak_flops(e, dtype);
}

double measure_peak_bandwidth(const Execution& e) { return cpu::measure_read_bandwidth(e); }

}  // namespace flashbench::registry
