#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/features.h"
#include "core/rejection.h"

namespace flashbench {

/// What a kernel computes, as plain data. What is not named is refused, centrally and by name: a
/// new feature or dtype needs no edit in kernels that do not know it.
struct Supports {
  Features features;
  DtypeSet dtypes;
  std::int64_t max_d = 0;
  std::int64_t max_d_v = 0;  ///< 0: as max_d
  Features only_for = {};    ///< problems that do not use all of these are for other kernels
};

/// What a problem asks of whoever computes it; plain data, so that routing is a constant
/// expression.
struct Demand {
  Features features;
  Dtype dtype = Dtype::kF32;
  std::int64_t d = 0, d_v = 0;
};
Demand demand_of(const Problem& p);

/// What of a demand a kernel lacks, the first in this order.
enum class Lack { kNone, kFeature, kDtype, kHeadDim, kValueDim, kNotOfItsKind };

constexpr Lack lack(const Supports& s, const Demand& asked) {
  if (!(asked.features - s.features).empty()) return Lack::kFeature;
  if (!s.dtypes.has(asked.dtype)) return Lack::kDtype;
  if (asked.d > s.max_d) return Lack::kHeadDim;
  if (asked.d_v > (s.max_d_v > 0 ? s.max_d_v : s.max_d)) return Lack::kValueDim;
  if (!(s.only_for - asked.features).empty()) return Lack::kNotOfItsKind;
  return Lack::kNone;
}

/// The kernel is there for such problems alone: where nobody computes one, its reason is the one to
/// give.
constexpr bool is_specialist(const Supports& s, const Features& asked) {
  return !s.only_for.empty() && (s.only_for - asked).empty();
}

/// Their flags, joined by "and".
std::string flags_of(const Features& features);

/// The lack in words: "cpu_flash does not support --window". nullopt where there is none.
std::optional<Rejection> unsupported(std::string_view kernel, const Supports& s,
                                     const Demand& asked);

}  // namespace flashbench
