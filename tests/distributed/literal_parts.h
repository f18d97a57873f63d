#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernel/partial.h"

namespace flashbench::distributed {

/// Parts of attention as the formulas say, in double and key by key: no tiles, no threads.
class LiteralParts final : public PartialPlan {
 public:
  explicit LiteralParts(const Problem& p) : p_(p) {
    const Dims rows = p.shape.lse_dims();
    max_.resize(static_cast<std::size_t>(rows.count()));
    sum_ = delta_ = max_;
    o_.resize(static_cast<std::size_t>(p.shape.o_dims().count()));
    dq_.resize(static_cast<std::size_t>(p.shape.q_dims().count()));
  }

  void begin_forward() override {
    std::fill(max_.begin(), max_.end(), -std::numeric_limits<double>::infinity());
    std::fill(sum_.begin(), sum_.end(), 0.0);
    std::fill(o_.begin(), o_.end(), 0.0);
  }
  void forward(const Operands& io, const Block& block, PhaseProfile*) override {
    for_pairs(io, block, [&](const Pair& at) {
      const double s = score(io, at), high = std::max(max_[at.row], s);
      const double keep = std::exp(max_[at.row] - high), p = std::exp(s - high);
      sum_[at.row] = keep * sum_[at.row] + p;
      max_[at.row] = high;
      for (std::int64_t d = 0; d < p_.shape.d_v(); ++d) {
        double& o = o_[o_index(at, d)];
        o = keep * o + p * io.in->v.at(at.b, at.h_kv, at.key, d);
      }
    });
  }
  void end_forward(const Operands& io, PhaseProfile*) override {
    const auto d_v = static_cast<std::size_t>(p_.shape.d_v());
    for (std::size_t row = 0; row < sum_.size(); ++row) {
      const bool empty = sum_[row] == 0;
      io.out->lse.set(static_cast<std::int64_t>(row),
                      static_cast<float>(empty ? max_[row] : max_[row] + std::log(sum_[row])));
      for (std::size_t i = row * d_v; i < (row + 1) * d_v; ++i)
        io.out->o.set(static_cast<std::int64_t>(i),
                      empty ? 0.0f : static_cast<float>(o_[i] / sum_[row]));
    }
  }
  void begin_backward(const Operands& io, PhaseProfile*) override {
    const std::int64_t d_v = p_.shape.d_v();
    std::fill(dq_.begin(), dq_.end(), 0.0);
    std::fill(delta_.begin(), delta_.end(), 0.0);
    for (std::int64_t i = 0; i < io.out->o.count(); ++i)
      delta_[static_cast<std::size_t>(i / d_v)] +=
          static_cast<double>(io.out->o.at(i)) * static_cast<double>(io.in->d_o.at(i));
  }
  void backward(const Operands& io, const Block& block, KeySums& sums, PhaseProfile*) override {
    for_pairs(io, block, [&](const Pair& at) {
      const double lse = max_[at.row] + std::log(sum_[at.row]);
      const double p = std::exp(score(io, at) - lse);
      const std::int64_t sums_row = at.key - block.keys.first + sums.first;
      double dp = 0;
      for (std::int64_t d = 0; d < p_.shape.d_v(); ++d) {
        const double d_o = io.in->d_o.at(at.b, at.h, at.query, d);
        dp += d_o * io.in->v.at(at.b, at.h_kv, at.key, d);
        add(sums.dv, sums.dv.dims().index(at.b, at.h_kv, sums_row, d), p * d_o);
      }
      const double ds = p * (dp - delta_[at.row]);
      for (std::int64_t d = 0; d < p_.shape.d; ++d) {
        dq_[static_cast<std::size_t>(p_.shape.q_dims().index(at.b, at.h, at.query, d))] +=
            ds * io.in->k.at(at.b, at.h_kv, at.key, d);
        add(sums.dk, sums.dk.dims().index(at.b, at.h_kv, sums_row, d),
            ds * io.in->q.at(at.b, at.h, at.query, d));
      }
    });
  }
  void end_backward(const Operands& io, PhaseProfile*) override {
    for (std::size_t i = 0; i < dq_.size(); ++i)
      io.out->dq.set(static_cast<std::int64_t>(i), static_cast<float>(p_.softmax_scale() * dq_[i]));
  }
  void store_keys(const KeySums& sums, RowRange keys, Outputs& out) override {
    const auto store = [&](const Tensor& from, Tensor& to, double scale) {
      const Dims dims = to.dims();
      for (std::int64_t b = 0; b < dims.b; ++b)
        for (std::int64_t h = 0; h < dims.h; ++h)
          for (std::int64_t i = 0; i < keys.count; ++i)
            for (std::int64_t d = 0; d < dims.d; ++d)
              to.set(dims.index(b, h, keys.first + i, d),
                     static_cast<float>(scale * from.at(b, h, sums.first + i, d)));
    };
    store(sums.dk, out.dk, p_.softmax_scale());
    store(sums.dv, out.dv, 1);
  }
  RowState& rows() override { return rows_; }
  void poll_with(std::function<void()> hook) override { poll_ = Poll(std::move(hook)); }
  std::size_t workspace_bytes() const override { return 0; }
  double flop_executed(Pass, const Block& b, std::span<const std::uint8_t>) const override {
    return static_cast<double>(b.visible.pairs());
  }
  PhaseProfile profile_of(Pass, std::size_t) const override { return PhaseProfile({}, 1, 0); }

 private:
  struct Pair {
    std::int64_t b, h, h_kv, query, key;
    std::size_t row;
  };

  template <typename Visit>
  void for_pairs(const Operands& io, const Block& block, const Visit& visit) {
    const std::int64_t all_keys = io.in->k.dims().rows;
    for (std::int64_t b = 0; b < p_.shape.b; ++b)
      for (std::int64_t h = 0; h < p_.shape.h; ++h)
        for (std::int32_t q = 0; q < block.visible.q_len; ++q) {
          poll_.now_and_then();
          const KeyRange seen = block.visible.keys(q);
          const std::int64_t query = block.queries.first + q;
          const auto row = static_cast<std::size_t>(p_.shape.lse_dims().index(b, h, query, 0));
          for (std::int64_t k = seen.begin; k < seen.end; ++k) {
            const std::int64_t key = block.keys.first + k;
            const auto& mask = io.in->key_mask;
            if (!mask.empty() && mask[static_cast<std::size_t>(b * all_keys + key)] == 0) continue;
            visit({b, h, p_.shape.kv_head(h), query, key, row});
          }
        }
  }
  double score(const Operands& io, const Pair& at) const {
    double s = 0;
    for (std::int64_t d = 0; d < p_.shape.d; ++d)
      s += static_cast<double>(io.in->q.at(at.b, at.h, at.query, d)) *
           static_cast<double>(io.in->k.at(at.b, at.h_kv, at.key, d));
    return p_.softmax_scale() * s;
  }
  std::size_t o_index(const Pair& at, std::int64_t d) const {
    return static_cast<std::size_t>(p_.shape.o_dims().index(at.b, at.h, at.query, d));
  }
  static void add(Tensor& t, std::int64_t i, double x) {
    t.as<float>()[i] += static_cast<float>(x);
  }

  const Problem p_;
  std::vector<double> max_, sum_, delta_, o_, dq_;
  RowState rows_;
  Poll poll_;
};

class LiteralKernel final : public PartialKernel {
 public:
  std::optional<Rejection> refuses(const Problem&, const Execution&) const override {
    return std::nullopt;
  }
  std::size_t workspace_bytes(const Problem&, const Execution&) const override { return 0; }
  double predicted_flop(const Problem&, const Execution&, Pass,
                        std::span<const Block>) const override {
    return 0;
  }
  std::unique_ptr<PartialPlan> plan(const Problem& p, const Execution&) const override {
    return std::make_unique<LiteralParts>(p);
  }
};

}  // namespace flashbench::distributed
