#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/problem.h"
#include "distributed/arrangement.h"
#include "distributed/blocks.h"
#include "distributed/partition.h"

// What each rank does, step by step, as data: nothing here computes or communicates.
namespace flashbench::distributed {

/// A message to one rank while one comes from another: K and V, or sums of dK and dV, of some rows.
struct Exchange {
  int to, from;
  std::int64_t sent_rows, received_rows;
  int sent_slot, received_slot;
  int due;  ///< the step before which both must be done
};

/// K and V of some member are at hand in a slot. Whoever follows this begins the exchange of keys,
/// attends to the blocks, waits for what is due next; a backward pass then passes its sums on, to
/// the rank that has these keys next and at the end to their owner.
struct Step {
  std::vector<RowRun> keys;  ///< the rows of the sequence that they are
  int slot;
  std::vector<Block> blocks;
  std::vector<Exchange> exchanges;  ///< of what is at hand, in the order in which they are due
  std::optional<Exchange> sums;     ///< slots of their own: two

  std::int64_t key_rows() const;
};

/// One pass of one rank. A forward one begins with an exchange of rows of Q, K and V for heads and
/// ends with that of O, where heads are split; a backward one begins with dO's and ends with that
/// of dQ, dK and dV. With Method::kAllGather the keys of all members come before the one step,
/// their sums are reduced and scattered behind it.
struct Schedule {
  Arrangement of;
  int rank;
  OwnedRows queries, keys;                ///< that the rank owns
  std::vector<OwnedRows> member_queries;  ///< of each member of the ring; it computes its own
  std::vector<OwnedRows> member_keys;     ///< likewise
  std::vector<Step> steps;

  int member() const { return rank / of.heads_over(); }
  int part() const { return rank % of.heads_over(); }
  /// The rank that has the same part of another member.
  int peer(int other) const { return other * of.heads_over() + part(); }
  int slots() const;  ///< for K and V of one member, or of all
};

/// `p`: the whole problem, not a ragged one.
Schedule schedule(const Problem& p, const Arrangement& of, int rank);

/// One for each rank.
std::vector<Schedule> schedules(const Problem& p, const Arrangement& of);

/// Bytes that the rank sends in a pass of `p`; gradients that travel as sums are f32.
std::int64_t bytes_sent(const Schedule& s, const Problem& p, Pass pass);
/// Bytes of the slots for K and V.
std::int64_t key_slot_bytes(const Schedule& s, const Problem& p);
/// Pairs of a query and a key that the rank computes, of one head.
std::int64_t pairs(const Schedule& s);
/// The most pairs of a rank over the mean: 1 is perfect balance.
double imbalance(std::span<const Schedule> all);

}  // namespace flashbench::distributed
