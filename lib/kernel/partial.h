#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "core/problem.h"
#include "core/tensor.h"
#include "core/visible.h"
#include "kernel/execution.h"
#include "kernel/kernel.h"
#include "kernel/profile.h"

// Attention in parts: some queries against some keys at a time, as context parallelism and chunks
// of K and V need it. What a row of queries has of the keys so far is carried from part to part in
// f32, so that nothing is merged afterwards and only last results are rounded.
namespace flashbench {

/// Rows [first, first + count) of tensors [b, head, row, d].
struct RowRange {
  std::int64_t first = 0, count = 0;

  friend bool operator==(const RowRange&, const RowRange&) = default;
};

/// Some queries against some keys, of every batch element and head.
struct Block {
  RowRange queries;  ///< of Inputs::q and d_o, of Outputs::o and dq, and of RowState
  RowRange keys;     ///< of Inputs::k and v and, as columns, of key_mask [b, rows of k]
  /// Who sees whom, both counted from the block's first: q_len and kv_len are those counts, and
  /// `diagonal` is the key on which the first query is aligned. It may lie outside of the block. It
  /// counts in place of the masks of the planned problem, padding excepted; ALiBi goes by it, too.
  Visible visible;
};

/// The block of these rows where `whole` says who sees whom of all of q and k.
inline Block block_of(const Visible& whole, RowRange queries, RowRange keys) {
  const auto index = [](std::int64_t i) { return static_cast<std::int32_t>(i); };
  return {queries, keys,
          whole.block(index(queries.first), index(queries.count), index(keys.first),
                      index(keys.count))};
}

/// The online softmax of every row after some of its keys (FlashAttention-2, Algorithm 1), f32. All
/// on the host: between two calls of a plan it may be read, sent and replaced.
struct RowState {
  /// [b, h, q_len, d_v]: O times the significand of `sum`, which is in [1/2, 1): finite where O is,
  /// and exact. Without meaning where sum is 0.
  Tensor o;
  /// [b, h, q_len, 1]: the reference m of the row and the sum of exp(score - score of m) over the
  /// keys so far. m is in the kernel's own units: rows of one kernel can be told from each other.
  Tensor max, sum;
  /// [b, h, q_len, 1]: log2 of the last sum, the sink's part included: end_forward() writes it, and
  /// a backward takes P = 2^(score in log2 - m in log2 - log_sum). With `max` it is the LSE in two
  /// numbers: rounded to one f32, P of large scores would be off. +inf for a row that sees nothing.
  Tensor log_sum;
};

/// Sums of dK and dV, f32, before the softmax scale: who owns the keys begins with zeros, and
/// whoever has a block with them adds to it.
struct KeySums {
  Tensor dk;               ///< [b, h_kv, rows, d]
  Tensor dv;               ///< [b, h_kv, rows, d_v]
  std::int64_t first = 0;  ///< the row that belongs to the block's first key
};

/// Calls a hook now and then: from one thread, at most every kInterval.
class Poll {
 public:
  static constexpr std::chrono::microseconds kInterval{50};

  explicit Poll(std::function<void()> hook = {}) : hook_(std::move(hook)) {}
  explicit operator bool() const { return static_cast<bool>(hook_); }
  /// Between two tiles of work.
  void now_and_then() {
    if (!hook_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kInterval) return;
    hook_();
    last_ = std::chrono::steady_clock::now();
  }

 private:
  std::function<void()> hook_;
  std::chrono::steady_clock::time_point last_{};
};

/// One workspace for parts of a problem, and what it has of its rows. Its problem has q_len rows in
/// all (those of q, o, dq) and at most kv_len keys in a block; tensors of K and V may have more.
///
///     plan.begin_forward();
///     for each block: plan.forward(io, block);           // in any order of keys
///     plan.end_forward(io);                               // writes o and lse
///     plan.begin_backward(io);                            // D = rowsum(dO∘O), once
///     for each block: plan.backward(io, block, sums);     // given LSE and D; dQ, dK, dV += ...
///     plan.end_backward(io);                              // writes dq (and dsinks)
///     plan.store_keys(sums, keys, out);                   // writes dk and dv, once sums are whole
///
/// `io.in` is read where a call says so, and may be another one each time: q, d_o, sinks and slopes
/// are those of the plan's rows, k, v, their descales and key_mask those of the block. Calls return
/// when they are done. `profile`: as profile_of() makes it; null: nothing is clocked.
class PartialPlan {
 public:
  virtual ~PartialPlan() = default;

  /// No row has seen a key.
  virtual void begin_forward() = 0;
  /// Rows of the block absorb its keys: from RowState to RowState. Reads q, k, v, key_mask.
  virtual void forward(const Operands& io, const Block& block, PhaseProfile* profile = nullptr) = 0;
  /// Writes o, rounded here for the first time, and lse; counts the sinks, which no block does. A
  /// row that saw nothing gets o = 0 and lse = -inf, or its sink.
  virtual void end_forward(const Operands& io, PhaseProfile* profile = nullptr) = 0;

  /// After end_forward(). Reads o and d_o of all rows.
  virtual void begin_backward(const Operands& io, PhaseProfile* profile = nullptr) = 0;
  /// Adds what the block has part in to dQ, which the plan keeps, and to `sums`. P comes from
  /// RowState::max and log_sum. Reads q, d_o, k, v, key_mask.
  virtual void backward(const Operands& io, const Block& block, KeySums& sums,
                        PhaseProfile* profile = nullptr) = 0;
  /// Writes dq of all rows, and dsinks.
  virtual void end_backward(const Operands& io, PhaseProfile* profile = nullptr) = 0;
  /// Writes rows `keys` of out.dk and out.dv, rounded here for the first time, from rows
  /// [sums.first, ...) of the sums.
  virtual void store_keys(const KeySums& sums, RowRange keys, Outputs& out) = 0;

  virtual RowState& rows() = 0;

  /// Called while forward() and backward() compute, by the thread that called these, between tiles
  /// of work, at most every Poll::kInterval (less often where a tile takes longer). It must not
  /// throw. An empty one: nobody.
  virtual void poll_with(std::function<void()> hook) = 0;

  /// Bytes that the plan allocated, RowState included; what PartialKernel::workspace_bytes()
  /// predicted.
  virtual std::size_t workspace_bytes() const = 0;
  /// FLOP that forward() (kForward) or backward() (kBackward) executes with such a block.
  /// `key_mask`: as in Inputs.
  virtual double flop_executed(Pass pass, const Block& block,
                               std::span<const std::uint8_t> key_mask) const = 0;
  /// An empty profile of a pass, not kBoth, with the workspace of its phases.
  virtual PhaseProfile profile_of(Pass pass, std::size_t events = 0) const = 0;
};

/// A kernel's offer to compute parts; see Kernel::parts().
class PartialKernel {
 public:
  virtual ~PartialKernel() = default;
  /// Why parts of such a problem are not computed, by the names of kernel and flags. nullopt: they
  /// are. What the whole kernel refuses, its parts do.
  virtual std::optional<Rejection> refuses(const Problem& p, const Execution& e) const = 0;
  /// Bytes that plan() will allocate, exactly. `p`: of all rows of queries and of as many keys as
  /// the largest block has; for gradients where p.needs_gradients().
  virtual std::size_t workspace_bytes(const Problem& p, const Execution& e) const = 0;
  /// FLOP of blocks when no key is padded; see PartialPlan::flop_executed().
  virtual double predicted_flop(const Problem& p, const Execution& e, Pass pass,
                                std::span<const Block> blocks) const = 0;
  virtual std::unique_ptr<PartialPlan> plan(const Problem& p, const Execution& e) const = 0;
};

}  // namespace flashbench
