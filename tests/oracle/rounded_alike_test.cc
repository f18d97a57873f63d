// Rounding errors that many rows have in common: of P and of results that are nearly the same for
// all queries or keys, of O that is almost a row of V, of dO·v where dO is the same.
#include "oracle/rounded_alike.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "oracle/verify.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

constexpr VerifyLevel kLevels[] = {VerifyLevel::kFull, VerifyLevel::kSample};

Inputs inputs_of(const Problem& p, const char* flavour) {
  Inputs in = host::random_inputs(p);
  for (const host::Flavour& f : host::kFlavours)
    if (std::string_view(f.name) == flavour) f.change(in);
  return in;
}

void expect_room_to_spare(const Problem& p, const Inputs& in, const char* what) {
  const Outputs out = host::attention(p, in);
  for (const VerifyLevel level : kLevels)
    for (const TensorVerdict& t : Reference(p, in, level).verify(out).tensors)
      EXPECT_LE(t.error_over_noise, 1.5)
          << what << ", seed " << p.seed << ", " << flashbench::name(p.dtype) << ", " << t.tensor
          << ", " << flashbench::name(t.scope) << ", " << name(level);
}

TEST(RoundedAlike, IsOneErrorOfAllRowsWhereTheyAreEqualAndNoneWhereTheySpread) {
  const Rounding rounding(Dtype::kBf16);
  const double one = rounding.stored(1);
  RoundedAlike equal, spread, signs;
  for (int n = 0; n < 10; ++n) {
    equal.add({1, 3}, 2);
    spread.add({1 + 0.02 * n, 3}, 2);
    signs.add({1, 3}, n % 2 == 0 ? 2 : -2);
  }
  EXPECT_NEAR(equal.noise(0, rounding), one * (20 * 20 - 10 * 4), 1e-12 * one);
  EXPECT_NEAR(equal.noise(1, rounding), 4 * one * (20 * 20 - 10 * 4), 1e-12 * one);
  EXPECT_LT(spread.noise(0, rounding), 1e-6 * one);
  EXPECT_EQ(signs.noise(0, rounding), 0);
  EXPECT_EQ(RoundedAlike().noise(0, rounding), 0);
}

// Normal numbers around anywhere between two of the dtype: what they have in common on average.
TEST(RoundedAlike, IsWhatTheVarianceOfRoundedNumbersSays) {
  std::mt19937 random(1);
  for (const double deviation : {0.02, 0.1, 0.2, 0.3, 0.5, 0.8}) {
    double common = 0, said = 0;
    constexpr int kCentres = 200, kNumbers = 400;
    for (int n = 0; n < kCentres; ++n) {
      std::normal_distribution<double> normal(static_cast<double>(n) / kCentres, deviation);
      double sum = 0, squares = 0, errors = 0;
      for (int i = 0; i < kNumbers; ++i) {
        const double x = normal(random), rounded = std::nearbyint(x);
        sum += rounded / kNumbers;
        squares += square(rounded) / kNumbers;
        errors += (rounded - x) / kNumbers;
      }
      common += 12 * square(errors) / kCentres;
      said += share_rounded_alike(squares - square(sum)) / kCentres;
    }
    const double by_chance = 1.0 / kNumbers;
    EXPECT_LE(common, 1.1 * said + 2 * by_chance) << deviation;
    EXPECT_LE(said, 2 * common + 0.3) << deviation;
  }
}

// Keys around one vector, and O much the same for all queries: each row of dQ has the error of D in
// all channels, and rounding O makes it alike in all rows.
TEST(RoundedAlike, RowsOfOThatRoundAlikeMakeOneErrorOfDqWhereKeysHaveAMean) {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    Problem p;
    p.shape = {1, 1, 1, 300, 500, 64};
    p.pass = Pass::kBackward;
    p.dtype = Dtype::kBf16;
    p.seed = seed;
    expect_room_to_spare(p, inputs_of(p, "products come and go"), "products come and go");
  }
}

// P next to the maximum are all rounded up to 1, in every row: O is short by the same share
// everywhere, and so is the mean of a channel.
TEST(RoundedAlike, PThatIsNearlyEqualInAllRowsIsNoErrorOfAChannel) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      Problem p = problem({1, 1, 1, 1000, 17, 64}, dtype);
      p.softcap = 0.22;
      p.seed = seed;
      const Inputs in = inputs_of(p, "uniform");
      expect_room_to_spare(p, in, "nearly equal P");
      Outputs wrong = host::attention(p, in);
      const double factor = 1 + 5 * row_of(dtype).roundoff;  // one rounding is off by 1 at most
      for (std::int64_t i = 20; i < wrong.o.count(); i += p.shape.d)
        wrong.o.set(i, wrong.o.at(i) * static_cast<float>(factor));
      EXPECT_FALSE(of(Reference(p, in, VerifyLevel::kFull).verify(wrong), "o").ok);
    }
}

// Keys of nearly equal P have nearly equal dV, whose channels are rounded alike.
TEST(RoundedAlike, NearlyEqualRowsOfDvAreNoErrorOfTheirProducts) {
  for (const bool capped : {true, false})
    for (std::uint64_t seed = 4; seed < 10; ++seed) {
      Problem p = problem({2, 1, 1, 100, 200, 128}, Dtype::kBf16);
      p.seed = seed;
      if (capped) p.softcap = 0.5;
      if (!capped) p.scale = 0.001;
      const Inputs in = inputs_of(p, "uniform");
      expect_room_to_spare(p, in, capped ? "capped" : "small scale");
      const Outputs wrong = host::attention(p, in, host::Defect::kKeyTileDropped);
      const Verdict v = Reference(p, in, VerifyLevel::kSample).verify(wrong);
      EXPECT_FALSE(of(v, "sum dV = sum dO").ok) << describe(v);
      EXPECT_FALSE(of(v, "<O,dO> = <V,dV>").ok) << describe(v);
    }
}

// dO·v of the loss sum(O) is off by the same for all queries, which adds up over them. Rows that
// see nothing, or that the loss leaves out, have another dO, and no part in it.
TEST(RoundedAlike, ProductsWithTheSameDoAreOffAlikeWhateverOthersHold) {
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const bool half : {false, true}) {
      Problem p = problem({2, 2, 2, 150, 100, 16});
      p.d_o = GradSource::kOnes;
      p.seed = seed;
      p.scale = 0.01;
      p.window_left = 50;
      p.window_right = 5;
      p.padding = PaddingMask::kRandom;
      Inputs in = inputs_of(p, "uniform");
      for (std::int64_t i = 0; i < in.d_o.count(); ++i) {
        const std::int64_t row = i / p.shape.d % p.shape.q_len;
        if (row < 45 || (half && row % 2 == 0)) in.d_o.set(i, 0);
      }
      expect_room_to_spare(p, in, half ? "half of the rows" : "rows that see nothing");
    }
}

// And so is each key's dS, which all queries round to the same number of 16 bits.
TEST(RoundedAlike, DsThatIsTheSameForAllQueriesIsNoErrorOfDk) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      Problem p = problem({1, 3, 1, 700, 200, 5}, dtype);
      p.d_o = GradSource::kOnes;
      p.seed = seed;
      p.scale = 0.01;
      expect_room_to_spare(p, inputs_of(p, "one sign"), "dS alike");
    }
}

// With equal P all rows of dQ are off alike, and so is the mean of a channel.
TEST(RoundedAlike, ProductsWithTheSameDoAndEqualPAreNoErrorOfAChannelOfDq) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Problem p = problem({2, 2, 2, 150, 17, 64});
    p.d_o = GradSource::kOnes;
    p.seed = seed;
    p.scale = 0.001;
    p.padding = PaddingMask::kRandom;
    p.mask_keep = 0.15;
    Inputs in = inputs_of(p, "uniform");
    for (Tensor* t : {&in.q, &in.k, &in.v}) host::each(*t, [](float x) { return 2 * x - 1; });
    expect_room_to_spare(p, in, "few keys");
    if (std::count(in.key_mask.begin(), in.key_mask.end(), 1) < 4) continue;  // one key: dQ is 0
    const Outputs wrong = host::attention(p, in, host::Defect::kChannelScaled);
    EXPECT_FALSE(of(Reference(p, in, VerifyLevel::kFull).verify(wrong), "dq").ok);
  }
}

// Where one key has nearly all of P, O is that row of V as it is stored: what the others add to it
// is rounded off in all channels, and D misses it.
TEST(RoundedAlike, OThatIsRoundedToARowOfVIsNoErrorOfDq) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16})
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      Problem p = problem({1, 1, 1, 48, 64, 1024}, dtype, true);
      p.seed = seed;
      p.scale = 30.0 / 32;
      p.padding = PaddingMask::kRandom;
      expect_room_to_spare(p, inputs_of(p, "V and dO drift"), "one key");
    }
}

}  // namespace
}  // namespace flashbench::oracle
