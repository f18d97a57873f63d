// K and V may be stored in 8 bits: what counts is each value times the descale of its head.
#include <gtest/gtest.h>

#include "oracle/tensor_values.h"
#include "oracle/verify.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

Problem stored(const Shape& shape, Dtype dtype, Dtype kv_dtype) {
  Problem p = problem(shape, dtype, true, Pass::kForward);
  p.own_kv_dtype = kv_dtype;
  return p;
}

TEST(Descales, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const Dtype kv_dtype : kStoredDtypes)
    expect_room_to_spare(stored({2, 4, 2, 60, 75, 16}, Dtype::kF32, kv_dtype),
                         std::string(name(kv_dtype)));
}

// Of one channel, what the descale costs is all that a product is off by.
TEST(Descales, OfTheNarrowestHeadsPassToo) {
  for (const Dtype kv_dtype : kStoredDtypes)
    expect_room_to_spare(stored({1, 2, 2, 40, 50, 1}, Dtype::kF32, kv_dtype),
                         "d 1, " + std::string(name(kv_dtype)));
}

TEST(Descales, EachWayToHaveThemWrongIsNoticed) {
  using host::Defect;
  const struct {
    Defect defect;
    const char* tensor;
  } kWrong[] = {{Defect::kKDescaleLeftOut, "lse"},  {Defect::kVDescaleLeftOut, "o"},
                {Defect::kDescalesOfNextHead, "o"}, {Defect::kDescalesOfNextHead, "lse"},
                {Defect::kDescalesOfTheOther, "o"}, {Defect::kDescalesOfTheOther, "lse"}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const Dtype kv_dtype : kStoredDtypes)
      for (const VerifyLevel level : kLevels) {
        const Problem p = stored({2, 4, 2, 200, 150, 16}, dtype, kv_dtype);
        const Inputs in = host::random_inputs(p);
        const Reference reference(p, in, level);
        ASSERT_TRUE(reference.verify(host::attention(p, in)).ok());
        for (const auto& [defect, tensor] : kWrong) {
          const Verdict v = reference.verify(host::attention(p, in, defect));
          EXPECT_FALSE(of(v, tensor).ok) << host::name(defect) << ", " << name(level);
        }
      }
}

// The smallest difference between two descales that f32 has is far below what bf16 shows, but one
// of a few percent must be seen.
TEST(Descales, ThatAreOffByAFewPercentAreNoticed) {
  for (const VerifyLevel level : kLevels) {
    const Problem p = stored({1, 2, 2, 100, 120, 32}, Dtype::kBf16, Dtype::kE4m3);
    const Inputs in = host::random_inputs(p);
    const Reference reference(p, in, level);
    for (std::vector<float> Inputs::*scale : {&Inputs::k_scale, &Inputs::v_scale}) {
      Inputs off = host::random_inputs(p);
      (off.*scale)[1] *= 1.03f;
      EXPECT_FALSE(reference.verify(host::attention(p, off)).ok()) << name(level);
    }
  }
}

// An e4m3 times a descale of 24 bits has 28: f32 would lose some of them.
TEST(Descales, TimesAStoredValueAreExact) {
  Tensor t(Dtype::kE4m3, {1, 2, 1, 1});
  t.set(0, 15);
  t.set(1, 0x1p-9f);
  const std::vector<float> descales = {1 + 0x1p-23f, 0x1.fffffep-100f};
  const TensorValues values(t, descales);
  EXPECT_EQ(values.at(0, 0, 0, 0), 15 + 15 * 0x1p-23);
  EXPECT_EQ(values.at(0, 1, 0, 0), 0x1.fffffep-109);
  EXPECT_EQ(TensorValues(t).at(0, 0, 0, 0), 15);
}

}  // namespace
}  // namespace flashbench::oracle
