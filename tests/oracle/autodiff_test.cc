// Reverse and forward differentiation of the same numbers.
#include "oracle/autodiff.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <random>
#include <vector>

#include "oracle/directional.h"
#include "oracle/dual.h"
#include "oracle/normal_attention.h"

namespace flashbench::oracle {
namespace {

/// A group of two query heads with normal numbers.
struct Numbers {
  Problem problem;
  Inputs inputs;
  Definition def{problem, inputs};
  Doubles q, k, v, d_o, bias, sinks, q_way, k_way, v_way, bias_way, sinks_way;
  Numbers() {
    problem.shape = {1, 2, 1, 13, 9, 4};
    problem.scale = 0.5;
    problem.causal = true;
    std::mt19937_64 generator(3);
    std::normal_distribution<double> normal;
    for (Doubles* x : {&q, &d_o, &q_way}) x->resize(2 * 13 * 4);
    for (Doubles* x : {&k, &v, &k_way, &v_way}) x->resize(9 * 4);
    for (Doubles* x : {&bias, &bias_way}) x->resize(2 * 13 * 9);
    for (Doubles* x : {&sinks, &sinks_way}) x->resize(2);
    for (Doubles* x :
         {&q, &k, &v, &d_o, &bias, &sinks, &q_way, &k_way, &v_way, &bias_way, &sinks_way})
      for (double& y : *x) y = normal(generator);
  }
  Numbers(const Numbers&) = delete;  // def refers to its neighbours
  Numbers& operator=(const Numbers&) = delete;
  Group group() const { return group_of(def); }
  Group group_of(const Definition& definition) const {
    return {&definition, 0, 0, q.data(), d_o.data(), k.data(), v.data(), sinks.data(), bias.data()};
  }
  Directions way() const {
    return {q_way.data(), k_way.data(), v_way.data(), bias_way.data(), sinks_way.data()};
  }
};

TEST(Autodiff, SeesAWrongGradientFormula) {
  // The same numbers with a dropped factor must not agree: the chain's limit is not vacuous.
  const Numbers n;
  const GroupGradients g = differentiate(n.group(), Formulation::kFlash);
  Problem off = n.problem;
  off.scale = *off.scale * (1 + 1e-9);
  const GroupGradients other =
      differentiate(n.group_of(Definition(off, n.inputs)), Formulation::kNormal);
  double worst = 0;
  for (std::size_t i = 0; i < g.dq.size(); ++i)
    worst = std::max(worst, std::abs(g.dq[i] - other.dq[i]));
  EXPECT_GT(worst, 1e-11);
}

TEST(Autodiff, LeavesNoTapeFilesBehind) {
  const auto count = [] {
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(".")) {
      if (entry.path().filename().string().rfind("ADOLC", 0) == 0) ++files;
    }
    return files;
  };
  const int before = count();
  const Numbers n;
  (void)differentiate(n.group(), Formulation::kNormal);
  (void)differentiate(n.group(), Formulation::kFlash);
  EXPECT_EQ(count(), before);
}

TEST(Autodiff, AgreesWithDualNumbersAlongADirection) {
  const Numbers n;
  const GroupGradients g = differentiate(n.group(), Formulation::kFlash);
  const Slopes slope = directional_derivatives(n.group(), n.way()).slope;
  const auto along = [](const Doubles& gradient, const Doubles& way) {
    double sum = 0;
    for (std::size_t i = 0; i < way.size(); ++i) sum += gradient[i] * way[i];
    return sum;
  };
  EXPECT_NEAR(along(g.dq, n.q_way), slope.q, 1e-13);
  EXPECT_NEAR(along(g.dk, n.k_way), slope.k, 1e-13);
  EXPECT_NEAR(along(g.dv, n.v_way), slope.v, 1e-13);
  EXPECT_NEAR(along(g.dsinks, n.sinks_way), slope.sinks, 1e-13);
  EXPECT_NEAR(along(g.dbias, n.bias_way), slope.bias, 1e-13);
}

TEST(Dual, DerivativesAreDifferenceQuotients) {
  const auto f = [](const auto& x, const auto& y) {
    using std::exp, std::tanh;
    return exp(x) * tanh(x * y) / (y - tanh(x));
  };
  const double x = 0.3, y = 1.7, e = 0x1p-18;
  const Dual got = f(Dual(x, 0, 1), Dual(y, 2, 1));
  EXPECT_EQ(got.value, f(x, y));
  EXPECT_NEAR(got.slope[0], (f(x + e, y) - f(x - e, y)) / (2 * e), 1e-9);
  EXPECT_EQ(got.slope[1], 0);
  EXPECT_NEAR(got.slope[2], (f(x, y + e) - f(x, y - e)) / (2 * e), 1e-9);
}

TEST(Dual, RunsThroughTheDefinitionLikeTheMatrixForm) {
  const Numbers n;
  const auto moving = [](const Doubles& x, const Doubles& way, std::size_t axis) {
    std::vector<Dual> out;
    for (std::size_t i = 0; i < x.size(); ++i) out.emplace_back(x[i], axis, way[i]);
    return out;
  };
  const auto q = moving(n.q, n.q_way, 0), k = moving(n.k, n.k_way, 1), v = moving(n.v, n.v_way, 2);
  const std::vector<Dual> still = moving(n.v, Doubles(n.v.size(), 0.0), 2);
  const std::vector<Dual> sinks = moving(n.sinks, n.sinks_way, 2);
  const std::vector<Dual> bias = moving(n.bias, n.bias_way, 3);
  std::vector<Dual> o(4), p(9);
  const auto add = [&](const std::vector<Dual>& values, const std::vector<Dual>& logits,
                       std::array<double, 4>& slope) {
    for (std::int64_t r = 0; r < 2 * 13; ++r) {
      normal_row<Dual>(n.group().head(r / 13), r % 13, q.data() + r * 4, k.data(), values.data(),
                       logits.data() + r / 13, bias.data() + r * 9, o.data(), p.data());
      for (std::size_t c = 0; c < 4; ++c)
        for (std::size_t a = 0; a < 4; ++a)
          slope[a] += n.d_o[static_cast<std::size_t>(r) * 4 + c] * o[c].slope[a];
    }
  };
  std::array<double, 4> of_values{}, of_sinks{};
  add(v, moving(n.sinks, Doubles(2, 0.0), 2), of_values);
  add(still, sinks, of_sinks);
  const Slopes want = directional_derivatives(n.group(), n.way()).slope;
  EXPECT_NEAR(of_values[0], want.q, 1e-13);
  EXPECT_NEAR(of_values[1], want.k, 1e-13);
  EXPECT_NEAR(of_values[2], want.v, 1e-13);
  EXPECT_NEAR(of_sinks[2], want.sinks, 1e-13);
  EXPECT_NEAR(of_values[3], want.bias, 1e-13);
}

}  // namespace
}  // namespace flashbench::oracle
