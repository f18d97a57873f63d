// Where wgmma's descriptors point.
#include "ptx/opcodes/matrix_descriptor.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

namespace flashbench::ptx {
namespace {

using U32 = std::uint32_t;
constexpr Swizzle kSwizzles[] = {Swizzle::k32, Swizzle::k64, Swizzle::k128};

MatrixDescriptor at(U32 start, Swizzle swizzle) {
  return {.start = start,
          .leading = 4096,
          .stride = period_of(swizzle),
          .base_offset = 0,
          .swizzle = swizzle};
}

TEST(MatrixDescriptor, Fields) {
  const MatrixDescriptor d =
      decode_descriptor(1ull << 62 | 3ull << 49 | 64ull << 32 | 1ull << 16 | 5);
  EXPECT_EQ(d.start, 80u);
  EXPECT_EQ(d.leading, 16u);
  EXPECT_EQ(d.stride, 1024u);
  EXPECT_EQ(d.base_offset, 3u);
  EXPECT_EQ(d.swizzle, Swizzle::k128);
  EXPECT_EQ(decode_descriptor(2ull << 62).swizzle, Swizzle::k64);
  EXPECT_EQ(decode_descriptor(3ull << 62).swizzle, Swizzle::k32);
  EXPECT_EQ(decode_descriptor(0).swizzle, Swizzle::kNone);
}

// A correct kernel that is refused is worse than a wrong one that is not: every start that CUTLASS,
// Triton and our own kernels use.
TEST(MatrixDescriptor, TilesAtThePeriodAndStepsInsideOfThemAreLegal) {
  for (const Swizzle s : kSwizzles)
    for (const U32 tile : {period_of(s), 5 * period_of(s), 64 * span_of(s)}) {
      for (U32 step = 0; step + 32 <= span_of(s); step += 32)  // along k
        EXPECT_FALSE(misaligned(at(tile + step, s), 256, Major::kK)) << tile << " " << step;
      // 16 rows of k, columns in whole spans.
      EXPECT_FALSE(misaligned(at(tile + 16 * span_of(s), s), 256, Major::kRows)) << tile;
      // A narrow product from the middle of a span.
      EXPECT_FALSE(misaligned(at(tile + 16, s), 8, Major::kRows)) << tile;
    }
  EXPECT_FALSE(misaligned(at(16, Swizzle::kNone), 64, Major::kK));
}

TEST(MatrixDescriptor, TilesBesideThePeriodAreNot) {
  for (const Swizzle s : kSwizzles)
    for (U32 off = 16; off < period_of(s); off += 16) {
      const U32 start = 8 * period_of(s) + off;
      const bool is_step = off < span_of(s) && off % 32 == 0;
      EXPECT_EQ(misaligned(at(start, s), 64, Major::kK).has_value(), !is_step) << off;
      EXPECT_TRUE(misaligned(at(start, s), 64, Major::kRows)) << off;
    }
}

// Triton's .align 16 behind 16 or 32 bytes of static memory: some step along k is noticed.
TEST(MatrixDescriptor, SomeStepOfAMisalignedTileIsNoticed) {
  for (const Swizzle s : kSwizzles)
    for (U32 off = 16; off < period_of(s); off += 16) {
      bool noticed = false;
      for (U32 step = 0; step < span_of(s); step += 32)
        noticed = noticed || misaligned(at(period_of(s) + off + step, s), 64, Major::kK);
      EXPECT_TRUE(noticed) << off;
    }
}

// What TMA puts down with a swizzle, wgmma finds with the same one, in either order of the axes.
TEST(MatrixDescriptor, ChunksLieWhereBoxesPutThem) {
  constexpr U32 kTile = 8192, kBox = 32768;
  for (const Swizzle s : kSwizzles) {
    const U32 span = span_of(s);
    MatrixDescriptor d = at(kTile, s);
    std::size_t seen = 0;
    for_chunks(d, 0, 64, Major::kK, [&](U32 offset, U32 row, U32 k) {
      EXPECT_EQ(offset, swizzled(kTile + row * span + k * 2, s)) << row << " " << k;
      ++seen;
    });
    EXPECT_EQ(seen, 128u);
    d.leading = kBox;  // one box has span / 2 of the rows
    for_chunks(d, 0, 64, Major::kRows, [&](U32 offset, U32 row, U32 k) {
      const U32 box = row / (span / 2), column = row % (span / 2);
      EXPECT_EQ(offset, swizzled(kTile + box * kBox + k * span + column * 2, s)) << row << " " << k;
      ++seen;
    });
    EXPECT_EQ(seen, 256u);
  }
}

// Without one, matrices of 8 rows x 16 bytes: PTX' canonical layouts of 9.7.15.5.1.
TEST(MatrixDescriptor, WithoutASwizzleEightRowsLieTogether) {
  const MatrixDescriptor d{.start = 2048, .leading = 128, .stride = 256};
  std::map<std::pair<U32, U32>, U32> k_major, row_major;
  for_chunks(d, 0, 16, Major::kK, [&](U32 at, U32 row, U32 k) { k_major[{row, k}] = at; });
  EXPECT_EQ((k_major[{3, 0}]), 2048u + 3 * 16);
  EXPECT_EQ((k_major[{3, 8}]), 2048u + 128 + 3 * 16);
  EXPECT_EQ((k_major[{11, 8}]), 2048u + 256 + 128 + 3 * 16);
  for_chunks(d, 0, 16, Major::kRows, [&](U32 at, U32 row, U32 k) { row_major[{row, k}] = at; });
  EXPECT_EQ((row_major[{0, 5}]), 2048u + 5 * 16);
  EXPECT_EQ((row_major[{8, 5}]), 2048u + 256 + 5 * 16);
  EXPECT_EQ((row_major[{8, 13}]), 2048u + 256 + 128 + 5 * 16);
}

}  // namespace
}  // namespace flashbench::ptx
