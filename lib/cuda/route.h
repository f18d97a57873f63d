#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "cuda/contract/family.h"

// Which kernel computes a problem on which device: constant expressions over plain data.
namespace flashbench::cuda {

/// What routing asks of a problem and of a device.
struct RouteQuery {
  Demand demand;
  Pass pass = Pass::kForward;
  int capability = 0;
  std::size_t shared_bytes = 0;  ///< that one block may opt into
  bool deterministic = false;
  QueryRows rows = {};
  int multiprocessors = 0;
};

/// Tiles are as wide as the wider of Q, K and V.
constexpr std::int64_t widest_d(const Demand& d) { return std::max(d.d, d.d_v); }

enum class Refusal { kNone, kSupports, kRows, kCapability, kCapabilityTooNew, kShared, kOrder };

constexpr Refusal refusal(const KernelFamily& f, const RouteQuery& q) {
  if (lack(f.supports, q.demand) != Lack::kNone) return Refusal::kSupports;
  if (f.max_rows != 0 && q.rows.rows() > f.max_rows) return Refusal::kRows;
  if (q.capability < f.min_capability) return Refusal::kCapability;
  if (f.max_capability != 0 && q.capability > f.max_capability) return Refusal::kCapabilityTooNew;
  if (f.shared_bytes(q.pass, widest_d(q.demand)) > q.shared_bytes) return Refusal::kShared;
  if (q.deterministic && !f.deterministic && q.pass != Pass::kForward) return Refusal::kOrder;
  return Refusal::kNone;
}

/// Of a problem that a family takes: families after it are expected to be faster.
constexpr bool yields(const KernelFamily& f, const RouteQuery& q) {
  return f.pays != nullptr && !f.pays(q.rows, widest_d(q.demand), q.multiprocessors);
}

/// The refusal in words a user can act on; nullopt for kNone.
std::optional<Rejection> rejection(const KernelFamily& f, const RouteQuery& q);

/// "7.5" of 75.
std::string capability_text(int capability);

/// Every family, the preferred one first.
std::span<const KernelFamily* const> families();

/// The family of a type that computes a problem, of `among` in their order; nullptr: none.
const KernelFamily* choose(AttentionType type, const RouteQuery& q,
                           std::span<const KernelFamily* const> among = families());

}  // namespace flashbench::cuda
