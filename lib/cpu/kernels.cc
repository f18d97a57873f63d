#include "cpu/kernels.h"

#include <utility>

#include "cpu/flash_backward.h"
#include "cpu/flash_decode.h"
#include "cpu/flash_forward.h"
#include "cpu/flash_parts.h"
#include "cpu/normal.h"
#include "kernel/by_chunk.h"
#include "kernel/by_sequence.h"

namespace flashbench::cpu {
namespace {

/// The drivers of a forward, each for some of the batch elements, and, where the problem wants
/// gradients, one of a backward.
struct Drivers {
  std::unique_ptr<RowMaxima> maxima;  ///< from the one to the other; null where they share none
  std::vector<std::unique_ptr<AttentionPass>> forward;
  std::unique_ptr<AttentionPass> backward;

  template <typename F>
  void each(F&& f) const {
    for (const auto& one : forward) f(*one);
    if (backward) f(*backward);
  }
  /// Those of a pass, in order.
  std::vector<AttentionPass*> of(Pass pass) const {
    std::vector<AttentionPass*> drivers;
    if (pass != Pass::kBackward)
      for (const auto& one : forward) drivers.push_back(one.get());
    if (pass != Pass::kForward) drivers.push_back(backward.get());
    return drivers;
  }
};

using MakeDrivers = Drivers (*)(const Problem&, const Execution&);

Drivers make_flash(const Problem& p, const Execution& e) {
  Drivers drivers;
  // A backward's products are those of FlashForward to the last bit; FlashDecode sums differently.
  if (p.needs_gradients()) {
    drivers.maxima = std::make_unique<RowMaxima>();
    drivers.forward.push_back(std::make_unique<FlashForward>(p, e, drivers.maxima.get()));
    drivers.backward = std::make_unique<FlashBackward>(p, e, *drivers.maxima);
    return drivers;
  }
  const TileOps& operations = tile_ops(e.isa, p.dtype);
  std::vector<std::int64_t> of_many_queries, of_few;
  for (const std::int64_t b : elements_with_queries(p.shape))
    (FlashDecode::suits(p.shape, b, operations) ? of_few : of_many_queries).push_back(b);
  if (!of_many_queries.empty())
    drivers.forward.push_back(
        std::make_unique<FlashForward>(p, e, operations, nullptr, std::move(of_many_queries)));
  if (!of_few.empty())
    drivers.forward.push_back(std::make_unique<FlashDecode>(p, e, std::move(of_few)));
  return drivers;
}

Drivers make_normal(const Problem& p, const Execution& e) {
  // The backward reads P in f32.
  const TileOps& operations = p.needs_gradients() ? tile_ops(e.isa) : tile_ops(e.isa, p.dtype);
  auto forward = std::make_unique<NormalForward>(p, e, operations);
  Drivers drivers;
  if (p.needs_gradients()) drivers.backward = std::make_unique<NormalBackward>(p, e, *forward);
  drivers.forward.push_back(std::move(forward));
  return drivers;
}

/// Bytes of the drivers, of what they share, and of the tables of kept keys.
std::size_t workspace_of(const Drivers& drivers, const Problem& p) {
  std::size_t bytes = static_cast<std::size_t>(p.shape.b) *
                      KeptKeys::bytes(p.padding != PaddingMask::kNone, p.shape.kv_len);
  if (p.paged()) bytes += static_cast<std::size_t>(p.shape.keys()) * sizeof(std::int32_t);
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
    if (problem_.pass != Pass::kBackward) return;
    look_up_pages(*io.in, problem_, sees_);
    for (AttentionPass* d : drivers_.of(Pass::kForward)) d->run(io, sees_, nullptr);
  }

  void launch(const Operands& io) override {
    look_up_pages(*io.in, problem_, sees_);
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
    look_up_pages(*io.in, problem_, sees_);
    for (AttentionPass* d : timed()) {
      PhaseProfile& profile = passes.emplace_back(d->phases(), threads_, events);
      const std::vector<std::size_t> bytes = d->phase_bytes();
      for (std::size_t i = 0; i < bytes.size(); ++i) profile.add_bytes(i, bytes[i]);
      d->run(io, sees_, &profile);
    }
    return passes;
  }

 private:
  std::vector<AttentionPass*> timed() const { return drivers_.of(problem_.pass); }

  Problem problem_;
  int threads_;
  std::vector<Visibility> sees_;
  Drivers drivers_;
};

class CpuKernel final : public Kernel {
 public:
  /// How it computes a ragged batch: as one list of work, or one sequence after the other.
  enum class RaggedBatch { kAtOnce, kBySequence };

  /// `parts`: what computes parts of problems likewise; null: nothing.
  CpuKernel(KernelInfo info, MakeDrivers make, RaggedBatch ragged, const PartialKernel* parts)
      : info_(std::move(info)), make_(make), ragged_(ragged), parts_(parts) {}

  const KernelInfo& info() const override { return info_; }

  Supports supports() const override {
    Supports all = {
        .features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask, Feature::kWindow,
                     Feature::kSoftcap, Feature::kAlibi, Feature::kSinks, Feature::kBias,
                     Feature::kBiasGradient, Feature::kPages, Feature::kRagged, Feature::kValueDim,
                     Feature::kKvDtype, Feature::kValuesInKeys},
        .dtypes = dtypes_of(CpuElements{}),
        .max_d = kMaxHeadDim};
    if (parts_ != nullptr) all.features.add(Feature::kKvChunk);
    return all;
  }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    if (p.kv_chunk > 0) return chunk_workspace_bytes(*parts_, p, e);
    const auto bytes = [&](const Problem& one) { return workspace_of(make_(one, e), one); };
    if (!by_sequence(p)) return bytes(p);
    return sum_over_plans(p, SharedPlans::kYes, bytes);
  }

  double predicted_flop(const Problem& p, const Execution& e) const override {
    if (p.kv_chunk > 0) return chunk_flop(*parts_, p, e);
    const auto flop = [&](const Problem& one) {
      const auto sees = visibilities({}, one);
      const Drivers drivers = make_(one, e);
      double sum = 0;
      for (const AttentionPass* d : drivers.of(one.pass)) sum += d->flop_executed(sees);
      return sum;
    };
    return by_sequence(p) ? sum_over_sequences(p, flop) : flop(p);
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    if (p.kv_chunk > 0) return plan_by_chunk(*parts_, p, e, in);
    const auto plan = [this, e](const Problem& one, const Inputs& in_of_one) {
      return std::make_unique<CpuPlan>(one, e, in_of_one, make_(one, e));
    };
    if (by_sequence(p)) return plan_by_sequence(p, in, SharedPlans::kYes, plan);
    return plan(p, in);
  }

  const PartialKernel* parts() const override { return parts_; }

 private:
  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override {
    if (const auto why = absent(e.isa)) return Rejection{Rejection::Kind::kAbsent, *why};
    if (p.kv_chunk > 0) return parts_->refuses(problem_of_chunks(p), e);
    return std::nullopt;
  }

  bool by_sequence(const Problem& p) const {
    return ragged_ == RaggedBatch::kBySequence && p.shape.sequences != nullptr;
  }

  KernelInfo info_;
  MakeDrivers make_;
  RaggedBatch ragged_;
  const PartialKernel* parts_;
};

}  // namespace

const std::vector<const Kernel*>& kernels() {
  static const CpuKernel flash(
      {"cpu_flash", AttentionType::kFlash,
       "tiled, online softmax (FlashAttention-2, Algorithms 1 and 2); Highway SIMD, OpenMP"},
      make_flash, CpuKernel::RaggedBatch::kAtOnce, &flash_parts());
  static const CpuKernel normal(
      {"cpu_normal", AttentionType::kNormal,
       "materialises S for all heads; the same tile products as cpu_flash"},
      make_normal, CpuKernel::RaggedBatch::kBySequence, nullptr);
  static const std::vector<const Kernel*> all = {&flash, &normal};
  return all;
}

}  // namespace flashbench::cpu
