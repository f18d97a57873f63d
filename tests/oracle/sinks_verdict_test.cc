// A sink is one more logit of a head's softmax, without a value.
#include <gtest/gtest.h>

#include <limits>

#include "oracle/verify.h"
#include "system/error.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

Problem with_sinks(const Shape& shape, Dtype dtype, bool causal) {
  Problem p = problem(shape, dtype, causal);
  p.sinks = Sinks::kRandom;
  return p;
}

TEST(Sinks, RightResultsOfAllKindsOfInputsPassWithRoomToSpare) {
  for (const bool causal : {false, true})
    expect_room_to_spare(with_sinks({2, 2, 1, 60, 75, 16}, Dtype::kF32, causal),
                         causal ? "causal" : "full");
}

TEST(Sinks, EachWayToHaveThemWrongIsNoticed) {
  using host::Defect;
  const struct {
    Defect defect;
    const char* tensor;
  } kWrong[] = {
      {Defect::kSinkLeftOut, "o"},           {Defect::kSinkHasValue, "o"},
      {Defect::kSinkOfNextHead, "lse"},      {Defect::kLseWithoutSink, "lse"},
      {Defect::kSinkGradientSign, "dsinks"}, {Defect::kSinkGradientOfLastBatch, "dsinks"}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      const Problem p = with_sinks({2, 4, 2, 200, 150, 16}, dtype, true);
      const Inputs in = host::random_inputs(p);
      const Reference reference(p, in, level);
      ASSERT_TRUE(reference.verify(host::attention(p, in)).ok());
      for (const auto& [defect, tensor] : kWrong) {
        const Verdict v = reference.verify(host::attention(p, in, defect));
        EXPECT_FALSE(of(v, tensor).ok) << host::name(defect) << ", " << name(level);
      }
    }
}

// With few rows of large sinks: 1e30 of them leaves the keys nothing, -1e30 nothing to the sinks.
TEST(Sinks, OfAnySizeHaveAFiniteLse) {
  for (const float sink : {-1e30f, -100.0f, 0.0f, 100.0f, 1e30f})
    for (const VerifyLevel level : kLevels) {
      const Problem p = with_sinks({1, 1, 1, 40, 30, 16}, Dtype::kF32, true);
      Inputs in = host::random_inputs(p);
      in.sinks[0] = sink;
      const Outputs out = host::attention(p, in);
      const Verdict v = Reference(p, in, level).verify(out);
      EXPECT_TRUE(v.ok()) << sink << "\n" << describe(v);
      // Query 0 sees no key.
      EXPECT_EQ(out.lse.at(0, 0, 0, 0), sink);
    }
}

// Of rows that see nothing such a sink is all, of the others nothing.
TEST(Sinks, FarBelowTheScoresHaveNoPartInGradientsAtAnyLevel) {
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    for (const float sink : {-1e5f, -1e11f, -1e20f})
      for (const VerifyLevel level : kLevels) {
        Problem p = with_sinks({1, 1, 1, 8, 4, 16}, Dtype::kBf16, true);
        p.seed = seed;
        Inputs in = host::random_inputs(p);
        in.sinks[0] = sink;
        const Verdict v = Reference(p, in, level).verify(host::attention(p, in));
        EXPECT_TRUE(v.ok()) << seed << ", " << sink << ", " << name(level) << "\n" << describe(v);
      }
}

TEST(Sinks, RowsThatSeeNothingHaveTheSinkForTheirLse) {
  for (const VerifyLevel level : kLevels) {
    const Problem p = with_sinks({1, 2, 2, 40, 20, 16}, Dtype::kF32, true);
    const Inputs in = host::random_inputs(p);
    Outputs out = host::attention(p, in);
    out.lse.set(out.lse.dims().index(0, 1, 3, 0), -std::numeric_limits<float>::infinity());
    EXPECT_FALSE(of(Reference(p, in, level).verify(out), "lse").ok) << name(level);
  }
}

TEST(Sinks, AGradientOfSinksThatAreNotThereIsRefused) {
  const Problem p = problem({1, 2, 2, 40, 20, 16}, Dtype::kF32, true);
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  out.dsinks = Tensor(Dtype::kF32, p.shape.sink_dims());
  EXPECT_THROW(Reference(p, in, VerifyLevel::kFull).verify(out), UsageError);
}

}  // namespace
}  // namespace flashbench::oracle
