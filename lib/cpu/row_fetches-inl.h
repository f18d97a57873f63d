// What products with rows in place ask for while they compute: once per Highway target, see
// tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_ROW_FETCHES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_ROW_FETCHES_INL_H_
#undef FLASHBENCH_CPU_ROW_FETCHES_INL_H_
#else
#define FLASHBENCH_CPU_ROW_FETCHES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
HWY_INLINE const T* row_pointer(const RowSource& b, std::int64_t j) {
  const std::int64_t r = b.position == nullptr ? j : b.position[j];
  return static_cast<const T*>(b.base) + r * b.row_stride;
}

/// Rows [j, j + kCols) of B.
template <typename T, int kCols>
struct RowPointers {
  const T* row[kCols];
  RowPointers() = default;
  RowPointers(const RowSource& b, std::int64_t j) {
    for (int i = 0; i < kCols; ++i) row[i] = row_pointer<T>(b, j + i);
  }
};

template <typename T>
inline constexpr std::int64_t kLineElements = 64 / static_cast<std::int64_t>(sizeof(T));

/// What a core is asked for faster than its memory answers it drops (Zen 4: a third at 9 cycles a
/// line, nothing at 12), so lines are asked for once more this many rows ahead of their use: into
/// L1 or into L2, as the Prefetch says. Not by products of 256 bits, which take longer than memory
/// does. Into L2, Zen 4 and 5: fewer than 16 rows come too late, 64 reach too far beyond a block.
inline constexpr bool kAsksAhead = HWY_TARGET == HWY_AVX3;
inline constexpr std::int64_t kRowsAheadIntoL1 = 16, kRowsAheadIntoL2 = 32;

/// Fetches rows that lie one behind the other. Into L1 they are asked for once.
template <bool kIntoL1>
struct FetchesInOrder {
  static constexpr bool kInOrder = true;
  static constexpr bool kAsks = kAsksAhead && !kIntoL1;
  static constexpr std::int64_t kAhead = kRowsAheadIntoL2;

  explicit FetchesInOrder(const Prefetch& p) : next(p.next), step(p.step) {}
  /// `step` bytes.
  HWY_INLINE void fetch() {
    for (std::int64_t i = 0; i < step; i += 64) __builtin_prefetch(next + i, 0, kIntoL1 ? 3 : 2);
    next += step;
  }
  HWY_INLINE void ask(const void* line) const { __builtin_prefetch(line, 0, 2); }
  /// Row i of what is read after B, if it is asked for ahead.
  const std::byte* row_beyond(std::int64_t /*i*/) const { return nullptr; }

  const std::byte* next;
  std::int64_t step;
};

/// Fetches rows that lie where a table says. What is asked for ahead runs on into the next block:
/// no prefetcher of the processor can know where that is.
template <bool kIntoL1>
struct FetchesInPages {
  static constexpr bool kInOrder = false;
  static constexpr bool kAsks = kAsksAhead;
  static constexpr std::int64_t kAhead = kIntoL1 ? kRowsAheadIntoL1 : kRowsAheadIntoL2;

  explicit FetchesInPages(const Prefetch& p) : block(p), step(p.rows > 0 ? p.step : 0) {
    if (step > 0) turn_to(0);
  }
  HWY_INLINE void fetch() {
    for (std::int64_t i = 0; i < step; i += 64) ask(next + i);
    next += step;
    if ((left -= step) > 0) return;
    if (++at < block.rows) return turn_to(at);
    step = 0;
    left = 1;
  }
  HWY_INLINE void ask(const void* line) const { __builtin_prefetch(line, 0, kIntoL1 ? 3 : 2); }
  HWY_INLINE const std::byte* row_beyond(std::int64_t i) const {
    return i < block.rows ? block.base + block.position[i] * block.row_bytes : nullptr;
  }

 private:
  HWY_INLINE void turn_to(std::int64_t row) {
    next = block.base + block.position[row] * block.row_bytes;
    left = block.row_bytes;
  }

  const Prefetch& block;
  std::int64_t step;
  const std::byte* next = nullptr;
  std::int64_t left = 1;  ///< bytes of the row at hand that are not yet fetched; at the end more
  std::int64_t at = 0;    ///< its number
};

/// Calls f with the type of what fetches while B is read. Apart, since what pages need would take
/// registers from rows in order (1.16 of the time of P·V on AVX2 from a cache).
template <typename F>
HWY_INLINE void with_fetches(const RowSource& b, const Prefetch& prefetch, F&& f) {
  if (b.position != nullptr || prefetch.position != nullptr) {
    if (prefetch.close)
      f.template operator()<FetchesInPages<true>>();
    else
      f.template operator()<FetchesInPages<false>>();
  } else if (prefetch.close) {
    f.template operator()<FetchesInOrder<true>>();
  } else {
    f.template operator()<FetchesInOrder<false>>();
  }
}

/// The row that is to be asked for while row j of B's n is read; null: none.
template <typename T, typename Fetches>
HWY_INLINE const T* row_ahead(const Fetches& fetches, const RowSource& b, std::int64_t j,
                              std::int64_t n) {
  j += Fetches::kAhead;
  if (j < n) return row_pointer<T>(b, j);
  return reinterpret_cast<const T*>(fetches.row_beyond(j - n));
}

/// So many elements of it.
template <typename T, typename Fetches>
HWY_INLINE void ask_for(const Fetches& fetches, const T* row, std::int64_t elements) {
  for (std::int64_t p = 0; p < elements; p += kLineElements<T>) fetches.ask(row + p);
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif
