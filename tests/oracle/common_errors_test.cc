// Inputs of few kinds: of rows that alternate, repeat or are one-hot. What their errors have in
// common adds up where the results themselves cancel.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "oracle/cells.h"
#include "oracle/chain.h"
#include "oracle/panel.h"
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
  for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample})
    for (const TensorVerdict& t : Reference(p, in, level).verify(out).tensors)
      EXPECT_LE(t.error_over_noise, 1.6)
          << what << ", seed " << p.seed << ", " << flashbench::name(p.dtype) << ", " << t.tensor
          << ", " << flashbench::name(t.scope) << ", " << name(level);
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
    for (const ChainLink& link : check_gradient_chain(p, in))
      for (const TensorVerdict& t : link.tensors)
        EXPECT_LE(t.error_over_noise, 1.0) << link.name << ", " << link.on << ", " << t.tensor;
  }
}

}  // namespace
}  // namespace flashbench::oracle
