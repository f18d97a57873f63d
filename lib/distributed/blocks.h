#pragma once

#include <span>
#include <vector>

#include "core/visible.h"
#include "distributed/partition.h"
#include "kernel/partial.h"

namespace flashbench::distributed {

/// Whether how far a key is from a query counts, as in ALiBi, or only who sees whom. Distances are
/// those of the sequence in blocks of rows that lie one behind the other there.
enum class Distances { kDoNotCount, kCount };

/// A block that is seen whole has no limits.
constexpr bool is_whole(const Block& b) {
  return b.visible.behind == Visible::kNoLimit && b.visible.ahead == Visible::kNoLimit;
}

/// The blocks in which `queries` see `keys`, as few as bands of one slope can say; `whole`: who
/// sees whom in the sequence. Rows of blocks are counted as they lie in memory, run behind run.
/// Each pair that is seen lies in one of them, no other pair does. Runs of more than one row all
/// have the same stride, which is 1 where distances count.
std::vector<Block> blocks(const Visible& whole, std::span<const RowRun> queries,
                          std::span<const RowRun> keys, Distances distances);

}  // namespace flashbench::distributed
