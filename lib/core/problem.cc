#include "core/problem.h"

#include <fmt/format.h>

#include <limits>

#include "core/extents.h"

namespace flashbench {
std::optional<Rejection> invalid(const Problem& p) {
  constexpr auto kInvalid = Rejection::Kind::kInvalid;
  const Shape& s = p.shape;
  const auto out_of_range = [](const char* flag, std::int64_t value) -> std::optional<Rejection> {
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    if (value >= 1 && value <= kMost) return std::nullopt;
    return Rejection{kInvalid,
                     fmt::format("--{} must be between 1 and {}, got {}", flag, kMost, value)};
  };
  for (const NamedExtent& e : kExtents)
    if (const auto bad = out_of_range(e.name, s.*e.member)) return bad;
  if (const auto bad = out_of_range("d_v", s.d_v())) return bad;
  for (const auto& [flag, value] : {std::pair("d", s.d), std::pair("d_v", s.d_v())})
    if (value > kMaxHeadDim)
      return Rejection{kInvalid, fmt::format("--{} {} exceeds {}, the largest head dimension", flag,
                                             value, kMaxHeadDim)};
  if (s.h % s.h_kv != 0) {
    std::string divisors;
    for (std::int64_t i = 1; i <= s.h; ++i)
      if (s.h % i == 0) divisors += fmt::format("{}{}", divisors.empty() ? "" : ", ", i);
    return Rejection{kInvalid, fmt::format("--h_kv {} does not divide --h {}; use one of {}",
                                           s.h_kv, s.h, divisors)};
  }
  // Element counts and byte sizes stay well inside 63 bits.
  const double largest = static_cast<double>(s.b) * static_cast<double>(s.h) *
                         static_cast<double>(std::max(s.q_len, s.kv_len)) *
                         static_cast<double>(s.widest_d());
  if (largest > 0x1p56)
    return Rejection{kInvalid,
                     fmt::format("the tensors would have {:.3g} elements, more than any machine "
                                 "addresses; use smaller --b, --h, --q_len, --kv_len or --d",
                                 largest)};
  if (!(p.mask_keep >= 0 && p.mask_keep <= 1))
    return Rejection{kInvalid,
                     fmt::format("--mask_keep must be between 0 and 1, got {}", p.mask_keep)};
  if (p.scale && !std::isfinite(*p.scale))
    return Rejection{kInvalid, fmt::format("--scale must be finite, got {}", *p.scale)};
  return std::nullopt;
}

}  // namespace flashbench
