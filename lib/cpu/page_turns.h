#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/problem.h"
#include "core/visibility.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// An order for reading keys that lie in pages: in turns from several pages. A processor's
/// prefetchers stop where a page ends and begin late in the next one, so that page after page it
/// waits; several that are read at a time keep memory busy. Not where keys are of 8 bits, which
/// take longer to convert than to read.
class PageTurns {
 public:
  explicit PageTurns(const Problem& p)
      : shape_(p.shape),
        wanted_(p.page_size > 0 && size_bytes(p.kv_dtype()) > 1),
        run_(p.page_size < kLongRun ? kRun : kLongRun),
        runs_(run_ == kLongRun || size_bytes(p.kv_dtype()) == 2 ? kFewRuns : kRuns) {}

  bool wanted() const { return wanted_; }
  /// After so many keys they are the same ones as without.
  std::int64_t keys() const { return wanted_ ? runs_ * run_ : 1; }
  std::size_t bytes() const {
    return wanted_ ? static_cast<std::size_t>(shape_.k_dims().rows_before(shape_.b)) *
                         sizeof(std::int32_t)
                   : 0;
  }
  void allocate() { rows_ = Buffer(bytes()); }

  /// For the keys that some query of batch element b sees.
  void load(std::int64_t b, const Visibility& sees) {
    const KeyRange seen = sees.keys(0, sees.q_len());
    const std::int32_t* from = sees.kept().stored().rows;
    std::int32_t* to = rows_.as<std::int32_t>() + shape_.k_dims().rows_before(b);
    std::int64_t i = seen.begin;
    for (; i + keys() <= seen.end; i += keys())
      for (std::int64_t row = 0; row < run_; ++row)
        for (std::int64_t run = 0; run < runs_; ++run)
          to[i + row * runs_ + run] = from[i + run * run_ + row];
    std::copy(from + i, from + seen.end, to + i);
  }
  /// Where the keys lie from number `number` on: the table in place of KeptKeys::stored().
  const std::int32_t* of(std::int64_t b, std::int64_t number) const {
    return rows_.as<std::int32_t>() + shape_.k_dims().rows_before(b) + number;
  }

 private:
  /// Rows of a run, of the smallest page in use and of larger ones: several runs of one page have
  /// their rows in the same sets of a cache. And how many runs; as was best on Zen 5, d = 128.
  static constexpr std::int64_t kRun = 16, kLongRun = 64, kRuns = 4, kFewRuns = 2;

  Shape shape_;
  bool wanted_;
  std::int64_t run_, runs_;
  Buffer rows_;
};

}  // namespace flashbench::cpu
