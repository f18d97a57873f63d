// ALiBi adds to each score what the distance of its query and its key says.
#include <gtest/gtest.h>

#include "oracle/verify.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

Problem with_alibi(const Shape& shape, Dtype dtype, bool causal) {
  Problem p = problem(shape, dtype, causal);
  p.alibi = Alibi::kStandard;
  return p;
}

TEST(Alibi, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const bool causal : {false, true})
    expect_room_to_spare(with_alibi({1, 2, 1, 60, 75, 16}, Dtype::kF32, causal),
                         causal ? "causal" : "full");
}

TEST(Alibi, LeftOutOrAlignedAtTheTopLeftOrOfAnotherHeadFails) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      const Problem p = with_alibi({2, 4, 2, 150, 200, 16}, dtype, true);
      const Inputs in = host::random_inputs(p);
      const Reference reference(p, in, level);
      ASSERT_TRUE(reference.verify(host::attention(p, in)).ok());
      for (const auto defect : {host::Defect::kAlibiOfNextHead, host::Defect::kAlibiTopLeft})
        EXPECT_FALSE(reference.verify(host::attention(p, in, defect)).ok())
            << host::name(defect) << ", " << name(level);
      Inputs without = host::random_inputs(p);
      without.alibi_slopes.clear();
      EXPECT_FALSE(reference.verify(host::attention(p, without)).ok()) << name(level);
      // The slopes of one batch element are not those of the other.
      Inputs other = host::random_inputs(p);
      other.alibi_slopes.back() *= 1.02f;
      EXPECT_FALSE(reference.verify(host::attention(p, other)).ok()) << name(level);
    }
}

// The LSE of such rows, in f32, says nothing of P; kernels keep maximum and sum apart.
TEST(Alibi, OfAnySlopeIsJudgedByProbabilitiesAndNotByALargeLse) {
  for (const float slope : {-1e6f, -1e8f, -1e12f, -1e20f, 1e20f})
    for (const VerifyLevel level : kLevels) {
      const Problem p = with_alibi({1, 2, 2, 21, 33, 16}, Dtype::kF32, false);
      Inputs in = host::random_inputs(p);
      in.alibi_slopes = {slope, slope / 2};
      const Verdict v = Reference(p, in, level).verify(host::attention(p, in));
      EXPECT_TRUE(v.ok()) << slope << ", " << name(level) << "\n" << describe(v);
    }
}

}  // namespace
}  // namespace flashbench::oracle
