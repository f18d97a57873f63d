#include "core/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/extents.h"
#include "core/features.h"
#include "core/work.h"

namespace flashbench {
namespace {

std::string divisors(std::int64_t n) {
  std::string small, large;
  for (std::int64_t i = 1; i <= n / i; ++i) {
    if (n % i != 0) continue;
    small += fmt::format("{}{}", small.empty() ? "" : ", ", i);
    if (i != n / i) large = fmt::format(", {}{}", n / i, large);
  }
  return small + large;
}

/// Counts and sizes in bytes stay well inside 63 bits.
constexpr double kMostElements = 0x1p56;

/// What is in the way of a ragged batch.
std::optional<Rejection> invalid_ragged(const Problem& p) {
  if (p.shape.sequences == nullptr) return std::nullopt;
  for (const Feature other : {Feature::kKeyMask, Feature::kBias})
    if (uses(p, other))
      return Rejection{Rejection::Kind::kInvalid,
                       fmt::format("{} and {} contradict each other; leave {} out",
                                   flag(Feature::kRagged), flag(other), flag(other))};
  return std::nullopt;
}

std::optional<Rejection> too_large(const Shape& s) {
  const char* const fewer =
      s.sequences == nullptr ? "--b, --h, --q_len, --kv_len or --d" : "--ragged, --h or --d";
  const double rows = static_cast<double>(std::max(s.queries(), s.keys()));
  const double tensor = static_cast<double>(s.h) * rows * static_cast<double>(s.widest_d());
  if (tensor > kMostElements)
    return Rejection{Rejection::Kind::kInvalid,
                     fmt::format("the tensors would have {:.3g} elements, more than any machine "
                                 "addresses; use smaller {}",
                                 tensor, fewer)};
  const double scores = all_pairs(s);
  if (scores > kMostElements)
    return Rejection{Rejection::Kind::kInvalid,
                     fmt::format("there would be {:.3g} scores, more than any machine computes; "
                                 "use smaller {}",
                                 scores, fewer)};
  return std::nullopt;
}

std::optional<Rejection> invalid_window(const Problem& p) {
  constexpr auto kInvalid = Rejection::Kind::kInvalid;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  for (const auto& [flag, window] :
       {std::pair("window_left", p.window_left), std::pair("window_right", p.window_right)})
    if (window && (*window < 0 || *window > kMost))
      return Rejection{kInvalid, fmt::format("--{} must be none or between 0 and {}, got {}", flag,
                                             kMost, *window)};
  if (p.causal && p.window_right.value_or(0) > 0)
    return Rejection{kInvalid,
                     fmt::format("--window_right {} contradicts --causal, which is --window_right "
                                 "0; leave one of them out",
                                 *p.window_right)};
  if (p.windowed() && p.shape.q_len + p.shape.kv_len > kMost)
    return Rejection{kInvalid, fmt::format("a window takes --q_len and --kv_len of at most {} "
                                           "together, got {}",
                                           kMost, p.shape.q_len + p.shape.kv_len)};
  return std::nullopt;
}

/// Kernels hold the cap and its inverse in f32.
std::optional<Rejection> invalid_softcap(const Problem& p) {
  if (p.softcap == 0 || (p.softcap >= kLeastSoftcap && p.softcap <= kMostSoftcap))
    return std::nullopt;
  return Rejection{Rejection::Kind::kInvalid,
                   fmt::format("--softcap must be 0 (none) or between {:g} and {:g}, got {}",
                               kLeastSoftcap, kMostSoftcap, p.softcap)};
}

/// Kernels hold positions in f32.
std::optional<Rejection> invalid_alibi(const Problem& p) {
  constexpr std::int64_t kMost = 1 << 24;
  if (p.alibi == Alibi::kNone || p.shape.q_len + p.shape.kv_len <= kMost) return std::nullopt;
  return Rejection{Rejection::Kind::kInvalid,
                   fmt::format("--alibi takes --q_len and --kv_len of at most {} together, got {}",
                               kMost, p.shape.q_len + p.shape.kv_len)};
}

std::string names_of(const auto& dtypes) {
  std::string text;
  for (const Dtype t : dtypes) text += fmt::format("{}{}", text.empty() ? "" : ", ", name(t));
  return text;
}

std::optional<Rejection> invalid_kv_dtype(const Problem& p) {
  const Dtype kv = p.kv_dtype();
  if (kv == p.dtype) return std::nullopt;
  if (!is_only_stored(kv))
    return Rejection{Rejection::Kind::kInvalid,
                     fmt::format("--kv_dtype {} is not --dtype {}; use one of {}, or leave it out",
                                 name(kv), name(p.dtype), names_of(kStoredDtypes))};
  if (p.needs_gradients())
    return Rejection{Rejection::Kind::kInvalid,
                     fmt::format("--kv_dtype {} is for a forward pass alone, not for --pass {}; "
                                 "use forward, or leave --kv_dtype out",
                                 name(kv), name(p.pass))};
  return std::nullopt;
}

std::optional<Rejection> invalid_v_in_k(const Problem& p) {
  constexpr auto kInvalid = Rejection::Kind::kInvalid;
  if (!p.v_in_k) return std::nullopt;
  if (p.shape.d_v() > p.shape.d)
    return Rejection{kInvalid, fmt::format("with {} V is the first columns of K, which has {}; "
                                           "--{} must be at most that, got {}",
                                           flag(Feature::kValuesInKeys), p.shape.d, kValueDimName,
                                           p.shape.d_v())};
  if (p.needs_gradients())
    return Rejection{kInvalid, fmt::format("{0} is for a forward pass alone, not for --pass {1}; "
                                           "use forward, or leave {0} out",
                                           flag(Feature::kValuesInKeys), name(p.pass))};
  return std::nullopt;
}

std::optional<Rejection> invalid_f32_math(const Problem& p) {
  if (p.f32_math == F32Math::kIeee || p.dtype == Dtype::kF32) return std::nullopt;
  return Rejection{Rejection::Kind::kInvalid,
                   fmt::format("{0} is for --dtype f32, not for {1}; use --dtype f32, or leave {0} "
                               "out",
                               flag(Feature::kBf16x6), name(p.dtype))};
}

std::optional<Rejection> invalid_pages(const Problem& p) {
  constexpr auto kInvalid = Rejection::Kind::kInvalid;
  if (p.page_size < 0 || p.page_size > kMostPageSize)
    return Rejection{kInvalid, fmt::format("{} must be between 0 (none) and {}, got {}",
                                           flag(Feature::kPages), kMostPageSize, p.page_size)};
  if (!p.paged()) return std::nullopt;
  if (p.needs_gradients())
    return Rejection{kInvalid, fmt::format("{0} is for a forward pass alone, not for --pass {1}; "
                                           "use forward, or leave {0} out",
                                           flag(Feature::kPages), name(p.pass))};
  const double rows = static_cast<double>(p.shape.h_kv) * static_cast<double>(pages_in_pool(p)) *
                      static_cast<double>(p.page_size);
  constexpr double kMostRows = std::numeric_limits<std::int32_t>::max();
  if (rows <= kMostRows) return std::nullopt;
  return Rejection{kInvalid, fmt::format("the pool would have {:.3g} rows, counted over all heads; "
                                         "{} takes {:.0f} at the most",
                                         rows, flag(Feature::kPages), kMostRows)};
}

/// More than all keys is one chunk.
std::optional<Rejection> invalid_kv_chunk(const Problem& p) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (p.kv_chunk >= 0 && p.kv_chunk <= kMost) return std::nullopt;
  return Rejection{Rejection::Kind::kInvalid,
                   fmt::format("{} must be between 0 (none) and {}, got {}",
                               flag(Feature::kKvChunk), kMost, p.kv_chunk)};
}

}  // namespace

std::int64_t pages_of(const Problem& p, std::int64_t b) {
  return (p.shape.kv_len_of(b) + p.page_size - 1) / p.page_size;
}

std::int64_t pages_in_pool(const Problem& p) {
  if (p.own_pool_pages) return *p.own_pool_pages;
  std::int64_t pages = 0;
  for (std::int64_t b = 0; b < p.shape.b; ++b) pages += pages_of(p, b);
  return pages + pages / 8 + 1;
}

Problem sequence(const Problem& p, std::int64_t b) {
  Problem one = p;
  one.ragged = Ragged::kNone;
  one.shape.sequences = nullptr;
  one.shape.b = 1;
  one.shape.q_len = p.shape.q_len_of(b);
  one.shape.kv_len = p.shape.kv_len_of(b);
  one.seed += static_cast<std::uint64_t>(b);
  return one;
}

void shorten_windows(Problem& p, std::int64_t kv_len) {
  for (std::optional<std::int64_t>* window : {&p.window_left, &p.window_right})
    if (*window) **window = (**window * p.shape.kv_len + kv_len - 1) / kv_len;
}

std::optional<Rejection> invalid(const Problem& p) {
  static constexpr auto kInvalid = Rejection::Kind::kInvalid;
  const Shape& s = p.shape;
  const auto out_of_range = [](const char* flag, std::int64_t value,
                               std::int64_t most) -> std::optional<Rejection> {
    if (value >= 1 && value <= most) return std::nullopt;
    return Rejection{kInvalid,
                     fmt::format("--{} must be between 1 and {}, got {}", flag, most, value)};
  };
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  for (const NamedExtent& e : kExtents) {
    const std::int64_t most = e.member == &Shape::d ? kMaxHeadDim : kMost;
    if (const auto bad = out_of_range(e.name, s.*e.member, most)) return bad;
  }
  if (const auto bad = out_of_range(kValueDimName, s.d_v(), kMaxHeadDim)) return bad;
  if (s.h % s.h_kv != 0)
    return Rejection{kInvalid, fmt::format("--h_kv {} does not divide --h {}; use one of {}",
                                           s.h_kv, s.h, divisors(s.h))};
  if (const auto rejection = too_large(s)) return rejection;
  if (const auto rejection = invalid_ragged(p)) return rejection;
  if (const auto rejection = invalid_window(p)) return rejection;
  if (const auto rejection = invalid_softcap(p)) return rejection;
  if (const auto rejection = invalid_alibi(p)) return rejection;
  if (const auto rejection = invalid_kv_dtype(p)) return rejection;
  if (const auto rejection = invalid_v_in_k(p)) return rejection;
  if (const auto rejection = invalid_f32_math(p)) return rejection;
  if (const auto rejection = invalid_pages(p)) return rejection;
  if (const auto rejection = invalid_kv_chunk(p)) return rejection;
  if (!(p.mask_keep >= 0 && p.mask_keep <= 1))
    return Rejection{kInvalid,
                     fmt::format("--mask_keep must be between 0 and 1, got {}", p.mask_keep)};
  if (p.scale && !std::isfinite(*p.scale))
    return Rejection{kInvalid, fmt::format("--scale must be finite, got {}", *p.scale)};
  // Kernels hold the factor in f32.
  constexpr double kMostScale = std::numeric_limits<float>::max();
  if (p.scale && std::abs(*p.scale) > kMostScale)
    return Rejection{kInvalid, fmt::format("--scale must be between {0:g} and {1:g}, got {2}",
                                           -kMostScale, kMostScale, *p.scale)};
  return std::nullopt;
}

}  // namespace flashbench
