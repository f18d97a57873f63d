// Inputs of few kinds: of rows that alternate, repeat or are one-hot. What their errors have in
// common adds up where the results themselves cancel.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "oracle/cells.h"
#include "oracle/chain.h"
#include "oracle/mostly_equal.h"
#include "oracle/panel.h"
#include "oracle/repeated.h"
#include "oracle/verify.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

/// x(row, channel, what it held: normal numbers)
void fill(Tensor& x, const std::function<double(std::int64_t, std::int64_t, double)>& of) {
  const Dims& dims = x.dims();
  for (std::int64_t i = 0; i < x.count(); ++i)
    x.set(i, static_cast<float>(of(i / dims.d % dims.rows, i % dims.d, x.at(i))));
}

double alternating(std::int64_t row) { return row % 2 == 0 ? 1 : -1; }

void expect_accepted(const Problem& p, const Inputs& in, const char* what) {
  const Outputs out = host::attention(p, in);
  for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
    const Verdict v = Reference(p, in, level).verify(out);
    EXPECT_GE(v.tensors.size(), 2u);
    for (const TensorVerdict& t : v.tensors)
      EXPECT_LE(t.error_over_noise, 1.6)
          << what << ", seed " << p.seed << ", " << flashbench::name(p.dtype) << ", " << t.tensor
          << ", " << flashbench::name(t.scope) << ", " << name(level);
  }
}

/// The same, and that errors next to the noise are noticed.
void expect_judged(const Problem& p, const Inputs& in, std::initializer_list<host::Defect> defects,
                   const char* what) {
  expect_accepted(p, in, what);
  const Reference full(p, in, VerifyLevel::kFull);
  for (const host::Defect defect : defects) {
    const Verdict v = full.verify(host::attention(p, in, defect));
    EXPECT_FALSE(v.ok()) << what << ", defect " << static_cast<int>(defect) << "\n" << describe(v);
  }
}

// An even number of changed signs must not cancel in the hash.
TEST(CommonErrors, RowsThatDifferInSignAreNotTakenForEqual) {
  const Doubles x(64, 0.1), y(64, -0.1);
  EXPECT_NE(row_hash(x.data(), 64), row_hash(y.data(), 64));
  for (std::int64_t changed = 1; changed <= 64; ++changed) {
    Doubles z = x;
    std::fill(z.begin(), z.begin() + changed, -0.1);
    EXPECT_NE(row_hash(x.data(), 64), row_hash(z.data(), 64)) << changed;
  }
  EXPECT_EQ(row_hash(x.data(), 64), row_hash(Doubles(64, 0.1).data(), 64));
}

TEST(CommonErrors, OfACommonCellAreKeptApartAndOfTheOthersAreAShare) {
  const Rounding bf16(Dtype::kBf16);
  Cells cells(bf16);
  for (int n = 0; n < 40; ++n) cells.note(n < 20 ? 0.25 : 0.3 + n);
  cells.choose();
  EXPECT_TRUE(cells.any_common());
  EXPECT_EQ(cells.slot(0.25), 0);
  EXPECT_EQ(cells.slot(-0.25), -1) << "signs are apart";
  EXPECT_EQ(cells.slot(0.5), -1);
  for (int n = 0; n < 4; ++n) EXPECT_EQ(cells.add(0.25), 0);
  EXPECT_DOUBLE_EQ(cells.alike(0), bf16.alike() * (1 - 4.0 / 16));
  EXPECT_EQ(cells.alike(), 0);
  EXPECT_EQ(cells.add(0.5), -1);
  EXPECT_EQ(cells.add(0.5), -1);
  EXPECT_NEAR(cells.alike(), bf16.alike() * (1 - 0.5) / 4, 1e-12 * bf16.alike());
  EXPECT_NEAR(cells.alike_of_all(), bf16.alike() * (0.5 + 0.75) / 4, 1e-12 * bf16.alike());
}

TEST(CommonErrors, AreFoundWhateverTheDistanceOfEqualRows) {
  for (const std::int64_t period : {2, 3, 4, 8, 16, 17}) {
    std::vector<int> found(static_cast<std::size_t>(period), 0);
    const std::vector<std::int64_t> some = some_of(1 << 14, 256);
    EXPECT_LE(some.size(), 256u);
    EXPECT_TRUE(std::is_sorted(some.begin(), some.end()));
    for (const std::int64_t row : some) ++found[static_cast<std::size_t>(row % period)];
    EXPECT_GT(*std::min_element(found.begin(), found.end()), 256 / period / 4) << period;
  }
  EXPECT_EQ(some_of(5, 256).size(), 5u);
}

TEST(CommonErrors, OfMostlyEqualRowsAreOnesShareOfTheirSquare) {
  MostlyEqual kinds;
  const Doubles ones(8, 1), twos(8, 2);
  Doubles other = ones, sparse(8, 0), sparse_too = sparse;
  other[0] = 1.5;
  sparse[0] = sparse_too[1] = 1;
  for (int n = 0; n < 4; ++n)
    for (const Doubles& row : {ones, other, sparse, sparse_too}) kinds.note(row);
  kinds.note(twos);
  kinds.choose();
  EXPECT_EQ(kinds.kinds(), 3u) << "zeros are nothing that rows have in common";
  EXPECT_EQ(kinds.of(ones).share, 1);
  EXPECT_EQ(kinds.of(other).kind, kinds.of(ones).kind);
  EXPECT_DOUBLE_EQ(kinds.of(other).share, 7 / (7 + 2.25));
  EXPECT_NE(kinds.of(sparse).kind, kinds.of(sparse_too).kind);
  EXPECT_EQ(kinds.of(twos).kind, -1) << "there was one of it";
}

TEST(CommonErrors, OfOneOAreInDAsFarAsRowsOfDoGoOneWay) {
  Repeated repeated;
  repeated.of_one_o[7] = {{4, 0}, 4};  // of four equal rows
  repeated.of_one_o[8] = {{0, 0}, 4};  // of two and their negatives
  const Doubles along = {1, 0}, across = {0, 1}, against = {-1, 0};
  EXPECT_DOUBLE_EQ(repeated.alignment(7, along), std::sqrt(0.75)) << "but for its own part";
  EXPECT_DOUBLE_EQ(repeated.alignment(7, against), -std::sqrt(0.75));
  EXPECT_EQ(repeated.alignment(7, across), 0);
  EXPECT_EQ(repeated.alignment(8, along), 0) << "they cancel";
  EXPECT_EQ(repeated.alignment(9, along), 0) << "there is no such kind";
}

TEST(CommonErrors, OfTermsThatReturnGrowAsTheirNumberAndStopAtAChain) {
  EXPECT_EQ(returning_noise(1, 100), 0);
  EXPECT_EQ(returning_noise(0, 100), 0);
  const double twice = returning_noise(2, 100);
  EXPECT_DOUBLE_EQ(twice, square(kAllAlike * kF32Roundoff) * 2);
  EXPECT_DOUBLE_EQ(returning_noise(10, 100), 45 * twice);
  EXPECT_DOUBLE_EQ(returning_noise(40, 4096), 45 * twice) << "ten of them in a chain of 1024";
}

// dO of one row but for a channel: dO·v is added up with the same rounding for all queries.
TEST(CommonErrors, OfProductsWithMostlyEqualDoAddUpInDk) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem p = problem({1, 1, 1, 200, 40, 64});
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    fill(in.q, [](std::int64_t, std::int64_t, double x) { return 1 + 0.1 * x; });
    fill(in.k, [](std::int64_t, std::int64_t, double x) { return 0.01 * x; });
    fill(in.d_o,
         [](std::int64_t, std::int64_t c, double x) { return c == 0 ? 1 + std::abs(x) : 1; });
    expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kDDropped}, "dO mostly equal");
  }
}

// Half of the queries are one token: its error is one, however often it is counted.
TEST(CommonErrors, OfRowsThatAreOneTokenAreNoneOfTheMean) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem p = problem({1, 1, 1, 100, 200, 64}, Dtype::kF32, false, Pass::kForward);
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    fill(in.q, [](std::int64_t r, std::int64_t, double x) { return r < 50 ? 9 + 3 * x : 9; });
    expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kRowUnnormalised}, "one token");
  }
}

// dP = D for every pair: all that dS holds is what D is off by, and that is rounded.
TEST(CommonErrors, OfDAreRoundedInDqWhereDpIsD) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem p = problem({1, 1, 1, 200, 200, 64}, Dtype::kBf16, true);
    p.shape.own_d_v = 16;
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    fill(in.v, [](std::int64_t r, std::int64_t c, double) { return r % 16 == c ? 1 : 0; });
    fill(in.d_o, [](std::int64_t, std::int64_t, double) { return 1; });
    expect_accepted(p, in, "one-hot V");
    const Verdict v = Reference(p, in, VerifyLevel::kFull)
                          .verify(host::attention(p, in, host::Defect::kDDropped));
    EXPECT_FALSE(of(v, "dq").ok);
  }
}

// Two kinds of queries have two P; dO of either sign lets dV cancel, but not what rounding makes.
TEST(CommonErrors, OfTwoKindsOfQueriesAddUpWhereDvCancels) {
  for (const double spread : {0.0, 0.01})
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      Problem p = problem({1, 1, 1, 128, 128, 64}, Dtype::kBf16);
      p.seed = seed;
      Inputs in = host::random_inputs(p);
      const auto kind = [&](double size) {
        return [=](std::int64_t r, std::int64_t, double x) {
          return size * alternating(r) * (1 + spread * x);
        };
      };
      fill(in.q, kind(0.1));
      fill(in.d_o, kind(1));
      expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kRowUnnormalised},
                    "queries of two kinds");
    }
}

TEST(CommonErrors, InF32OfTwoKindsOfQueriesLeaveOneErrorInARowOfDk) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Problem p = problem({1, 1, 1, 128, 160, 512}, Dtype::kF32);
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    host::alternate(in.q, 0.1f, 0.01f);
    host::alternate(in.d_o, 1, 0.01f);
    expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kRowUnnormalised},
                  "queries of two kinds");
  }
}

// Both kinds in one cell of bf16: one P is rounded up to what the other is rounded down to.
TEST(CommonErrors, OfTwoKindsOfQueriesInOneCellDoNotCancelAsTheirTermsDo) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Problem p = problem({1, 1, 1, 256, 511, 64}, Dtype::kBf16);  // P next to 2^-9 (1 + 2^-9)
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    host::alternate(in.q, 0.001f, 0.01f);
    host::alternate(in.d_o, 1, 0.01f);
    expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kChannelScaled},
                  "queries of two kinds in one cell");
  }
}

// Likewise of keys, in O: whether a number of bf16 ends between their P is up to how a kernel
// scales them.
TEST(CommonErrors, OfTwoKindsOfKeysInOneCellDoNotCancelAsTheirTermsDo) {
  for (const std::int64_t keys : {505, 508, 509, 510, 511})
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      Problem p = problem({1, 1, 1, 64, keys, 64}, Dtype::kBf16);
      p.seed = seed;
      Inputs in = host::random_inputs(p);
      host::alternate(in.k, 0.002f, 0.01f);
      host::alternate(in.v, 1, 0.01f);
      expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kChannelScaled},
                    "keys of two kinds in one cell");
    }
}

TEST(CommonErrors, OfTwoKindsOfKeysAddUpWhereOCancels) {
  for (const double spread : {0.0, 0.01})
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      Problem p = problem({1, 1, 1, 100, 210, 64}, Dtype::kBf16);
      p.seed = seed;
      Inputs in = host::random_inputs(p);
      const auto kind = [&](double size) {
        return [=](std::int64_t r, std::int64_t, double x) {
          return size * alternating(r) * (1 + spread * x);
        };
      };
      fill(in.k, kind(0.1));
      fill(in.v, kind(1));
      expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kRowUnnormalised},
                    "keys of two kinds");
    }
}

// Equal queries have one O. What rounding P makes of it is in all their D, where dO are alike.
TEST(CommonErrors, OfOAreInDOfEveryEqualQuery) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem p = problem({1, 2, 1, 128, 128, 64}, Dtype::kBf16, true);
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    const Inputs first = host::random_inputs(p);
    fill(in.q, [&](std::int64_t r, std::int64_t c, double) {
      return 3 * first.q.at((r % 8) * p.shape.d + c);
    });
    fill(in.v, [](std::int64_t, std::int64_t, double x) { return std::abs(x); });
    fill(in.d_o, [&](std::int64_t r, std::int64_t c, double) {
      return static_cast<double>(r) / 128 + static_cast<double>(c) / 64;
    });
    expect_judged(p, in, {host::Defect::kScaleOff, host::Defect::kDDropped}, "repeated queries");
  }
}

TEST(CommonErrors, OfOAreInDOfEqualQueriesInF32WhereDoHasALargeMean) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Problem p = problem({1, 2, 1, 200, 200, 80});
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    fill(in.q, [](std::int64_t, std::int64_t, double) { return 0.1; });
    fill(in.k,
         [](std::int64_t r, std::int64_t, double) { return 3 * static_cast<double>(r) / 200; });
    fill(in.v, [](std::int64_t, std::int64_t, double x) { return 0.1 * x; });
    fill(in.d_o, [](std::int64_t, std::int64_t, double x) { return 30 + 0.003 * x; });
    expect_judged(p, in,
                  {host::Defect::kScaleOff, host::Defect::kDDropped, host::Defect::kChannelScaled},
                  "equal queries");
  }
}

// A sink that is the largest score: slopes along it are made of P, not of 1 - P.
TEST(CommonErrors, OfTheSumAreNoneOfTheSlopeAlongASink) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Problem p = problem({1, 1, 1, 40, 300, 32});
    p.sinks = Sinks::kRandom;
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    in.sinks = {1.5f};
    fill(in.k, [](std::int64_t, std::int64_t, double x) { return 0.01 * x; });
    fill(in.v, [](std::int64_t r, std::int64_t c, double) { return r % 32 == c ? 1 : 0; });
    fill(in.d_o, [](std::int64_t, std::int64_t c, double) {
      return std::sin(1.0 + 2.0 * static_cast<double>(c));
    });
    const std::vector<ChainLink> links = check_gradient_chain(p, in);
    EXPECT_GE(links.size(), 4u);
    for (const ChainLink& link : links)
      for (const TensorVerdict& t : link.tensors)
        EXPECT_LE(t.error_over_noise, 1.0) << link.name << ", " << link.on << ", " << t.tensor;
  }
}

}  // namespace
}  // namespace flashbench::oracle
