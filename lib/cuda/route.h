#pragma once

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
  Pass pass = Pass::kForward;
  Dtype dtype = Dtype::kF32;
  std::int64_t d = 64;
  int capability = 0;
  std::size_t shared_bytes = 0;  ///< that one block may opt into
  bool deterministic = false;
};

enum class Refusal { kNone, kCapability, kCapabilityTooNew, kDtype, kHeadDim, kShared, kOrder };

constexpr Refusal refusal(const KernelFamily& f, const RouteQuery& q) {
  if (q.capability < f.min_capability) return Refusal::kCapability;
  if (f.max_capability != 0 && q.capability > f.max_capability) return Refusal::kCapabilityTooNew;
  if (!f.takes(q.dtype)) return Refusal::kDtype;
  if (q.d > f.max_d) return Refusal::kHeadDim;
  if (f.shared_bytes(q.pass, q.d) > q.shared_bytes) return Refusal::kShared;
  if (q.deterministic && !f.deterministic && q.pass != Pass::kForward) return Refusal::kOrder;
  return Refusal::kNone;
}

/// The refusal in words a user can act on; nullopt for kNone.
std::optional<std::string> reason(const KernelFamily& f, const RouteQuery& q);

/// Every family, the preferred one first.
std::span<const KernelFamily* const> families();

}  // namespace flashbench::cuda
