#include "cpu/flash_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <vector>

#include "core/features.h"
#include "core/visibility.h"
#include "cpu/flash_backward.h"
#include "cpu/flash_forward.h"
#include "cpu/kernels.h"
#include "cpu/pass_part.h"

namespace flashbench::cpu {
namespace {

constexpr Features kInParts = {Feature::kGradients,   Feature::kCausal,   Feature::kKeyMask,
                               Feature::kWindow,      Feature::kSoftcap,  Feature::kAlibi,
                               Feature::kSinks,       Feature::kValueDim, Feature::kKvDtype,
                               Feature::kValuesInKeys};

/// What each batch element sees of a block's keys.
std::vector<Visibility> sees_of(const Block& block, std::int64_t b,
                                std::span<const std::uint8_t> key_mask) {
  assert(block.visible.q_len == block.queries.count && block.visible.kv_len == block.keys.count);
  const std::size_t columns = key_mask.size() / static_cast<std::size_t>(b);
  std::vector<Visibility> sees;
  for (std::size_t i = 0; i < static_cast<std::size_t>(b); ++i)
    sees.emplace_back(
        key_mask.empty()
            ? key_mask
            : key_mask.subspan(i * columns + static_cast<std::size_t>(block.keys.first),
                               static_cast<std::size_t>(block.keys.count)),
        block.visible);
  return sees;
}

bool see_nothing(const std::vector<Visibility>& sees) {
  return std::all_of(sees.begin(), sees.end(),
                     [](const Visibility& v) { return v.kept().count() == 0; });
}

class FlashParts final : public PartialPlan {
 public:
  /// Only computes sizes.
  FlashParts(const Problem& p, const Execution& e)
      : problem_(p), threads_(e.threads), forward_(p, e, &maxima_) {
    if (p.needs_gradients()) backward_.emplace(p, e, maxima_);
  }

  void allocate() {
    const Shape& s = problem_.shape;
    maxima_.allocate(s);
    rows_.o = Tensor(Dtype::kF32, s.o_dims());
    rows_.sum = Tensor(Dtype::kF32, s.lse_dims());
    rows_.max = Tensor(Dtype::kF32, s.lse_dims(), maxima_.max());
    rows_.log_sum = Tensor(Dtype::kF32, s.lse_dims(), maxima_.log_sum());
    forward_.allocate();
    if (backward_) backward_->allocate();
  }

  void begin_forward() override { std::memset(rows_.sum.data(), 0, rows_.sum.bytes()); }

  void forward(const Operands& io, const Block& block, PhaseProfile* profile) override {
    const auto sees = sees_of(block, problem_.shape.b, io.in->key_mask);
    if (see_nothing(sees)) return;
    PassPart part = part_of(block);
    part.state = &rows_;
    forward_.run(io, sees, part, profile);
  }

  void end_forward(const Operands& io, PhaseProfile* profile) override {
    forward_.finish_state(io, rows_, profile);
  }

  void begin_backward(const Operands& io, PhaseProfile* profile) override {
    backward_->begin(io, profile);
  }

  void backward(const Operands& io, const Block& block, KeySums& sums,
                PhaseProfile* profile) override {
    const auto sees = sees_of(block, problem_.shape.b, io.in->key_mask);
    if (see_nothing(sees)) return;
    PassPart part = part_of(block);
    part.sums = &sums;
    backward_->run(io, sees, part, profile);
  }

  void end_backward(const Operands& io, PhaseProfile* profile) override {
    backward_->end(io, profile);
  }

  void store_keys(const KeySums& sums, RowRange keys, Outputs& out) override {
    backward_->store_keys(sums, keys, out);
  }

  RowState& rows() override { return rows_; }
  void poll_with(std::function<void()> hook) override { poll_ = Poll(std::move(hook)); }

  std::size_t workspace_bytes() const override {
    const Shape& s = problem_.shape;
    const auto state = static_cast<std::size_t>(s.o_dims().count() + s.lse_dims().count());
    return forward_.workspace_bytes() + (backward_ ? backward_->workspace_bytes() : 0) +
           RowMaxima::bytes(s) + state * sizeof(float) +
           static_cast<std::size_t>(s.b) *
               KeptKeys::bytes(problem_.padding != PaddingMask::kNone, s.kv_len);
  }

  double flop_executed(Pass pass, const Block& block,
                       std::span<const std::uint8_t> key_mask) const override {
    return driver(pass).flop_executed(sees_of(block, problem_.shape.b, key_mask));
  }

  PhaseProfile profile_of(Pass pass, std::size_t events) const override {
    const AttentionPass& of = driver(pass);
    PhaseProfile profile(of.phases(), threads_, events);
    const std::vector<std::size_t> bytes = of.phase_bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) profile.add_bytes(i, bytes[i]);
    return profile;
  }

 private:
  PassPart part_of(const Block& block) {
    return {.first_query = block.queries.first,
            .first_key = block.keys.first,
            .poll = poll_ ? &poll_ : nullptr};
  }
  const AttentionPass& driver(Pass pass) const {
    if (pass == Pass::kForward) return forward_;
    return *backward_;
  }

  Problem problem_;
  int threads_;
  RowMaxima maxima_;
  FlashForward forward_;
  std::optional<FlashBackward> backward_;
  RowState rows_;
  Poll poll_;
};

class FlashPartialKernel final : public PartialKernel {
 public:
  std::optional<Rejection> refuses(const Problem& p, const Execution& e) const override {
    const Kernel& whole = *kernels().front();
    if (auto why = whole.refuses(p, e)) return why;
    const Features lacking = used(p) - kInParts;
    if (lacking.empty()) return std::nullopt;
    return Rejection{Rejection::Kind::kUnsupported,
                     fmt::format("{} does not support {} where keys come in parts",
                                 whole.info().name, flags_of(lacking))};
  }
  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    return FlashParts(p, e).workspace_bytes();
  }
  double predicted_flop(const Problem& p, const Execution& e, Pass pass,
                        std::span<const Block> blocks) const override {
    const FlashParts parts(p, e);
    double flop = 0;
    for (const Block& block : blocks) flop += parts.flop_executed(pass, block, {});
    return flop;
  }
  std::unique_ptr<PartialPlan> plan(const Problem& p, const Execution& e) const override {
    auto parts = std::make_unique<FlashParts>(p, e);
    parts->allocate();
    return parts;
  }
};

}  // namespace

const PartialKernel& flash_parts() {
  static const FlashPartialKernel parts;
  return parts;
}

}  // namespace flashbench::cpu
