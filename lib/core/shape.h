#pragma once

#include <cstdint>

namespace flashbench {

/// Extents of a [batch, head, row, dim] tensor.
struct Dims {
  std::int64_t b = 0, h = 0, rows = 0, d = 0;

  constexpr std::int64_t count() const { return b * h * rows * d; }
  constexpr std::int64_t index(std::int64_t ib, std::int64_t ih, std::int64_t ir,
                               std::int64_t id) const {
    return ((ib * h + ih) * rows + ir) * d + id;
  }
  friend constexpr bool operator==(const Dims&, const Dims&) = default;
};

/// An attention workload's extents; the defaults are the origin's.
struct Shape {
  std::int64_t b = 1, h = 2, h_kv = 2, q_len = 4096, kv_len = 4096, d = 512;

  constexpr std::int64_t group() const { return h / h_kv; }  ///< query heads per K/V head
  constexpr std::int64_t kv_head(std::int64_t query_head) const { return query_head / group(); }
  constexpr Dims q_dims() const { return {b, h, q_len, d}; }
  constexpr Dims kv_dims() const { return {b, h_kv, kv_len, d}; }
  constexpr Dims lse_dims() const { return {b, h, q_len, 1}; }
  friend constexpr bool operator==(const Shape&, const Shape&) = default;
};

inline constexpr std::int64_t kMaxHeadDim = 1024;

}  // namespace flashbench
