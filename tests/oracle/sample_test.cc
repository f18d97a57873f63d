#include "oracle/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "oracle/rows.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

using testing::Contains;
using testing::IsSubsetOf;
using testing::SizeIs;

TEST(Sample, HasTheEndsOfEachHeadOfEachBatchElement) {
  const Problem p = problem({3, 10, 5, 60000, 40000, 4});
  const std::vector<HeadSample> rows = sample_rows(p);
  ASSERT_EQ(rows.size(), 30u);
  for (std::size_t n = 0; n < 30; ++n) {
    EXPECT_EQ(rows[n].b, static_cast<std::int64_t>(n / 10));
    EXPECT_EQ(rows[n].h, static_cast<std::int64_t>(n % 10));
    EXPECT_THAT(rows[n].rows, SizeIs(3));  // 64 of the problem, rounded up
    EXPECT_THAT((std::vector<std::int64_t>{0, 59999}), IsSubsetOf(rows[n].rows));
  }
  const std::vector<HeadSample> keys = sample_keys(p, host::random_inputs(p));
  ASSERT_EQ(keys.size(), 15u);
  for (const HeadSample& head : keys) {
    EXPECT_THAT(head.rows, SizeIs(1 + 3));
    EXPECT_THAT((std::vector<std::int64_t>{0, 39999}), IsSubsetOf(head.rows));
  }
  for (const HeadSample& head : sample_rows(problem({10, 20, 5, 60000, 40000, 4})))
    EXPECT_THAT(head.rows, SizeIs(3));
}

// 50 ms of a core: of a small problem nothing is left to chance.
TEST(Sample, OfASmallProblemIsAllOfItAndOfALargeOneNoMoreThanItsShareOfTime) {
  const Problem small = problem({1, 2, 2, 300, 300, 64});
  for (const HeadSample& head : sample_rows(small)) EXPECT_THAT(head.rows, SizeIs(300));
  for (const HeadSample& head : sample_keys(small, host::random_inputs(small)))
    EXPECT_THAT(head.rows, SizeIs(300));
  const Problem medium = problem({1, 2, 2, 2000, 2000, 64});
  const std::size_t rows = sample_rows(medium)[0].rows.size();
  EXPECT_GT(rows, 64u);
  const double work = 2.0 * static_cast<double>(rows) * 2000 *
                      pair_work(medium, row_products(medium.needs_gradients()));
  EXPECT_LE(work, 4e8);
  EXPECT_GE(work, 3.9e8);
}

TEST(Sample, LooksAtBothSidesOfTileBoundariesAllOverALongHead) {
  double far = 0, before = 0, after = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Problem p = problem({1, 1, 1, 1 << 20, 64, 4});
    p.seed = seed;
    const std::vector<HeadSample> sample = sample_rows(p);
    for (const std::int64_t r : sample[0].rows) {
      if (r < 1 << 16) continue;
      ++far;
      before += r % 16 == 15 ? 1 : 0;
      after += r % 16 == 0 ? 1 : 0;
    }
  }
  EXPECT_GT(far, 200);
  EXPECT_GT(before / far, 0.2);  // 1/16 by chance
  EXPECT_GT(after / far, 0.2);
}

TEST(Sample, LooksAtTheFirstRowsOfACausalMaskThatSeeAKey) {
  const Problem p = problem({1, 1, 1, 100000, 64, 4}, Dtype::kF32, true);
  EXPECT_THAT((std::vector<std::int64_t>{1, 99935, 99936, 99937}),
              IsSubsetOf(sample_rows(p)[0].rows));
}

TEST(Sample, LooksAtBothSidesOfWhereAWindowBegins) {
  Problem p = problem({1, 1, 1, 100000, 90000, 4});
  p.window_left = 30000;
  EXPECT_THAT((std::vector<std::int64_t>{40000, 40001}), IsSubsetOf(sample_rows(p)[0].rows))
      << "the last that sees key 0, and the first that does not";
  p.window_left.reset();
  p.window_right = 20000;
  EXPECT_THAT((std::vector<std::int64_t>{79998, 79999}), IsSubsetOf(sample_rows(p)[0].rows))
      << "the last that does not see the last key, and the first that does";
}

// Of keys that nobody sees there is nothing to learn: their noise is 0.
TEST(Sample, TakesOnlyKeysThatSomeQuerySees) {
  Problem p = problem({1, 1, 1, 10, 50000, 4}, Dtype::kF32, true);
  p.window_left = 100;
  Inputs in = host::random_inputs(p);
  in.k.set(in.k.dims().index(0, 0, 123, 0), 1e6f);  // the longest, and unseen
  const std::vector<HeadSample> keys = sample_keys(p, in);
  EXPECT_THAT(keys[0].rows, testing::Each(testing::AllOf(testing::Ge(49890), testing::Lt(50000))));
  EXPECT_THAT((std::vector<std::int64_t>{49890, 49999}), IsSubsetOf(keys[0].rows));
  EXPECT_THAT(keys[0].rows, SizeIs(110));
}

// Most of the weight of many queries lies on the longest key.
TEST(Sample, LooksAtTheLongestKeyThatIsKept) {
  Problem p = problem({2, 2, 2, 100000, 50000, 4});
  p.padding = PaddingMask::kFile;
  Inputs in = host::random_inputs(p);
  in.key_mask.assign(2 * 50000, 1);
  in.key_mask[50000 + 31234] = 0;
  const auto enlarge = [&](std::int64_t b, std::int64_t h, std::int64_t j, float times) {
    for (std::int64_t c = 0; c < 4; ++c)
      in.k.set(in.k.dims().index(b, h, j, c), c == 2 ? -times : 0);
  };
  enlarge(1, 1, 31234, 200);
  enlarge(1, 1, 41234, 100);
  enlarge(0, 1, 12345, 100);
  const std::vector<HeadSample> keys = sample_keys(p, in);
  EXPECT_THAT(keys[1].rows, Contains(12345));
  EXPECT_THAT(keys[3].rows, Contains(41234));
}

TEST(ChooseLevel, GradientsAreTheMostOfTheWork) {
  // Between what a forward pass costs (4·64 + 100 a pair) and one with gradients (three times
  // that).
  const double pairs = 8e9 * omp_get_max_threads() / 700;
  const auto n = static_cast<std::int64_t>(std::sqrt(pairs));
  Problem p = problem({1, 1, 1, n, n, 64});
  EXPECT_EQ(choose_level(VerifyMode::kAuto, p), VerifyLevel::kSample);
  p.pass = Pass::kForward;
  EXPECT_EQ(choose_level(VerifyMode::kAuto, p), VerifyLevel::kFull);
}

}  // namespace
}  // namespace flashbench::oracle
