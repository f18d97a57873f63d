#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/problem.h"
#include "core/row_map.h"
#include "core/tensor.h"
#include "core/visible.h"

namespace flashbench {

/// The masks of a problem but for padding, of one batch element: all are alike but in a ragged
/// batch.
Visible visible_of(const Problem& p, std::int64_t b = 0);

/// The keys of one batch element that count, numbered in order: kept by the padding mask and seen
/// by some query. Kernels load only these, so a NaN anywhere else changes nothing, and no tile is
/// ever masked for padding.
class KeptKeys {
 public:
  /// `mask` is one row of the [b, kv_len] padding mask, or empty: all of `seen` are kept.
  KeptKeys(std::span<const std::uint8_t> mask, KeyRange seen);

  std::int64_t count() const { return count_; }
  /// How many of keys [0, k) are kept: the number of key k where it is.
  std::int64_t before(std::int64_t k) const;
  bool holds(std::int64_t k) const { return before(k + 1) != before(k); }
  RowMap rows() const { return {seen_.begin, before_.empty() ? nullptr : position_.data()}; }
  /// Where they lie: in their tensors, or in a pool, counted from the first row of a head in it.
  RowMap stored() const { return stored_.empty() ? rows() : RowMap{0, stored_.data()}; }
  /// They lie in the pages that `table` names, of which each holds `page_size` rows of a head and
  /// begins `page_rows` rows behind the one before it.
  void lie_in_pages(std::span<const std::int32_t> table, std::int64_t page_size,
                    std::int64_t page_rows);

  /// Bytes that the tables of one batch element take.
  static constexpr std::size_t bytes(bool padded, std::int64_t kv_len) {
    return padded ? static_cast<std::size_t>(2 * kv_len + 1) * sizeof(std::int32_t) : 0;
  }

 private:
  KeyRange seen_;
  std::int64_t count_;
  std::vector<std::int32_t> position_, before_;  // empty when all of seen_ are kept
  std::vector<std::int32_t> stored_;             // empty unless they lie in pages
};

/// Which kept keys, by their numbers, each query of one batch element sees, and the inverse.
/// As in Visible, neither end ever falls.
class Visibility {
 public:
  Visibility(std::span<const std::uint8_t> mask, const Visible& visible);

  std::int64_t q_len() const { return visible_.q_len; }
  std::int64_t kv_len() const { return visible_.kv_len; }
  /// The key, kept or not, on which a query is aligned; it may lie outside.
  std::int64_t own_key(std::int64_t q) const { return q + visible_.diagonal; }
  const KeptKeys& kept() const { return kept_; }
  /// Kept keys lie in pages; see KeptKeys.
  void lie_in_pages(std::span<const std::int32_t> table, std::int64_t page_size,
                    std::int64_t page_rows) {
    kept_.lie_in_pages(table, page_size, page_rows);
  }
  KeyRange keys(std::int64_t q) const { return numbers(visible_.keys(index(q))); }
  /// All keys that queries [q, q + rows) see, and what lies between them.
  KeyRange keys(std::int64_t q, std::int64_t rows) const {
    return numbers(visible_.keys(index(q), index(rows)));
  }
  /// The queries that see kept key number i.
  KeyRange queries(std::int64_t i) const { return visible_.queries(index(kept_.rows().row(i))); }

 private:
  static std::int32_t index(std::int64_t i) { return static_cast<std::int32_t>(i); }
  KeyRange numbers(KeyRange keys) const {
    return {index(kept_.before(keys.begin)), index(kept_.before(keys.end))};
  }

  Visible visible_;
  KeptKeys kept_;
};

/// One Visibility per batch element of a [b, kv_len] padding mask (empty: nothing is padded).
std::vector<Visibility> visibilities(std::span<const std::uint8_t> key_mask, const Problem& p);
/// Looks up where kept keys lie that are in pages. Nothing where they are not.
void look_up_pages(const Inputs& in, const Problem& p, std::vector<Visibility>& sees);

}  // namespace flashbench
