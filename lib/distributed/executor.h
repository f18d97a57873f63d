#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "distributed/communicator.h"
#include "distributed/head_exchange.h"
#include "distributed/rank_tensors.h"
#include "distributed/schedule.h"
#include "kernel/partial.h"

namespace flashbench::distributed {

/// What a kernel's parts are planned for: the rows of the rank's member of the ring, its part of
/// the heads, as many keys as its largest block has; one row at least.
Problem planned(const Schedule& s, const Problem& whole);

/// One rank: runs a schedule on a kernel's parts, and holds the tensors of the rank from pass to
/// pass. Sums of dK and dV travel in f32.
class Executor {
 public:
  /// `key_mask`: of the whole problem, [b, kv_len] or empty. What is handed over must outlive this.
  Executor(const Problem& whole, const Schedule& s, const PartialKernel& kernel, const Execution& e,
           std::span<const std::uint8_t> key_mask);

  /// O and LSE, from the rank's rows of the whole tensors. Every rank calls it.
  void forward(Communicator& ranks, const Inputs& whole);
  /// After a forward(): dQ, dK and dV.
  void backward(Communicator& ranks, const Inputs& whole);

  /// Puts the results of a pass into their places among those of all ranks. No two ranks write the
  /// same.
  void store(Pass pass, Outputs& whole) const;

  /// FLOP of kForward or kBackward.
  double flop_executed(Pass pass) const;

  /// Bytes that the rank takes, but for what collectives pack.
  static std::size_t workspace_bytes(const Problem& whole, const Schedule& s,
                                     const PartialKernel& kernel, const Execution& e);

 private:
  struct UnderWay {
    Communicator::Ticket ticket;
    int due;  ///< before which step
  };

  void load(Communicator& ranks, const Inputs& whole);
  void load_d_o(Communicator& ranks, const Inputs& whole);
  void place_own_keys(Communicator& ranks);
  void gather_keys(Communicator& ranks);
  void begin_exchanges(Communicator& ranks, const Step& step);
  void finish_exchanges(Communicator& ranks, int due);
  void poll_with(Communicator& ranks);
  void show_keys(const Step& step);
  void attend(const Step& step);
  void attend_backward(const Step& step, int sums_slot);
  void add_sums(const Step& step, int from, int to);
  void scatter_sums(Communicator& ranks);
  std::vector<std::uint8_t> mask_of(const Step& step) const;
  std::vector<float> slopes_of_heads(const std::vector<float>& slopes) const;

  bool splits_heads() const { return s_.of.heads_over() > 1; }
  bool has_queries() const { return computed_.in.q.dims().rows > 0; }

  const Problem& whole_;
  const Schedule& s_;
  const std::span<const std::uint8_t> key_mask_;
  PartRows query_rows_, key_rows_;  ///< of the parts of the member
  std::unique_ptr<PartialPlan> plan_;
  RankTensors owned_;     ///< the rank's rows of all heads, where heads are split
  RankTensors computed_;  ///< its member's rows of its part of the heads
  /// What the kernel reads: Q and dO of those, K and V of a step over a slot, and their mask.
  Inputs at_hand_;
  const Operands io_{&at_hand_, &computed_.out};
  PairSlots keys_, sums_;
  std::vector<UnderWay> under_way_;
};

}  // namespace flashbench::distributed
