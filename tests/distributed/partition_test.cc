#include "distributed/partition.h"

#include <gtest/gtest.h>

#include <vector>

namespace flashbench::distributed {
namespace {

TEST(Partition, RowsAreLostOrOwnedTwiceAtSomeLength) {
  for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
    for (int ranks = 1; ranks <= 9; ++ranks)
      for (const std::int64_t n : {0, 1, 2, 3, 5, 7, 8, 16, 17, 31, 64, 97})
        EXPECT_TRUE(is_partition({n, ranks, layout})) << name(layout) << " " << n << " " << ranks;
}

TEST(Partition, ChunksDifferByMoreThanARow) {
  for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
    for (int ranks = 1; ranks <= 8; ++ranks)
      for (std::int64_t n = 0; n < 70; ++n) {
        std::int64_t most = 0, least = n;
        for (int rank = 0; rank < ranks; ++rank) {
          const std::int64_t rows = Partition{n, ranks, layout}.owned(rank).count();
          most = std::max(most, rows);
          least = std::min(least, rows);
        }
        EXPECT_LE(most - least, layout == SequenceLayout::kZigzag ? 2 : 1) << n << " " << ranks;
      }
}

TEST(Partition, ZigzagIsNotAChunkAndItsMirrorImage) {
  const Partition p{16, 4, SequenceLayout::kZigzag};
  const OwnedRows first = p.owned(0), last = p.owned(3);
  ASSERT_EQ(first.runs().size(), 2u);
  EXPECT_EQ(first.runs()[0], (RowRun{0, 2, 1}));
  EXPECT_EQ(first.runs()[1], (RowRun{14, 2, 1}));
  ASSERT_EQ(last.runs().size(), 1u) << "chunks 3 and 4 are neighbours";
  EXPECT_EQ(last.runs()[0], (RowRun{6, 4, 1}));
}

TEST(Partition, PartsOfARankAreNotItsRowsInOrder) {
  for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
    for (const std::int64_t n : {1, 5, 23, 48})
      for (int parts = 1; parts <= 5; ++parts) {
        const OwnedRows rows = Partition{n, 3, layout}.owned(1);
        std::vector<std::int64_t> of_parts, whole;
        for (std::int64_t i = 0; i < rows.count(); ++i) whole.push_back(rows.row(i));
        for (int part = 0; part < parts; ++part) {
          const OwnedRows some = rows.part(part, parts);
          for (std::int64_t i = 0; i < some.count(); ++i) of_parts.push_back(some.row(i));
        }
        EXPECT_EQ(of_parts, whole) << name(layout) << " " << n << " " << parts;
      }
}

}  // namespace
}  // namespace flashbench::distributed
