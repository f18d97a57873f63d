// A soft cap bends scores: its slope goes to 0 where they are large, and moves with their rounding.
#include <gtest/gtest.h>

#include "oracle/verify.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

// Caps far below the scores of these inputs, among them and above.
TEST(Softcap, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const double cap : {1e-3, 0.05, 1.0, 30.0}) {
    Problem p = problem({1, 2, 1, 60, 75, 16}, Dtype::kF32, cap < 10);
    p.softcap = cap;
    expect_room_to_spare(p, "cap " + std::to_string(cap));
  }
}

// Of scores that are all alike, 6 to 12 times the cap, 1 - tanh² is a unit or two of the last place
// in f32, off by the same everywhere: over many queries that adds up.
TEST(Softcap, SlopesThatAreAllOffAlikeAreNoErrors) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const double cap : {0.15, 0.2, 0.3}) {
      Problem p = problem({1, 2, 2, 600, 17, 64}, dtype);
      p.softcap = cap;
      Inputs in = host::random_inputs(p);
      for (Tensor* t : {&in.q, &in.k, &in.v})
        host::each(*t, [](float x) { return 0.5f * std::erfc(-x * 0.70710678f); });
      const Outputs out = host::attention(p, in);
      for (const VerifyLevel level : kLevels) {
        const Verdict v = Reference(p, in, level).verify(out);
        EXPECT_TRUE(v.ok()) << cap << ", " << name(level) << "\n" << describe(v);
      }
    }
}

// Of one key, dP - D is 0 but for rounding, and where its score is many times the cap the exact
// slope is nearly 0, that in f32 a unit or two of the last place: dQ is one times the other.
TEST(Softcap, ASlopeThatIsOffMultipliesWhatDIsOff) {
  Problem p = problem({1, 1, 1, 50, 1, 64});
  p.softcap = 0.1;
  Inputs in = host::random_inputs(p);
  for (Tensor* t : {&in.q, &in.k, &in.v, &in.d_o})
    host::each(*t, [](float x) { return 0.5f * std::erfc(-x * 0.70710678f); });
  Outputs out = host::attention(p, in);
  const auto judged = [&](float units) {  // 1 - tanh² and dP - D off by so many, of 1 and of 16
    for (std::int64_t i = 0; i < out.dq.count(); ++i)
      out.dq.set(i, 0.125f * units * 0x1p-24f * units * 0x1p-20f * in.k.at(i % p.shape.d));
    return of(Reference(p, in, VerifyLevel::kFull).verify(out), "dq").error_over_noise;
  };
  EXPECT_LE(judged(1), 1.5);
  EXPECT_GT(judged(8), 2);
}

TEST(Softcap, LeftOutOrOffByTwoPercentOrWithoutItsSlopeFails) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const double cap : {0.5, 2.0})
      for (const VerifyLevel level : kLevels) {
        Problem p = problem({1, 2, 1, 200, 150, 16}, dtype, true);
        p.softcap = cap;
        const Inputs in = host::random_inputs(p);
        const Reference reference(p, in, level);
        ASSERT_TRUE(reference.verify(host::attention(p, in)).ok());
        Problem other = p;
        for (const double wrong : {0.0, cap * 1.02, cap / 1.02}) {
          other.softcap = wrong;
          EXPECT_FALSE(reference.verify(host::attention(other, in)).ok())
              << cap << " taken for " << wrong << ", " << name(level);
        }
        const Verdict v = reference.verify(host::attention(p, in, host::Defect::kSlopeLeftOut));
        EXPECT_TRUE(of(v, "o").ok);
        EXPECT_FALSE(of(v, "dq").ok) << name(level);
        EXPECT_FALSE(of(v, "dk").ok) << name(level);
      }
}

}  // namespace
}  // namespace flashbench::oracle
