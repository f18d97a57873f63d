#include "core/io_model.h"

#include <gtest/gtest.h>

#include "core/work.h"

namespace flashbench {
namespace {

constexpr std::size_t kHuge = std::size_t{1} << 40;

Problem problem(std::int64_t n, std::int64_t d, Pass pass = Pass::kForward) {
  Problem p;
  p.shape = {1, 1, 1, n, n, d};
  p.pass = pass;
  return p;
}

TEST(IoModel, NormalForwardIsAlgorithm0) {
  // n = 1024, d = 64, f32: Q, K, V, O once; S written and read, P written and read; LSE.
  const double nd = 1024 * 64 * 4.0, nn = 1024 * 1024 * 4.0;
  EXPECT_DOUBLE_EQ(io_bytes(problem(1024, 64), 64, kHuge).normal, 4 * nd + 4 * nn + 1024 * 4);
}

TEST(IoModel, PaperForwardIsAlgorithm1) {
  // 16 blocks of 64 keys: Q and O read and O written in each, with m and l.
  const double nd = 1024 * 64 * 4.0;
  EXPECT_DOUBLE_EQ(io_bytes(problem(1024, 64), 64, kHuge).paper,
                   2 * nd + 16 * (3 * nd + 4 * 1024 * 4));
}

TEST(IoModel, FlashWithAllOfItInFastMemoryMovesEveryOperandOnce) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
    const Problem p = problem(1024, 64, pass);
    const double once = count_work(p, expected_visible(p)).bytes;
    EXPECT_NEAR(io_bytes(p, 64, kHuge).flash / once, 1, pass == Pass::kForward ? 0.001 : 0.35)
        << "backward also reads O and dO for D";
  }
}

TEST(IoModel, ABiasIsReadOnceAHeadAndItsGradientWritten) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
    Problem p = problem(256, 64, pass);
    p.shape.h = p.shape.h_kv = 3;
    const IoBytes without = io_bytes(p, 64, kHuge);
    p.bias = Bias::kRandom, p.bias_shape = BiasShape::kShared;
    const double once = 3 * 256 * 256 * 4.0;
    EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).flash - without.flash, once);
    EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).paper - without.paper, once);
    p.bias_grad = true;
    EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).flash - without.flash,
                     pass == Pass::kForward ? once : 2 * once);
    EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).normal - without.normal, once);
  }
}

TEST(IoModel, ValuesOfAnotherWidthMoveTheirOwnBytes) {
  Problem p = problem(1024, 192);
  p.shape.own_d_v = 128;
  const double q = 1024 * 192 * 4.0, o = 1024 * 128 * 4.0, row = 1024 * 4.0, nn = 1024 * row;
  EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).normal, 2 * q + 2 * o + 4 * nn + row);
  EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).paper, q + o + 16 * (q + 2 * o + 4 * row));
  EXPECT_DOUBLE_EQ(io_bytes(p, 64, kHuge).flash, 2 * q + 2 * o + row);
}

TEST(IoModel, SmallerFastMemoryMovesMore) {
  const Problem p = problem(4096, 64);
  double last = 0;
  for (const std::size_t memory : {kHuge, std::size_t{1} << 20, std::size_t{1} << 16}) {
    const double bytes = io_bytes(p, 64, memory).flash;
    EXPECT_GT(bytes, last);
    last = bytes;
  }
}

TEST(IoModel, FlashMovesLeastAndNormalMostOfLongSequences) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth}) {
    const IoBytes io = io_bytes(problem(8192, 64, pass), 256, std::size_t{1} << 20);
    EXPECT_LT(io.flash, io.paper);
    EXPECT_LT(io.paper, io.normal);
  }
}

TEST(IoModel, KeysThatNobodySeesAreNotMoved) {
  Problem p = problem(1, 64);
  p.shape.kv_len = 16384;
  p.causal = true;
  p.window_left = 1023;
  for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
    p.pass = pass;
    const double once = count_work(p, expected_visible(p)).bytes;
    EXPECT_NEAR(io_bytes(p, 64, kHuge).flash / once, 1, 0.01);
  }
}

TEST(IoModel, ACausalMaskSparesBlocksButNotNormal) {
  Problem p = problem(4096, 64);
  const IoBytes full = io_bytes(p, 64, std::size_t{1} << 16);
  p.causal = true;
  const IoBytes causal = io_bytes(p, 64, std::size_t{1} << 16);
  EXPECT_NEAR(causal.flash / full.flash, 0.5, 0.1);
  EXPECT_NEAR(causal.paper / full.paper, 0.5, 0.1);
  EXPECT_EQ(causal.normal, full.normal);
}

}  // namespace
}  // namespace flashbench
