#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

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
  std::optional<std::int64_t> own_d_v = {};  ///< absent: as d. d_v() is what counts

  /// Head dimension of V, O and their gradients; d is that of Q, K and theirs.
  constexpr std::int64_t d_v() const { return own_d_v.value_or(d); }
  constexpr std::int64_t widest_d() const { return std::max(d, d_v()); }
  constexpr std::int64_t group() const { return h / h_kv; }  ///< query heads per K/V head
  constexpr std::int64_t kv_head(std::int64_t query_head) const { return query_head / group(); }
  constexpr Dims q_dims() const { return {b, h, q_len, d}; }
  constexpr Dims k_dims() const { return {b, h_kv, kv_len, d}; }
  constexpr Dims v_dims() const { return {b, h_kv, kv_len, d_v()}; }
  constexpr Dims o_dims() const { return {b, h, q_len, d_v()}; }
  constexpr Dims lse_dims() const { return {b, h, q_len, 1}; }
  constexpr Dims sink_dims() const { return {1, h, 1, 1}; }
  friend constexpr bool operator==(const Shape& x, const Shape& y) {
    return x.q_dims() == y.q_dims() && x.k_dims() == y.k_dims() && x.d_v() == y.d_v();
  }
};

inline constexpr std::int64_t kMaxHeadDim = 1024;

}  // namespace flashbench
