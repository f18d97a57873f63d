#include "cpu/kernels.h"

#include <utility>

#include "cpu/flash_backward.h"
#include "cpu/flash_decode.h"
#include "cpu/flash_forward.h"
#include "cpu/normal.h"

namespace flashbench::cpu {
namespace {

/// A forward and, where the problem wants gradients, a backward driver.
struct Drivers {
  std::unique_ptr<RowMaxima> maxima;  ///< from the one to the other; null where they share none
  std::unique_ptr<AttentionPass> forward, backward;

  template <typename F>
  void each(F&& f) const {
    f(*forward);
    if (backward) f(*backward);
  }
};

using MakeDrivers = Drivers (*)(const Problem&, const Execution&);

Drivers make_flash(const Problem& p, const Execution& e) {
  Drivers drivers;
  // A backward's products are those of FlashForward to the last bit; FlashDecode sums differently.
  if (p.needs_gradients()) {
    drivers.maxima = std::make_unique<RowMaxima>();
    drivers.forward = std::make_unique<FlashForward>(p, e, drivers.maxima.get());
    drivers.backward = std::make_unique<FlashBackward>(p, e, *drivers.maxima);
  } else if (FlashDecode::suits(p.shape)) {
    drivers.forward = std::make_unique<FlashDecode>(p, e);
  } else {
    drivers.forward = std::make_unique<FlashForward>(p, e);
  }
  return drivers;
}

Drivers make_normal(const Problem& p, const Execution& e) {
  // The backward reads P in f32.
  const TileOps& operations = p.needs_gradients() ? tile_ops(e.isa) : tile_ops(e.isa, p.dtype);
  auto forward = std::make_unique<NormalForward>(p, e, operations);
  auto backward = p.needs_gradients() ? std::make_unique<NormalBackward>(p, e, *forward) : nullptr;
  return {nullptr, std::move(forward), std::move(backward)};
}

/// Bytes of the drivers, of what they share, and of the tables of kept keys.
std::size_t workspace_of(const Drivers& drivers, const Problem& p) {
  std::size_t bytes = static_cast<std::size_t>(p.shape.b) *
                      KeptKeys::bytes(p.padding != PaddingMask::kNone, p.shape.kv_len);
  if (drivers.maxima) bytes += RowMaxima::bytes(p.shape);
  drivers.each([&](const AttentionPass& d) { bytes += d.workspace_bytes(); });
  return bytes;
}

class CpuPlan final : public Plan {
 public:
  CpuPlan(const Problem& p, const Execution& e, const Inputs& in, Drivers drivers)
      : problem_(p),
        threads_(e.threads),
        sees_(visibilities(in.key_mask, p)),
        drivers_(std::move(drivers)) {
    if (drivers_.maxima) drivers_.maxima->allocate(p.shape);
    drivers_.each([](AttentionPass& d) { d.allocate(); });
  }

  void prepare(const Operands& io) override {
    if (problem_.pass == Pass::kBackward) drivers_.forward->run(io, sees_, nullptr);
  }

  void launch(const Operands& io) override {
    for (AttentionPass* d : timed()) d->run(io, sees_, nullptr);
  }

  std::size_t workspace_bytes() const override { return workspace_of(drivers_, problem_); }

  double flop_executed() const override {
    double flop = 0;
    for (const AttentionPass* d : timed()) flop += d->flop_executed(sees_);
    return flop;
  }

  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    std::vector<PhaseProfile::Row> rows;
    for (const PhaseProfile& pass : trace(io, 0))
      for (PhaseProfile::Row& row : pass.rows()) rows.push_back(std::move(row));
    return rows;
  }

  std::vector<PhaseProfile> trace(const Operands& io, std::size_t events) override {
    std::vector<PhaseProfile> passes;
    for (AttentionPass* d : timed()) {
      PhaseProfile& profile = passes.emplace_back(d->phases(), threads_, events);
      const std::vector<std::size_t> bytes = d->phase_bytes();
      for (std::size_t i = 0; i < bytes.size(); ++i) profile.add_bytes(i, bytes[i]);
      d->run(io, sees_, &profile);
    }
    return passes;
  }

 private:
  std::vector<AttentionPass*> timed() const {
    std::vector<AttentionPass*> drivers;
    if (problem_.pass != Pass::kBackward) drivers.push_back(drivers_.forward.get());
    if (problem_.pass != Pass::kForward) drivers.push_back(drivers_.backward.get());
    return drivers;
  }

  Problem problem_;
  int threads_;
  std::vector<Visibility> sees_;
  Drivers drivers_;
};

class CpuKernel final : public Kernel {
 public:
  CpuKernel(KernelInfo info, MakeDrivers make) : info_(std::move(info)), make_(make) {}

  const KernelInfo& info() const override { return info_; }

  Supports supports() const override {
    return {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask, Feature::kWindow,
                         Feature::kSoftcap, Feature::kAlibi, Feature::kSinks, Feature::kBias,
                         Feature::kBiasGradient, Feature::kValueDim, Feature::kKvDtype},
            .dtypes = dtypes_of(CpuElements{}),
            .max_d = kMaxHeadDim};
  }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    return workspace_of(make_(p, e), p);
  }

  double predicted_flop(const Problem& p, const Execution& e) const override {
    const auto sees = visibilities({}, p);
    const Drivers drivers = make_(p, e);
    double flop = 0;
    if (p.pass != Pass::kBackward) flop += drivers.forward->flop_executed(sees);
    if (p.pass != Pass::kForward) flop += drivers.backward->flop_executed(sees);
    return flop;
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    return std::make_unique<CpuPlan>(p, e, in, make_(p, e));
  }

 private:
  std::optional<Rejection> rejects(const Problem&, const Execution& e) const override {
    if (const auto why = absent(e.isa)) return Rejection{Rejection::Kind::kAbsent, *why};
    return std::nullopt;
  }

  KernelInfo info_;
  MakeDrivers make_;
};

}  // namespace

const std::vector<const Kernel*>& kernels() {
  static const CpuKernel flash(
      {"cpu_flash", AttentionType::kFlash,
       "tiled, online softmax (FlashAttention-2, Algorithms 1 and 2); Highway SIMD, OpenMP"},
      make_flash);
  static const CpuKernel normal(
      {"cpu_normal", AttentionType::kNormal,
       "materialises S for all heads; the same tile products as cpu_flash"},
      make_normal);
  static const std::vector<const Kernel*> all = {&flash, &normal};
  return all;
}

}  // namespace flashbench::cpu
