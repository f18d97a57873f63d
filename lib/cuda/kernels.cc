#include "cuda/kernels.h"

#include <fmt/format.h>

#include <memory>

#include "core/visibility.h"
#include "cuda/device/absent.h"
#include "cuda/device/emulated_device.h"
#include "cuda/devices.h"
#include "cuda/need.h"
#include "cuda/plan.h"
#include "cuda/probe/peak_probe.h"
#include "cuda/route.h"
#include "kernel/by_sequence.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

/// What is taken beside the tensors: CUDA rounds allocations up and loads code; a measurement keeps
/// the buffers that flush the L2 cache and that bandwidth is read from.
std::size_t reserve_bytes(const DeviceInfo& on) {
  constexpr std::size_t kOfCuda = std::size_t{64} << 20;
  return kOfCuda + (on.emulated ? 0 : flush_bytes(on) + probe_bytes(on));
}

/// One family of kernels on the device that an execution names.
class CudaKernel final : public Kernel {
 public:
  explicit CudaKernel(const KernelFamily& family)
      : family_(family),
        info_{std::string(family.name), family.type, std::string(family.description)} {}

  const KernelInfo& info() const override { return info_; }

  Supports supports() const override { return family_.supports; }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    return need(p, device(e.device)).workspace;
  }

  std::size_t host_bytes(const Problem& p, const Execution& e) const override {
    if (e.device != kEmulatedDevice) return 0;
    return ptx::Device::kHostBytesPerByte * need(p, device(e.device)).total();
  }

  std::size_t device_bytes(const Problem& p, const Execution& e) const override {
    return need(p, device(e.device)).total();
  }

  double predicted_flop(const Problem& p, const Execution&) const override {
    const auto flop = [this](const Problem& one) {
      return flop_executed(family_, one, visibilities({}, one));
    };
    return by_sequence(p) ? sum_over_sequences(p, flop) : flop(p);
  }

  bool yields(const Problem& p, const Execution& e) const override {
    return cuda::yields(family_, query_of(device(e.device), p, e));
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    Device& on = device(e.device);
    on.begin_orders(e.order_seed);
    const auto plan = [this, &on](const Problem& one, const Inputs& in_of_one) {
      return make_plan(on, family_, one, in_of_one);
    };
    if (by_sequence(p)) return plan_by_sequence(p, in, SharedPlans::kNo, plan);
    return plan(p, in);
  }

 private:
  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override {
    try {
      return rejects_on(device(e.device), p, e);
    } catch (const std::runtime_error& error) {  // the device cannot be opened
      return Rejection{Rejection::Kind::kAbsent, error.what()};
    }
  }

  /// The products of normal attention know no lists.
  bool by_sequence(const Problem& p) const {
    return p.shape.sequences != nullptr && materialises(family_);
  }

  bool all_grids_fit(const Problem& p) const {
    if (!by_sequence(p)) return grid_fits(family_, p);
    for (std::int64_t b = 0; b < p.shape.b; ++b)
      if (p.shape.q_len_of(b) > 0 && p.shape.kv_len_of(b) > 0 &&
          !grid_fits(family_, sequence(p, b)))
        return false;
    return true;
  }

  DeviceNeed need(const Problem& p, const Device& on) const {
    if (!by_sequence(p)) return device_need(family_, p, on.product_scratch_bytes(), on.info());
    DeviceNeed all;
    all.tensors = sum_over_plans(p, SharedPlans::kNo,
                                 [&](const Problem& one) { return need(one, on).tensors; });
    all.workspace = sum_over_plans(p, SharedPlans::kNo,
                                   [&](const Problem& one) { return need(one, on).workspace; });
    return all;
  }

  static RouteQuery query_of(const Device& on, const Problem& p, const Execution& e) {
    const Shape& s = p.shape;
    return {demand_of(p),
            p.pass,
            on.info().capability,
            on.info().shared_bytes,
            e.deterministic,
            {s.b * s.h_kv, s.group(), s.q_len, s.kv_len},
            on.info().multiprocessors};
  }

  std::optional<Rejection> rejects_on(Device& on, const Problem& p, const Execution& e) const {
    using Kind = Rejection::Kind;
    if (auto rejection = cuda::rejection(family_, query_of(on, p, e))) return rejection;
    if (family_.type == AttentionType::kNormal)
      if (const auto why = on.products_absent())
        return Rejection{Kind::kAbsent, fmt::format("{} needs cuBLAS: {}", family_.name, *why)};
    if (!all_grids_fit(p))
      return Rejection{Kind::kUnsupported,
                       fmt::format("{}: more blocks than a CUDA grid holds", family_.name)};
    const std::size_t needed = need(p, on).total() + reserve_bytes(on.info());
    if (const std::size_t free = on.free_bytes(); needed > free)
      return Rejection{Kind::kMemory,
                       fmt::format("needs {:.1f} GB on device {}, {:.1f} GB available",
                                   1e-9 * static_cast<double>(needed), on.info().name,
                                   1e-9 * static_cast<double>(free))};
    return std::nullopt;
  }

  const KernelFamily& family_;
  KernelInfo info_;
};

std::vector<const Kernel*> make_kernels() {
  static std::vector<std::unique_ptr<CudaKernel>> owned;
  std::vector<const Kernel*> all;
  if (absent()) return all;
  for (const KernelFamily* family : families()) {
    owned.push_back(std::make_unique<CudaKernel>(*family));
    all.push_back(owned.back().get());
  }
  return all;
}

}  // namespace

const std::vector<const Kernel*>& kernels() {
  static const std::vector<const Kernel*> all = make_kernels();
  return all;
}

}  // namespace flashbench::cuda
