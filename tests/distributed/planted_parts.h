#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/inputs.h"
#include "kernel/partial.h"

// Parts of a kernel that are wrong as programs were.
namespace flashbench::distributed {

/// Hands everything on.
class PassedOn : public PartialPlan {
 public:
  PassedOn(std::unique_ptr<PartialPlan> inner, const Problem& p)
      : inner_(std::move(inner)), problem_(p) {}

  void begin_forward() override { inner_->begin_forward(); }
  void forward(const Operands& io, const Block& b, PhaseProfile* f) override {
    inner_->forward(io, b, f);
  }
  void end_forward(const Operands& io, PhaseProfile* f) override { inner_->end_forward(io, f); }
  void begin_backward(const Operands& io, PhaseProfile* f) override {
    inner_->begin_backward(io, f);
  }
  void backward(const Operands& io, const Block& b, KeySums& sums, PhaseProfile* f) override {
    inner_->backward(io, b, sums, f);
  }
  void end_backward(const Operands& io, PhaseProfile* f) override { inner_->end_backward(io, f); }
  void store_keys(const KeySums& sums, RowRange keys, Outputs& out) override {
    inner_->store_keys(sums, keys, out);
  }
  RowState& rows() override { return inner_->rows(); }
  void poll_with(std::function<void()> hook) override { inner_->poll_with(std::move(hook)); }
  std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  double flop_executed(Pass pass, const Block& b,
                       std::span<const std::uint8_t> mask) const override {
    return inner_->flop_executed(pass, b, mask);
  }
  PhaseProfile profile_of(Pass pass, std::size_t events) const override {
    return inner_->profile_of(pass, events);
  }

 protected:
  /// O and LSE of some keys alone.
  Outputs alone(const Operands& io, const Block& block) {
    Problem p = problem_;
    p.pass = Pass::kForward;
    Outputs out = data::make_outputs(p);
    inner_->begin_forward();
    inner_->forward(io, block, nullptr);
    inner_->end_forward({io.in, &out}, nullptr);
    return out;
  }

  std::unique_ptr<PartialPlan> inner_;
  Problem problem_;
};

/// The mean of the partial O in place of their merge by LSE.
class MeanOfParts final : public PassedOn {
 public:
  using PassedOn::PassedOn;
  void begin_forward() override { parts_.clear(); }
  void forward(const Operands& io, const Block& block, PhaseProfile*) override {
    parts_.push_back(alone(io, block));
  }
  void end_forward(const Operands& io, PhaseProfile*) override {
    Outputs& out = *io.out;
    for (std::int64_t i = 0; i < out.o.count(); ++i) {
      float sum = 0;
      for (const Outputs& part : parts_) sum += part.o.at(i);
      out.o.set(i, sum / static_cast<float>(parts_.size()));
    }
    for (std::int64_t i = 0; i < out.lse.count(); ++i) {
      double sum = 0;
      for (const Outputs& part : parts_) sum += std::exp(static_cast<double>(part.lse.at(i)));
      out.lse.set(i, static_cast<float>(std::log(sum)));
    }
  }

 private:
  std::vector<Outputs> parts_;
};

/// A backward with the LSE of the block's keys in place of that of all.
class OwnLse final : public PassedOn {
 public:
  using PassedOn::PassedOn;
  void backward(const Operands& io, const Block& block, KeySums& sums, PhaseProfile* f) override {
    alone(io, block);
    inner_->backward(io, block, sums, f);
  }
};

template <typename Wrong>
class PlantedParts final : public PartialKernel {
 public:
  explicit PlantedParts(const PartialKernel& inner) : inner_(inner) {}
  std::optional<Rejection> refuses(const Problem& p, const Execution& e) const override {
    return inner_.refuses(p, e);
  }
  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    return inner_.workspace_bytes(p, e);
  }
  double predicted_flop(const Problem& p, const Execution& e, Pass pass,
                        std::span<const Block> blocks) const override {
    return inner_.predicted_flop(p, e, pass, blocks);
  }
  std::unique_ptr<PartialPlan> plan(const Problem& p, const Execution& e) const override {
    return std::make_unique<Wrong>(inner_.plan(p, e), p);
  }

 private:
  const PartialKernel& inner_;
};

}  // namespace flashbench::distributed
