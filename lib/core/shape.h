#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/sequences.h"

namespace flashbench {

/// Extents of a [batch, head, row, dim] tensor. In a ragged batch each batch element has rows of
/// its own: its heads lie one behind the other, behind those of the element before it.
struct Dims {
  std::int64_t b = 0, h = 0, rows = 0, d = 0;
  /// Of a ragged batch [b + 1]: how many rows of a head lie before those of each element, and in
  /// all; `rows` are the most that one has. Null: each has `rows`.
  const std::int64_t* first_row = nullptr;

  constexpr std::int64_t rows_before(std::int64_t ib) const {
    return first_row == nullptr ? ib * rows : first_row[ib];
  }
  constexpr std::int64_t rows_of(std::int64_t ib) const {
    return first_row == nullptr ? rows : first_row[ib + 1] - first_row[ib];
  }
  constexpr std::int64_t all_rows() const { return h * rows_before(b); }  ///< of all heads
  constexpr std::int64_t count() const { return all_rows() * d; }
  constexpr std::int64_t index(std::int64_t ib, std::int64_t ih, std::int64_t ir,
                               std::int64_t id) const {
    return (h * rows_before(ib) + ih * rows_of(ib) + ir) * d + id;
  }
  struct Place {
    std::int64_t b, h, row;
  };
  /// Where row number r of all_rows() is.
  constexpr Place place(std::int64_t r) const {
    std::int64_t ib = 0;
    if (first_row == nullptr)
      ib = r / (h * rows);
    else
      ib = std::upper_bound(first_row, first_row + b + 1, r / h) - first_row - 1;
    const std::int64_t in_element = r - h * rows_before(ib);
    return {ib, in_element / rows_of(ib), in_element % rows_of(ib)};
  }
  friend constexpr bool operator==(const Dims&, const Dims&) = default;
};

/// An attention workload's extents; the defaults are the origin's.
struct Shape {
  std::int64_t b = 1, h = 2, h_kv = 2, q_len = 4096, kv_len = 4096, d = 512;
  std::optional<std::int64_t> own_d_v = {};  ///< absent: as d. d_v() is what counts
  /// Of a ragged batch: b of them, and q_len and kv_len are the most that one has. Null: each batch
  /// element has q_len queries and kv_len keys.
  const Sequences* sequences = nullptr;

  /// Head dimension of V, O and their gradients; d is that of Q, K and theirs.
  constexpr std::int64_t d_v() const { return own_d_v.value_or(d); }
  constexpr std::int64_t widest_d() const { return std::max(d, d_v()); }
  constexpr std::int64_t group() const { return h / h_kv; }  ///< query heads per K/V head
  constexpr std::int64_t kv_head(std::int64_t query_head) const { return query_head / group(); }
  std::int64_t q_len_of(std::int64_t ib) const {
    return sequences == nullptr ? q_len : (*sequences)[ib].queries;
  }
  std::int64_t kv_len_of(std::int64_t ib) const {
    return sequences == nullptr ? kv_len : (*sequences)[ib].keys;
  }
  /// Of all batch elements.
  std::int64_t queries() const { return q_dims().rows_before(b); }
  std::int64_t keys() const { return k_dims().rows_before(b); }
  Dims q_dims() const { return {b, h, q_len, d, first_query()}; }
  Dims k_dims() const { return {b, h_kv, kv_len, d, first_key()}; }
  Dims v_dims() const { return {b, h_kv, kv_len, d_v(), first_key()}; }
  Dims o_dims() const { return {b, h, q_len, d_v(), first_query()}; }
  Dims lse_dims() const { return {b, h, q_len, 1, first_query()}; }
  constexpr Dims sink_dims() const { return {1, h, 1, 1}; }
  void set(const Sequences* of) {
    sequences = of;
    b = of->count();
    q_len = of->most_queries();
    kv_len = of->most_keys();
  }
  friend bool operator==(const Shape& x, const Shape& y) {
    return x.q_dims() == y.q_dims() && x.k_dims() == y.k_dims() && x.d_v() == y.d_v();
  }

 private:
  const std::int64_t* first_query() const {
    return sequences == nullptr ? nullptr : sequences->first_query().data();
  }
  const std::int64_t* first_key() const {
    return sequences == nullptr ? nullptr : sequences->first_key().data();
  }
};

inline constexpr std::int64_t kMaxHeadDim = 1024;

}  // namespace flashbench
