// V and O may be narrower or wider than Q and K.
#include <gtest/gtest.h>

#include <cmath>

#include "oracle/verify.h"
#include "system/error.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

Problem with_values(std::int64_t d, std::int64_t d_v, Dtype dtype) {
  Problem p = problem({1, 2, 1, 60, 75, d}, dtype, true);
  p.shape.own_d_v = d_v;
  return p;
}

TEST(ValueDim, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const auto& [d, d_v] : {std::pair(16, 5), std::pair(12, 40)})
    expect_room_to_spare(with_values(d, d_v, Dtype::kF32),
                         "d " + std::to_string(d) + ", d_v " + std::to_string(d_v));
}

TEST(ValueDim, EachWayToTakeOneForTheOtherIsNoticed) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      const Problem p = with_values(16, 24, dtype);
      const Inputs in = host::random_inputs(p);
      const Reference reference(p, in, level);
      ASSERT_TRUE(reference.verify(host::attention(p, in)).ok());
      Problem scale_of_d_v = p;
      scale_of_d_v.scale = 1 / std::sqrt(24.0);
      EXPECT_FALSE(reference.verify(host::attention(scale_of_d_v, in)).ok()) << name(level);
      Inputs narrow = host::random_inputs(p);  // columns of V from d on are not read
      for (std::int64_t r = 0; r < 75; ++r)
        for (std::int64_t c = 16; c < 24; ++c) narrow.v.set(r * 24 + c, 0);
      EXPECT_FALSE(of(reference.verify(host::attention(p, narrow)), "o").ok) << name(level);
      Inputs short_sum = host::random_inputs(p);  // dP and D are summed over d channels
      for (std::int64_t r = 0; r < 2 * 60; ++r)
        for (std::int64_t c = 16; c < 24; ++c) short_sum.d_o.set(r * 24 + c, 0);
      const Verdict v = reference.verify(host::attention(p, short_sum));
      EXPECT_FALSE(of(v, "dq").ok) << name(level);
      EXPECT_FALSE(of(v, "dk").ok) << name(level);
    }
}

TEST(ValueDim, AResultOfTheOtherWidthIsRefused) {
  const Problem p = with_values(16, 24, Dtype::kF32);
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  out.o = Tensor(Dtype::kF32, p.shape.q_dims());
  EXPECT_THROW(Reference(p, in, VerifyLevel::kFull).verify(out), UsageError);
}

}  // namespace
}  // namespace flashbench::oracle
