#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "oracle/identities.h"
#include "oracle/noise_profile.h"
#include "oracle/rounding_of_o.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

// What level sample makes of some rows and keys for all others.
namespace flashbench::oracle {
namespace {

TEST(Profile, IsLinearBetweenKnownRowsAndConstantBeyond) {
  Profile p;
  EXPECT_EQ(p(3), 0);
  p.set(10, 2);
  p.set(20, 4);
  p.set(40, 0);
  EXPECT_EQ(p(0), 2);
  EXPECT_EQ(p(10), 2);
  EXPECT_EQ(p(15), 3);
  EXPECT_EQ(p(20), 4);
  EXPECT_EQ(p(25), 3);
  EXPECT_EQ(p(50), 0);
}

/// What rounding adds to D of row i where dO is 1 and O of every fourth of 64 rows, of 4 channels,
/// is known: of_row(row).
template <typename OfRow>
double shift_of_d(std::int64_t i, OfRow of_row) {
  Problem p;
  p.shape = {1, 1, 1, 64, 64, 4};
  p.dtype = Dtype::kBf16;
  const Inputs in = host::random_inputs(p);
  RowPart part{0, 0, {}, {}};
  for (std::int64_t row = 0; row < 64; row += 4) {
    part.rows.push_back(row);
    part.results.stats.emplace_back().empty = false;
    part.results.o.value.insert(part.results.o.value.end(), 4, of_row(row));
  }
  return RoundingOfO(Definition(p, in), {0, 0, {&part}}, 0).shift(i, Doubles(4, 1.0));
}

// Under a causal mask late keys are seen by late rows alone.
TEST(RoundingOfO, IsThatOfNeighboursWhereTheyAgreeAndTheMeanWhereTheyDoNot) {
  constexpr double kDown = 1 + 0x1p-10, kUp = 1 - 0x1p-11;  // to 1
  const double down = 4 * -0x1p-10, up = 4 * 0x1p-11, mean = (down + up) / 2;
  const auto by_halves = [&](std::int64_t row) { return row < 32 ? kDown : kUp; };
  EXPECT_NEAR(shift_of_d(6, by_halves), down, 0.2 * std::abs(down - mean));
  EXPECT_NEAR(shift_of_d(29, by_halves), down, 0.2 * std::abs(down - mean)) << "28, not 32";
  EXPECT_NEAR(shift_of_d(31, by_halves), up, 0.2 * std::abs(up - mean)) << "32, not 28";
  EXPECT_NEAR(shift_of_d(63, by_halves), up, 0.2 * std::abs(up - mean));
  const auto by_turns = [&](std::int64_t row) { return row % 8 == 0 ? kDown : kUp; };
  for (const std::int64_t i : {0, 3, 4, 63}) EXPECT_NEAR(shift_of_d(i, by_turns), mean, 1e-12);
  EXPECT_EQ(shift_of_d(0, [](std::int64_t) { return 1.0; }), 0);
}

/// Two rows of two channels: variances {1, 4} and {3, 12}, values {10, 20} and {0, 40}.
Expected two_rows(double values) {
  Expected x(2, 2);
  x.value = {10 * values, 20 * values, 0, 40 * values};
  x.noise = {{0, 1}, {2, 2}, {3, 0}, {6, 6}};
  return x;
}

NoiseProfile profile_of(const Expected& x) {
  NoiseProfile p;
  p.add(0, x, 0, 2);
  p.add(10, x, 1, 1);
  p.finish();
  return p;
}

TEST(NoiseProfile, HasTheDeviationOfEachChannelAndTheSizeOfEachRow) {
  const NoiseProfile p = profile_of(two_rows(1));
  EXPECT_DOUBLE_EQ(p.channel(0), std::sqrt(2));
  EXPECT_DOUBLE_EQ(p.channel(1), std::sqrt(8));
  EXPECT_DOUBLE_EQ(p.row(0, 2), 1);
  EXPECT_DOUBLE_EQ(p.row(0, 6), 9);
  EXPECT_DOUBLE_EQ(p.row(10, 1), 3);
  EXPECT_DOUBLE_EQ(p.row(5, 1), std::pow((0.5 + std::sqrt(3)) / 2, 2));
}

TEST(NoiseProfile, ARowOfLargeValuesHasMoreNoiseButNeverMuch) {
  // Σ noise = 4, Σ values² = 300, each in units of the channels; at most a thousandth. Row 0 has 1.
  EXPECT_DOUBLE_EQ(profile_of(two_rows(1)).excess(0, 2, 5000), 4);
  EXPECT_DOUBLE_EQ(profile_of(two_rows(1)).excess(0, 2, 500), 0);
  EXPECT_DOUBLE_EQ(profile_of(two_rows(100)).excess(0, 2, 1.5e6), 1);
}

TEST(NoiseProfile, RowsOfEqualValuesErrTogether) {
  Expected x(4, 1);
  x.noise.assign(4, {0, 1});
  x.value = {1, 1, 1, 1};
  const auto repeats = [&](std::vector<std::uint64_t> alike) {
    x.alike = std::move(alike);
    NoiseProfile p;
    for (std::size_t n = 0; n < 4; ++n) p.add(static_cast<std::int64_t>(n), x, n, 1);
    p.finish();
    return p.repeats(32);
  };
  EXPECT_EQ(repeats({1, 2, 3, 4}), 1);
  EXPECT_EQ(repeats({1, 1, 1, 1}), 32);
  EXPECT_EQ(repeats({1, 1, 2, 3}), 0.5 + 32 * 0.25);
  EXPECT_EQ(repeats({1, 1, 2, 2}), 2 * 32 * 0.25);
}

TEST(ValueRange, MayBeLeftByTheRoundingOfItsLargestMagnitude) {
  Problem p = problem({1, 1, 1, 1, 2, 1}, Dtype::kF32, false, Pass::kForward);
  Inputs in = host::random_inputs(p);
  const auto judged = [&](float low, float high, float o) {
    in.v.set(0, low);
    in.v.set(1, high);
    Tensor out(Dtype::kF32, p.shape.o_dims());
    out.set(0, o);
    TensorCheck check("O within V", 1);
    check_value_range(Definition(p, in), out, 0, 0, check);
    return check.verdict();
  };
  EXPECT_EQ(judged(-100, 1, -3).error_over_noise, 0);
  EXPECT_TRUE(judged(-100, 1, 1 + 1e-5f).ok);
  EXPECT_TRUE(judged(-1, 100, -1 - 1e-5f).ok);
  EXPECT_FALSE(judged(-100, 1, 1 + 1e-3f).ok);
  EXPECT_FALSE(judged(-1, 1, 1 + 1e-5f).ok);
}

/// The verdict on `out` with LSE times 1 - by; leaves it as it was.
Verdict with_short_lse(const Reference& reference, Outputs& out, double by) {
  std::vector<float> right;
  for (std::int64_t i = 0; i < out.lse.count(); ++i) {
    right.push_back(out.lse.at(i));
    out.lse.set(i, static_cast<float>(static_cast<double>(right.back()) * (1 - by)));
  }
  Verdict v = reference.verify(out);
  for (std::size_t i = 0; i < right.size(); ++i)
    out.lse.set(static_cast<std::int64_t>(i), right[i]);
  return v;
}

// Tensor cores cut off scores of one sign, all of a row alike: LSE is short of the exact one, but P
// is not, since kernels take it from scores that are as short.
TEST(SampledGradients, AreNotBlamedForAnLseThatTensorCoresCutShort) {
  const double most = truncated_sum(1024);
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    Problem p = problem({1, 2, 1, 256, 448, 1024}, dtype);  // of which not all rows are looked at
    p.scale = 0.25;
    Inputs in = host::random_inputs(p);
    // Of one sign, and products of many sizes: alike, they would be allowed a larger error.
    for (Tensor* t : {&in.q, &in.k})
      for (std::int64_t i = 0; i < t->count(); ++i)
        t->set(i, (0.5f + static_cast<float>(i * 7 % 16) / 8) * (1 + 0.03f * t->at(i)));
    const Reference reference(p, in, VerifyLevel::kSample);
    Outputs right = host::attention(p, in);
    for (const double by : {0.0, 0.9 * most, 1.9 * most}) {
      const Verdict v = with_short_lse(reference, right, by);
      EXPECT_TRUE(v.ok()) << name(dtype) << " " << by / most << "\n" << describe(v);
    }
    const Verdict v = with_short_lse(reference, right, 4 * most);  // more than they do
    EXPECT_FALSE(of(v, "lse").ok) << name(dtype) << "\n" << describe(v);
    EXPECT_FALSE(of(v, "dv").ok) << name(dtype) << "\n" << describe(v);
  }
}

// The largest of scores that are all off by a little is too large in most rows, and so is LSE in
// f32 where one key has nearly all of P.
TEST(SampledGradients, AreNotBlamedForAnLseThatIsTooLargeInMostRows) {
  Problem p = problem({1, 1, 1, 3000, 3000, 4}, Dtype::kF32);
  p.scale = 15;
  p.d_o = GradSource::kOnes;
  const Inputs in = host::random_inputs(p);
  const Reference reference(p, in, VerifyLevel::kSample);
  Outputs right = host::attention(p, in);
  const Verdict v = with_short_lse(reference, right, -1.5 * kF32Roundoff);
  EXPECT_TRUE(v.ok()) << describe(v);
  EXPECT_LT(of(v, "dv").error_over_noise, 1) << describe(v);
}

// A row that was looked at is known better than by what the kernel wrote of it.
TEST(SampledGradients, OfASmallProblemAreJudgedAsAtLevelFull) {
  for (const Dtype dtype : kDtypes) {
    const Problem p = problem({1, 2, 1, 40, 48, 16}, dtype);
    const Inputs in = host::random_inputs(p);
    const Outputs right = host::attention(p, in);
    const Verdict full = Reference(p, in, VerifyLevel::kFull).verify(right);
    const Verdict sample = Reference(p, in, VerifyLevel::kSample).verify(right);
    for (const char* tensor : {"dk", "dv"})
      EXPECT_EQ(of(sample, tensor).error_over_noise, of(full, tensor).error_over_noise)
          << name(dtype) << " " << tensor;
  }
}

}  // namespace
}  // namespace flashbench::oracle
