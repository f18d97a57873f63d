// How accurate the f32 kernels are, as shares of the oracle's expected noise: 1 is what a kernel
// shows that rounds every partial sum once, with a third of a unit. Sums in one chain, a P that
// loses S - LSE, an exp of two units, a D that is rounded to f32, or a dV in sums of 96 terms all
// end above these limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

Problem problem(Shape shape, bool causal, Values values) {
  Problem p = AttentionCase{"", shape, causal}.problem(Dtype::kF32);
  p.values = values;
  return p;
}

std::string where(const Kernel& kernel, Isa isa) {
  return std::string(kernel.info().name) + " " + std::string(name(isa));
}

TEST(Accuracy, RootMeanSquareErrorsStayBelowTheExpectedNoise) {
  constexpr double kMostOfO = 0.78, kMostOfGradients = 0.66, kMedian = 0.6;
  std::map<std::string, std::vector<double>> shares;  // by kernel, level and tensor
  for (const std::int64_t d : {59, 64, 128, 512})
    for (const std::int64_t n : {64, 257})
      for (const bool causal : {false, true})
        for (const Values values : {Values::kNormal, Values::kUniform}) {
          const Problem p = problem({1, 1, 1, n, n, d}, causal, values);
          const Inputs in = data::make_inputs(p);
          const oracle::Reference reference(p, in, VerifyLevel::kFull);
          for (const Isa isa : available_isas())
            for (const Kernel* kernel : kernels())
              for (const TensorVerdict& t :
                   reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in)).tensors) {
                ASSERT_TRUE(t.rms) << t.tensor;
                EXPECT_LE(*t.rms,
                          t.tensor == "o" || t.tensor == "lse" ? kMostOfO : kMostOfGradients)
                    << where(*kernel, isa) << " " << t.tensor << " d " << d << " n " << n
                    << " causal " << causal << " " << name(values);
                shares[where(*kernel, isa) + " " + t.tensor].push_back(*t.rms);
              }
        }
  for (auto& [what, of] : shares) {
    std::sort(of.begin(), of.end());
    EXPECT_LE(of[of.size() / 2], kMedian) << what;
  }
}

// Equal terms round alike, by up to a sixth of a unit for each of a chain of 128, twice: in P·V and
// in the sum of the row.
TEST(Accuracy, ConstantsAreOffByNoMoreThanOneChain) {
  constexpr double kMost = 48 * 0x1p-24;
  const Problem p = problem({1, 1, 1, 200, 5000, 96}, false, Values::kConstant);
  const Inputs in = data::make_inputs(p);
  const double o = 0.1f, dv = o * 200 / 5000;
  for (const Isa isa : available_isas())
    for (const Kernel* kernel : kernels()) {
      const Outputs out = run(*kernel, p, {.isa = isa, .threads = 2}, in);
      for (std::int64_t i = 0; i < out.o.count(); ++i)
        ASSERT_NEAR(static_cast<double>(out.o.at(i)), o, kMost * o) << where(*kernel, isa);
      for (std::int64_t i = 0; i < out.dv.count(); ++i)
        ASSERT_NEAR(static_cast<double>(out.dv.at(i)), dv, kMost * dv) << where(*kernel, isa);
    }
}

}  // namespace
}  // namespace flashbench::cpu
