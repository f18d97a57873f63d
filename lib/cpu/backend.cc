#include "cpu/backend.h"

#include <fmt/format.h>

#include "cpu/kernels.h"
#include "cpu/peak.h"
#include "cpu/tile_ops.h"
#include "system/team.h"

namespace flashbench::cpu {

CpuBackend::CpuBackend(const std::vector<const Kernel*>& more) : kernels_(cpu::kernels()) {
  kernels_.insert(kernels_.end(), more.begin(), more.end());
}

const BackendInfo& CpuBackend::info() const {
  static const BackendInfo info{
      .id = kProcessor, .title = "CPU", .takes_isa = true, .takes_threads = true};
  return info;
}

std::vector<IsaStatus> CpuBackend::isas() {
  std::vector<IsaStatus> all;
  for (const Isa isa : kIsas) {
    IsaStatus status = {isa, cpu::absent(isa), {}, {}};
    if (!status.absent) {
      const TileOps& ops = tile_ops(isa);
      status.tile = fmt::format("{} x {}", ops.rows, ops.cols);
      for (const Dtype dtype : kDtypes)
        if (best_isa(dtype) == isa) status.chosen_for.push_back(dtype);
    }
    all.push_back(std::move(status));
  }
  return all;
}

Execution CpuBackend::execution(const ExecutionRequest& asked, Dtype dtype) {
  return {.isa = asked.isa.value_or(best_isa(dtype)),
          .threads = team::granted(asked.threads > 0 ? asked.threads : team::default_threads()),
          .deterministic = asked.deterministic,
          .q_block = asked.q_block,
          .kv_block = asked.kv_block};
}

Place CpuBackend::place(const Execution& e) {
  return {.isa = std::string(name(e.isa)), .threads = e.threads, .device = {}};
}

ExecutionTraits CpuBackend::traits(const Execution& e) { return {.host_threads = e.threads}; }

std::vector<Execution> CpuBackend::with_own_peaks(const ExecutionRequest& asked) {
  std::vector<Execution> all;
  for (const Isa isa : available_isas()) {
    if (asked.isa && isa != *asked.isa) continue;
    ExecutionRequest one = asked;
    one.isa = isa;
    all.push_back(execution(one, Dtype::kF32));
  }
  return all;
}

bool CpuBackend::same_peaks(const Execution& a, const Execution& b) {
  return a.isa == b.isa && a.threads == b.threads;
}

double CpuBackend::peak_flop_s(const Execution& e, Dtype dtype) {
  return measure_peak_flops(e, dtype);
}

double CpuBackend::peak_bytes_s(const Execution& e) { return measure_read_bandwidth(e); }

PeakSubject CpuBackend::peak_subject(const Execution& e, std::optional<Dtype>) {
  return {std::string(name(e.isa)), e.threads};
}

std::optional<double> CpuBackend::energy_j(const Execution&) { return energy_.read_j(); }

}  // namespace flashbench::cpu
