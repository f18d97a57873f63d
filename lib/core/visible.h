#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define FB_HD __host__ __device__
#else
#define FB_HD
#endif

// Who sees whom, before padding: one definition for FLOP counts, the kernels of the processor and,
// since it is plain data, those of a GPU. (The oracle has its own, literal one.)
namespace flashbench {

/// Keys [begin, end), or queries.
struct KeyRange {
  std::int32_t begin, end;

  FB_HD constexpr std::int32_t size() const { return end - begin; }
  FB_HD constexpr bool empty() const { return begin >= end; }
  FB_HD constexpr bool holds(std::int64_t i) const { return begin <= i && i < end; }
  FB_HD friend constexpr bool operator==(const KeyRange& a, const KeyRange& b) {
    return a.begin == b.begin && a.end == b.end;
  }
};

/// How much of a tile of scores counts.
enum class TileCover { kEmpty, kFull, kPartial };

/// The keys that each query of a block sees: a band around the diagonal on which key = query +
/// `diagonal`. Query q sees key k iff  q + diagonal - behind <= k <= q + diagonal + ahead.
///
/// Both ends of keys(q) never fall as q rises, nor do those of queries(key) as the key does; tile
/// loops rely on that, on nothing else. A further kind of mask is a further case of keys(),
/// queries() and pairs() that keeps it.
struct Visible {
  static constexpr std::int32_t kNoLimit = -1;

  std::int32_t q_len, kv_len;
  std::int32_t diagonal;           ///< the key on which query 0 is aligned; may lie outside
  std::int32_t behind = kNoLimit;  ///< how many keys before its own a query sees
  std::int32_t ahead = kNoLimit;   ///< how many after it

  FB_HD static constexpr Visible all(std::int32_t q_len, std::int32_t kv_len) {
    return {q_len, kv_len, kv_len - q_len};
  }
  /// Aligned at the bottom right: the last query sees every key.
  FB_HD static constexpr Visible causal(std::int32_t q_len, std::int32_t kv_len) {
    return {q_len, kv_len, kv_len - q_len, kNoLimit, 0};
  }
  /// Queries [q0, q0 + queries) against keys [k0, k0 + keys) of this: a block of a longer sequence.
  FB_HD constexpr Visible block(std::int32_t q0, std::int32_t queries, std::int32_t k0,
                                std::int32_t keys) const {
    return {queries, keys, diagonal + q0 - k0, behind, ahead};
  }

  FB_HD constexpr KeyRange keys(std::int32_t q) const {
    return band(q + diagonal, behind, ahead, kv_len);
  }
  FB_HD constexpr KeyRange queries(std::int32_t key) const {
    return band(key - diagonal, ahead, behind, q_len);
  }
  /// All keys that queries [q, q + rows) see, and what lies between them.
  FB_HD constexpr KeyRange keys(std::int32_t q, std::int32_t rows) const {
    return {keys(q).begin, keys(q + rows - 1).end};
  }
  /// How many pairs of a query and a key that it sees there are: sum of keys(q).size() over all q.
  FB_HD constexpr std::int64_t pairs() const {
    const std::int64_t before =
        behind == kNoLimit ? 0 : sum_of_clamped(std::int64_t{diagonal} - behind);
    const std::int64_t until = ahead == kNoLimit
                                   ? std::int64_t{q_len} * kv_len
                                   : sum_of_clamped(std::int64_t{diagonal} + ahead + 1);
    return until - before;
  }
  FB_HD constexpr TileCover cover(std::int32_t q, std::int32_t rows, std::int32_t key,
                                  std::int32_t columns) const {
    const KeyRange first = keys(q), last = keys(q + rows - 1);
    if (last.end <= key || first.begin >= key + columns) return TileCover::kEmpty;
    return last.begin <= key && first.end >= key + columns ? TileCover::kFull : TileCover::kPartial;
  }

 private:
  /// [center - below, center + above] within [0, length). An empty one lies at the end that it is
  /// beyond, so that neither end falls.
  FB_HD static constexpr KeyRange band(std::int32_t center, std::int32_t below, std::int32_t above,
                                       std::int32_t length) {
    const std::int32_t begin = below == kNoLimit ? 0 : clamped(center - below, length);
    const std::int32_t end = above == kNoLimit ? length : clamped(center + above + 1, length);
    return {begin, end};
  }
  FB_HD static constexpr std::int32_t clamped(std::int32_t i, std::int32_t length) {
    return i < 0 ? 0 : i > length ? length : i;
  }
  /// Sum of `first` + q, clamped to [0, kv_len], over all q.
  FB_HD constexpr std::int64_t sum_of_clamped(std::int64_t first) const {
    return sum_of_clamped_below(first + q_len) - sum_of_clamped_below(first);
  }
  /// The same of 0, 1, ..., end - 1: the triangle below kv_len, then kv_len each.
  FB_HD constexpr std::int64_t sum_of_clamped_below(std::int64_t end) const {
    if (end <= 0) return 0;
    const std::int64_t rising = end < kv_len ? end : kv_len;
    return rising * (rising - 1) / 2 + (end - rising) * kv_len;
  }
};
static_assert(Visible::causal(4, 4).keys(0) == KeyRange{0, 1});
static_assert(Visible::causal(7, 3).keys(3).empty(),
              "more queries than keys: early rows are empty");
static_assert(Visible::causal(4, 6).pairs() == 3 + 4 + 5 + 6);

}  // namespace flashbench
