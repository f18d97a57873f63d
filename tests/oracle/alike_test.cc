#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "oracle/cells.h"
#include "oracle/directions.h"
#include "oracle/equal.h"
#include "oracle/expected.h"
#include "oracle/products.h"
#include "oracle/reference.h"
#include "oracle/row_rounding.h"
#include "oracle/sums.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

// What errors have in common.
namespace flashbench::oracle {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(EqualEntries, AreFoundToTheLastOneButForZeros) {
  const Doubles x = {3, 1, 3, 0, -1, 1, 0, 3};
  EXPECT_THAT(equal_entries(x.data(), 8), ElementsAre(ElementsAre(0, 2, 7), ElementsAre(1, 5)));
}

TEST(EqualEntries, DeviateTogetherAndOthersApart) {
  const Doubles deviation = {2, 3, 2, 5};
  const auto of = [&](std::int64_t j) { return deviation[static_cast<std::size_t>(j)]; };
  EXPECT_EQ(noise_of_sum(4, {}, of), 4 + 9 + 4 + 25);
  EXPECT_EQ(noise_of_sum(4, {{0, 2}}, of), 16 + 9 + 25);
}

TEST(EqualEntries, ErrorsOfTheirRowsAddUpAroundTheCentre) {
  Tensor x(Dtype::kF32, {1, 2, 2, 2});
  for (std::int64_t i = 0; i < 8; ++i) x.set(i, static_cast<float>(i));
  const std::vector<WeightedRow> rows = {{0, 1, 0, 4}, {0, 1, 1, 9}};  // {4, 5} and {6, 7}
  const double centre[] = {1, -1};
  Doubles plain = {100, 100}, around = {100, 100};
  add_up_equal(x, rows, nullptr, plain.data());
  add_up_equal(x, rows, centre, around.data());
  // (a + b)² - a² - b² = 2ab
  EXPECT_THAT(plain,
              ElementsAre(DoubleNear(100 + 2 * 8 * 18, 1e-9), DoubleNear(100 + 2 * 10 * 21, 1e-9)));
  EXPECT_THAT(around,
              ElementsAre(DoubleNear(100 + 2 * 6 * 15, 1e-9), DoubleNear(100 + 2 * 12 * 24, 1e-9)));
}

TEST(EqualEntries, ErrorsOfOppositeSignBuyNothing) {
  Tensor x(Dtype::kF32, {1, 1, 2, 1});
  x.set(0, 1);
  x.set(1, -1);
  Doubles out = {5};
  add_up_equal(x, {{0, 0, 0, 1}, {0, 0, 1, 1}}, nullptr, out.data());
  EXPECT_EQ(out[0], 5);
}

TEST(Expected, RowsOfEqualValuesAreOneAndWhatIsBelowTheNoiseIsZero) {
  Expected x(5, 2);
  x.value = {-1, -2, -3, -4, -1, -2, 1e-9, 2, -1e-9, 2};
  x.noise.assign(10, {.stored = 0, .computed = 1e-8});
  EXPECT_EQ(x.values_hash(0), x.values_hash(2));
  EXPECT_NE(x.values_hash(0), x.values_hash(1));
  EXPECT_EQ(x.values_hash(3), x.values_hash(4));
  EXPECT_EQ(x.hash(0), x.values_hash(0));
  x.alike = {1, 2, 3, 4, 5};
  EXPECT_EQ(x.hash(1), 2u);
}

TEST(Expected, CountsTheDistinctValuesOfARow) {
  Expected x(2, 4);
  x.value = {1, 2, 3, 4, 5, 6, 5, 5 * (1 + 1e-12)};  // the last is another only in fp64
  EXPECT_EQ(x.distinct(0), 4);
  EXPECT_EQ(x.distinct(1), 2);
}

TEST(Expected, OfSeveralHeadsIsAsIndependentAsTheLeast) {
  Expected all, one(1, 2), other(1, 2);
  one.independent = 5;
  other.independent = 9;
  other.shared_excess = 7;
  one.shared = other.shared = {0.25};
  all.append(one);
  all.append(other);
  EXPECT_EQ(all.independent, 5);
  EXPECT_EQ(all.shared_excess, 7);
  EXPECT_THAT(all.shared, testing::ElementsAre(0.25, 0.25));
}

TEST(Expected, EveryRowNamesTheRowsThatErrLikeIt) {
  const Problem p = problem({1, 1, 1, 4, 5, 3});
  Inputs in = host::random_inputs(p);
  for (std::int64_t c = 0; c < 3; ++c) in.q.set(9 + c, in.q.at(c));
  const std::int64_t all[] = {0, 1, 2, 3};
  const Definition def(p, in);
  const RowResults r = compute_rows(def, head_directions(def)[0], 0, 0, all);
  for (const Expected* x : {&r.o, &r.lse, &r.dq}) ASSERT_EQ(x->alike.size(), 4u);
  for (const Expected* x : {&r.o, &r.lse}) {
    EXPECT_EQ(x->alike[0], x->alike[3]);
    EXPECT_NE(x->alike[0], x->alike[1]);
    EXPECT_NE(x->alike[1], x->alike[2]);
  }
  EXPECT_NE(r.dq.alike[0], r.dq.alike[3]);  // their dO are others
}

TEST(Panel, RowsThatDifferInTheSignOfZeroAreEqual) {
  Tensor t(Dtype::kF32, {1, 1, 3, 2});
  const float x[] = {0.0f, 1, -0.0f, 1, 0.0f, -1};
  for (std::int64_t i = 0; i < 6; ++i) t.set(i, x[i]);
  Panel panel;
  panel.gather(t, 0, 0, std::vector<std::int64_t>{0, 1, 2});
  EXPECT_EQ(panel.hash(0), panel.hash(1));
  EXPECT_NE(panel.hash(0), panel.hash(2));
}

TEST(PartialSums, ReachFromTheLowestToTheHighest) {
  PartialSums parts(3);
  Doubles sums(3, 0.0), terms(72 * 3, 0.0);
  const Doubles ones(72, 1.0);
  const double steps[3][3] = {{1, -1, 2}, {-3, -3, 3}, {3, 1, -2}};  // 24 terms each
  for (std::size_t n = 0; n < 3; ++n)
    for (std::size_t c = 0; c < 3; ++c) terms[(24 * n + 5) * 3 + c] = steps[n][c];
  parts.add(1, 3, 72, ones.data(), 72, terms.data(), sums);
  EXPECT_THAT(sums, testing::ElementsAre(1, -3, 3));
  EXPECT_EQ(parts.largest_square(0), 9);
  EXPECT_EQ(parts.largest_square(1), 16);  // from 0 on
  EXPECT_EQ(parts.largest_square(2), 25);
}

// Q·Kᵀ of waves along the channels: what partial sums reach counts as much as what they end as.
TEST(Products, SayHowFarTheirSumsReachOnTheWay) {
  Tensor q(Dtype::kF32, {1, 1, 2, 72}), k(Dtype::kF32, {1, 1, 1, 72});
  for (std::int64_t c = 0; c < 72; ++c) {
    q.set(c, c < 24 ? 2.0f : c < 48 ? -1.0f : 0.5f);  // 48, 24, 36
    q.set(72 + c, 1.0f);                              // 24, 48, 72
    k.set(c, 1.0f);
  }
  Panel left, right;
  left.gather(q, 0, 0, std::vector<std::int64_t>{0, 1});
  left.derive();
  right.gather(k, 0, 0, std::vector<std::int64_t>{0});
  right.transpose();
  Doubles sums(6, 0.0), squares(6, 0.0);  // rows 3 apart
  add_products(left, right, {sums.data() + 1, 3}, {squares.data() + 1, 3});
  EXPECT_THAT(sums, testing::ElementsAre(0, 36, 0, 0, 72, 0));
  EXPECT_THAT(squares, testing::ElementsAre(0, 24 * 5.25 + 48 * 48 - 36 * 36, 0, 0, 72, 0));
}

TEST(Directions, AreThoseInWhichRowsDifferWhateverTheirMeanAndTheSizeOfTheirChannels) {
  constexpr std::int64_t kRows = 200, kD = 48;
  std::vector<std::int64_t> rows(kRows);
  std::iota(rows.begin(), rows.end(), 0);
  Problem p;
  p.shape = {1, 1, 1, kRows, kRows, kD};
  Tensor v = host::random_inputs(p).v;
  EXPECT_GT(directions(v, 0, 0, rows), 0.7 * kD) << "random channels";
  for (std::int64_t i = 0; i < v.count(); ++i)
    v.set(i, (v.at(i) + 100) * (i % kD == 3 ? 1e4f : 1.0f));
  EXPECT_GT(directions(v, 0, 0, rows), 0.7 * kD) << "an outlier channel, a large mean";
  for (std::int64_t i = 0; i < v.count(); ++i)
    v.set(i, static_cast<float>(std::cos(0.1 * static_cast<double>(i / kD + i % kD))));
  EXPECT_NEAR(directions(v, 0, 0, rows), 2, 0.3) << "a wave is made of a sine and a cosine";
  for (std::int64_t i = 0; i < v.count(); ++i) v.set(i, 0.1f);
  EXPECT_EQ(directions(v, 0, 0, rows), kD) << "constants say nothing";
  EXPECT_EQ(directions(v, 0, 0, std::span(rows).first(7)), kD) << "nor do few rows";
}

// Every fourth of 128 rows, or every second of 64, is of one kind.
TEST(Directions, OfTwoKindsOfRowsThatTakeTurnsAreOne) {
  constexpr std::int64_t kRows = 128, kD = 48;
  std::vector<std::int64_t> rows(kRows);
  std::iota(rows.begin(), rows.end(), 0);
  Problem p;
  p.shape = {1, 1, 1, kRows, kRows, kD};
  Tensor v = host::random_inputs(p).v;
  host::alternate(v, 1, 0.01f);
  for (const std::size_t count : {64u, 128u})
    EXPECT_NEAR(directions(v, 0, 0, std::span(rows).first(count)), 1, 0.1) << count;
}

/// Of the rows of P of normal scores of deviation `spread`: `kinds` of them that take turns, and
/// within a kind differ by less than bf16 tells apart.
RowRounding rounding_of_kinds(std::int64_t kinds, double spread) {
  constexpr std::int64_t kRows = 64, kKeys = 300;
  Problem p;
  p.shape = {1, 1, 1, kRows, kKeys, kKeys};
  const Inputs in = host::random_inputs(p);
  const Rounding bf16(Dtype::kBf16);
  RowRounding found;
  Doubles rows(kRows * kKeys);
  for (std::int64_t i = 0; i < kRows; ++i)
    for (std::int64_t j = 0; j < kKeys; ++j)
      rows.data()[i * kKeys + j] =
          std::exp(spread * in.q.at(i % kinds * kKeys + j) + 2e-4 * in.k.at(i * kKeys + j)) / 300;
  found = row_rounding(bf16, rows, kRows, kKeys);
  for (std::int64_t i = 0; i < kRows; ++i, ++found.rows) {
    Cells cells(bf16);
    for (std::int64_t j = 0; j < kKeys; ++j) cells.add(rows.data()[i * kKeys + j]);
    found.cells += cells.several();
  }
  return found;
}

// A sum over many cells is not bounded as one rounding is, and moves a channel of all rows.
TEST(RowRounding, OfFewKindsOfRowsMayReachWhatFewNormalErrorsDo) {
  EXPECT_GT(rounding_of_kinds(1, 0.1).excess(), 0.5 * excess(1));
  EXPECT_GT(rounding_of_kinds(2, 0.1).excess(), 0.7 * excess(2));
  EXPECT_LT(rounding_of_kinds(2, 0.1).excess(), excess(1.5));
  EXPECT_EQ(rounding_of_kinds(64, 0.1).excess(), kMostOfAlike) << "all different";
  EXPECT_LT(rounding_of_kinds(1, 1e-5).excess(), 1.1 * kMostOfAlike) << "all in one cell";
  EXPECT_EQ(RowRounding().excess(), kMostOfAlike);
  EXPECT_EQ(RowRounding().independent(), std::numeric_limits<double>::infinity());
  EXPECT_GT(rounding_of_kinds(64, 0.1).independent(), 64);
  EXPECT_NEAR(rounding_of_kinds(2, 0.1).independent(), 2, 1);
}

TEST(RowRounding, OfTwoBlocksIsTheMeanOfBoth) {
  RowRounding found{.alike = 1, .pairs = 1, .cells = 10, .rows = 1};
  found.add({.alike = 2, .pairs = 5, .cells = 20, .rows = 2});
  EXPECT_DOUBLE_EQ(found.independent(), 2);
  EXPECT_DOUBLE_EQ(found.excess(), excess(2));
}

TEST(Weights, AreAsIndependentAsTheirNoiseIsSpread) {
  Weights w;
  w.add(2, 1, 0.5);
  w.add(3, 1, 0.25);
  EXPECT_EQ(w.independent(), 2);
  EXPECT_EQ(w.per_noise(), 13.0 / 2);
  EXPECT_EQ(w.shared, 0.75);
  w.add(0, 98);
  EXPECT_NEAR(w.independent(), 100.0 * 100 / (98 * 98 + 2), 1e-12);
}

TEST(Cells, WeightsWhoseSquaresUnderflowAreNoNan) {
  const Rounding rounding(Dtype::kBf16);
  Cells cells(rounding);
  cells.add(1e-170);
  cells.add(1e-170);
  EXPECT_EQ(cells.alike(), 0);
}

TEST(Cells, OnlyWeightsThatRoundAlikeShareTheirRounding) {
  const Rounding bf16(Dtype::kBf16), f32(Dtype::kF32);
  const auto alike = [](const Rounding& rounding, std::initializer_list<double> weights) {
    Cells cells(rounding);
    for (const double p : weights) cells.add(p);
    return cells.alike();
  };
  const double whole = bf16.alike();
  EXPECT_EQ(alike(bf16, {0.25}), 0);
  EXPECT_LT(alike(bf16, {0.25, 0.125, 0.3, 0.4}), 1e-12 * whole);
  EXPECT_NEAR(alike(bf16, {0.25, 0.25}), whole * (0.25 - 0.125) / 0.25, 1e-12 * whole);
  EXPECT_NEAR(alike(bf16, {0.25, 0.25, 0.5}), whole * (0.25 - 0.125), 1e-12 * whole);
  EXPECT_EQ(alike(f32, {0.25, 0.25}), 0);
  EXPECT_EQ(alike(bf16, {}), 0);
}

}  // namespace
}  // namespace flashbench::oracle
