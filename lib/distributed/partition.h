#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/enumerators.h"

// Which rows of a sequence a rank owns.
namespace flashbench::distributed {

enum class SequenceLayout {
  kContiguous,  ///< rank r owns chunk r of P: under a causal mask the last one has twice the mean
  /// Chunks r and 2P-1-r of 2P, so that every rank has as much to do under a causal mask
  /// (zigzag_ring_flash_attn.py of zhuzilin/ring-flash-attention; TransformerEngine).
  kZigzag,
  kStriped,  ///< every P-th row ("Striped Attention", Brandon et al. 2023, arXiv 2311.09431)
};

constexpr std::string_view name(SequenceLayout layout) {
  switch (layout) {
    case SequenceLayout::kContiguous:
      return "contiguous";
    case SequenceLayout::kZigzag:
      return "zigzag";
    case SequenceLayout::kStriped:
      return "striped";
  }
  no_such_enumerator();
}

/// Rows first, first + stride, ... of a sequence.
struct RowRun {
  std::int64_t first = 0, count = 0, stride = 1;

  constexpr std::int64_t row(std::int64_t i) const { return first + i * stride; }
  friend constexpr bool operator==(const RowRun&, const RowRun&) = default;
};

/// The rows that a rank owns, as they lie in its memory, one run behind the other: rising, none of
/// the runs empty.
class OwnedRows {
 public:
  constexpr void add(const RowRun& run) {
    if (run.count == 0) return;
    if (size_ > 0 && runs_[size_ - 1].stride == run.stride &&
        runs_[size_ - 1].row(runs_[size_ - 1].count) == run.first)
      runs_[size_ - 1].count += run.count;
    else
      runs_[size_++] = run;
  }
  constexpr std::span<const RowRun> runs() const& { return {runs_.data(), size_}; }
  std::span<const RowRun> runs() && = delete;
  constexpr std::int64_t count() const {
    std::int64_t sum = 0;
    for (const RowRun& run : runs()) sum += run.count;
    return sum;
  }
  /// The row of the sequence that lies at place i.
  constexpr std::int64_t row(std::int64_t i) const {
    const RowRun* run = runs_.data();
    for (; i >= run->count; ++run) i -= run->count;
    return run->row(i);
  }
  /// Part i of `parts`, cut as they lie.
  constexpr OwnedRows part(int i, int parts) const {
    const std::int64_t begin = count() * i / parts, end = count() * (i + 1) / parts;
    OwnedRows rows;
    std::int64_t before = 0;
    for (const RowRun& run : runs()) {
      const std::int64_t from = begin > before ? begin - before : 0;
      const std::int64_t to = end - before < run.count ? end - before : run.count;
      if (from < to) rows.add({run.row(from), to - from, run.stride});
      before += run.count;
    }
    return rows;
  }
  friend constexpr bool operator==(const OwnedRows& x, const OwnedRows& y) {
    if (x.size_ != y.size_) return false;
    for (std::size_t i = 0; i < x.size_; ++i)
      if (!(x.runs_[i] == y.runs_[i])) return false;
    return true;
  }

 private:
  std::array<RowRun, 2> runs_ = {};
  std::size_t size_ = 0;
};

/// n rows over `ranks` ranks. Any n will do: chunks differ by one row at most, and of fewer rows
/// than ranks some ranks have none.
struct Partition {
  std::int64_t n;
  int ranks;
  SequenceLayout layout;

  constexpr OwnedRows owned(int rank) const {
    OwnedRows rows;
    switch (layout) {
      case SequenceLayout::kContiguous:
        rows.add(chunk(rank, ranks));
        return rows;
      case SequenceLayout::kZigzag:
        rows.add(chunk(rank, 2 * ranks));
        rows.add(chunk(2 * ranks - 1 - rank, 2 * ranks));
        return rows;
      case SequenceLayout::kStriped:
        rows.add({rank, n > rank ? (n - rank - 1) / ranks + 1 : 0, ranks});
        return rows;
    }
    no_such_enumerator();
  }

 private:
  constexpr RowRun chunk(int i, int chunks) const {
    const std::int64_t begin = n * i / chunks, end = n * (i + 1) / chunks;
    return {begin, end - begin, 1};
  }
};

/// Every row of a sequence has one owner, and lies behind those before it that have the same.
constexpr bool is_partition(const Partition& p) {
  std::int64_t owned = 0;
  for (int rank = 0; rank < p.ranks; ++rank) {
    const OwnedRows rows = p.owned(rank);
    for (std::int64_t i = 0; i < rows.count(); ++i) {
      if (rows.row(i) < 0 || rows.row(i) >= p.n) return false;
      if (i > 0 && rows.row(i) <= rows.row(i - 1)) return false;
      for (int other = 0; other < rank; ++other)
        for (std::int64_t j = 0; j < p.owned(other).count(); ++j)
          if (p.owned(other).row(j) == rows.row(i)) return false;
    }
    owned += rows.count();
  }
  return owned == p.n;
}
static_assert(is_partition({7, 3, SequenceLayout::kContiguous}));
static_assert(is_partition({7, 3, SequenceLayout::kZigzag}));
static_assert(is_partition({7, 3, SequenceLayout::kStriped}));
static_assert(is_partition({2, 5, SequenceLayout::kZigzag}), "fewer rows than ranks");

}  // namespace flashbench::distributed
