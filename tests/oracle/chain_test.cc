#include "oracle/chain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "oracle/autodiff.h"
#include "oracle/directional.h"
#include "oracle/dual.h"
#include "oracle/normal_attention.h"
#include "tests/oracle/host_attention.h"

namespace flashbench::oracle {
namespace {

std::string describe(const std::vector<ChainLink>& links) {
  std::string text;
  for (const ChainLink& l : links) {
    text += l.name + " (" + l.on + ") " + l.skipped + "\n";
    for (const TensorVerdict& t : l.tensors)
      text += "  " + t.tensor + " " + std::to_string(t.error_over_noise) + " " +
              std::string(flashbench::name(t.scope)) + " [" + std::to_string(t.index[1]) + "," +
              std::to_string(t.index[2]) + "," + std::to_string(t.index[3]) + "] " +
              std::to_string(t.want) + " rel " + std::to_string((t.got / t.want - 1) / 0x1p-53) +
              (t.ok ? "\n" : " BAD\n");
  }
  return text;
}

struct ChainCase {
  const char* name;
  Shape shape;
  bool causal;
  double keep, logits;
  double softcap = 0;
  Sinks sinks = Sinks::kNone;
};

constexpr ChainCase kCases[] = {
    {"long_sums", {1, 1, 1, 128, 128, 32}, true, 1, 1},
    {"plain", {1, 1, 1, 24, 24, 8}, false, 1, 1},
    {"causal", {1, 2, 2, 33, 33, 8}, true, 1, 1},
    {"grouped_padded_causal", {2, 4, 2, 20, 25, 6}, true, 0.5, 1},
    {"empty_rows", {1, 2, 1, 30, 11, 5}, true, 0.7, 1},
    {"all_padded", {1, 1, 1, 6, 7, 4}, false, 0, 1},
    {"one_query", {1, 2, 2, 1, 40, 16}, true, 1, 1},
    {"sharp_logits", {1, 1, 1, 24, 40, 16}, true, 1, 30},
    {"head_dim_1", {1, 1, 1, 40, 40, 1}, true, 1, 3},
    {"softcap_among_the_scores", {2, 4, 2, 20, 25, 6}, true, 0.5, 1, 0.8},
    {"softcap_far_below_them", {1, 2, 2, 33, 33, 8}, false, 1, 3, 0.05},
    {"sinks", {2, 4, 2, 20, 25, 6}, true, 0.5, 1, 0, Sinks::kRandom},
    {"narrow_values", {2, 4, 2, 20, 25, 12, 5}, true, 0.5, 1},
    {"wide_values_and_sinks", {1, 2, 1, 33, 40, 4, 19}, true, 1, 1, 0, Sinks::kRandom},
    {"sinks_beside_empty_rows_under_a_softcap",
     {1, 2, 1, 30, 11, 5},
     true,
     0.7,
     3,
     0.8,
     Sinks::kRandom},
};

class ChainTest : public testing::TestWithParam<ChainCase> {};

TEST_P(ChainTest, EveryLinkAgreesForBothLosses) {
  const ChainCase& c = GetParam();
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    Problem p;
    p.shape = c.shape;
    p.dtype = dtype;
    p.causal = c.causal;
    p.pass = Pass::kBackward;
    p.padding = c.keep < 1 ? PaddingMask::kRandom : PaddingMask::kNone;
    p.mask_keep = c.keep;
    p.softcap = c.softcap;
    p.sinks = c.sinks;
    const Inputs in = host::random_inputs(p, static_cast<float>(c.logits));
    const auto links = check_gradient_chain(p, in);
    ASSERT_EQ(links.size(), 8u);
    for (const ChainLink& link : links) {
      EXPECT_TRUE(link.ran()) << link.name;
      EXPECT_GE(link.tensors.size(), c.sinks == Sinks::kNone ? 3u : 4u) << link.name;
      EXPECT_TRUE(link.ok()) << describe({link});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ChainTest, testing::ValuesIn(kCases),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Chain, TheMaximumCarriesNoRoundingOfAllKeysIntoOne) {
  // Positive inputs: one key has the maximum of most rows, and dP is large next to dP - D.
  Problem p;
  p.shape = {1, 1, 1, 150, 150, 32};
  p.pass = Pass::kBackward;
  Inputs in = host::random_inputs(p);
  for (Tensor* t : {&in.q, &in.k, &in.v})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, std::abs(t->at(i)));
  for (const ChainLink& link : check_gradient_chain(p, in)) {
    EXPECT_TRUE(link.ok()) << describe({link});
    if (!link.name.starts_with("autodiff")) continue;
    for (const TensorVerdict& t : link.tensors)
      EXPECT_LE(t.error_over_noise, 1) << describe({link});
  }
}

TEST(Chain, ACapFarAboveTheScoresIsNotTapedAndAgreesElsewhere) {
  Problem p;
  p.shape = {1, 2, 1, 20, 20, 8};
  p.pass = Pass::kBackward;
  p.softcap = 1e4;
  const auto links = check_gradient_chain(p, host::random_inputs(p));
  ASSERT_EQ(links.size(), 8u);
  for (const ChainLink& link : links) {
    EXPECT_EQ(link.ran(), !link.name.starts_with("autodiff")) << link.name;
    EXPECT_TRUE(!link.ran() || link.ok()) << describe({link});
  }
}

TEST(Chain, WhatAMaskedOutKeyHoldsDoesNotMatter) {
  Problem p;
  p.shape = {2, 2, 1, 9, 12, 4};
  p.pass = Pass::kBackward;
  p.padding = PaddingMask::kRandom;
  p.mask_keep = 0.5;
  Inputs in = host::random_inputs(p);
  const Dims& dims = in.k.dims();
  for (std::int64_t n = 0; n < dims.b * dims.rows; ++n) {
    if (in.key_mask[static_cast<std::size_t>(n)] != 0) continue;
    for (Tensor* t : {&in.k, &in.v})
      for (std::int64_t c = 0; c < dims.d; ++c)
        t->set(dims.index(n / dims.rows, 0, n % dims.rows, c), std::nanf(""));
  }
  for (const ChainLink& link : check_gradient_chain(p, in))
    EXPECT_TRUE(link.ok()) << describe({link});
}

TEST(Chain, WhatKeysHoldThatAWindowHidesFromAllDoesNotMatter) {
  Problem p;
  p.shape = {1, 2, 1, 5, 30, 4};
  p.pass = Pass::kBackward;
  p.window_left = 3, p.window_right = 0;
  Inputs in = host::random_inputs(p);
  for (Tensor* t : {&in.k, &in.v})
    for (std::int64_t n = 0; n < 22 * 4; ++n) t->set(n, std::nanf(""));
  for (const ChainLink& link : check_gradient_chain(p, in))
    EXPECT_TRUE(link.ok()) << describe({link});
}

TEST(Chain, LargeScoresDoNotOverflow) {
  Problem p;
  p.shape = {1, 2, 1, 12, 14, 8};
  p.pass = Pass::kBackward;
  p.scale = 200;  // exp(score - max) is finite, exp(score) is not
  for (const ChainLink& link : check_gradient_chain(p, host::random_inputs(p)))
    EXPECT_TRUE(link.ok()) << describe({link});
}

// A limit far beyond the rounding of fp64 would agree with anything.
TEST(Chain, LinksAreOffByWhatFp64RoundsAndAllowedNotMuchMore) {
  Problem p;
  p.shape = {1, 2, 1, 64, 64, 16};
  p.pass = Pass::kBackward;
  for (const ChainLink& link : check_gradient_chain(p, host::random_inputs(p))) {
    double worst = 0;
    for (const TensorVerdict& t : link.tensors) worst = std::max(worst, t.error_over_noise);
    EXPECT_GT(worst, 0.01) << describe({link});
  }
}

// All keys share what D of the one query is off by; and along a direction slopes of P sum to 0 but
// for rounding, which dO·v of one sign multiplies.
TEST(Chain, OneQueryOfManyKeysOfOneSignIsOffInAllOfThemAlike) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    Problem p;
    p.shape = {2, 2, 1, 1, 333, 24};
    p.pass = Pass::kBackward;
    p.seed = seed;
    Inputs in = host::random_inputs(p);
    for (Tensor* t : {&in.q, &in.k, &in.v})
      for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, std::abs(t->at(i)));
    const auto links = check_gradient_chain(p, in);
    for (const ChainLink& link : links)
      for (const TensorVerdict& t : link.tensors)
        EXPECT_LE(t.error_over_noise, 1.5) << seed << "\n" << describe(links);
  }
}

TEST(Chain, ATieForTheMaximumDoesNotBreakAutodiff) {
  Problem p;
  p.shape = {1, 1, 1, 6, 8, 4};
  p.pass = Pass::kBackward;
  Inputs in = host::random_inputs(p);
  for (std::int64_t i = 0; i < in.k.count(); ++i) in.k.set(i, 0.5f);
  const auto links = check_gradient_chain(p, in);
  for (const ChainLink& link : links) EXPECT_TRUE(link.ok()) << describe({link});
}

TEST(Chain, CutsWhatAutodiffCannotTapeAndRunsTheRestAtFullSize) {
  Problem p;
  p.shape = {1, 1, 1, 300, 280, 48};
  p.pass = Pass::kBackward;
  p.causal = true;
  const auto links = check_gradient_chain(p, host::random_inputs(p));
  ASSERT_EQ(links.size(), 10u);
  EXPECT_NE(links.front().on.find("copy cut to"), std::string::npos) << links.front().on;
  EXPECT_NE(links.back().on.find("full size"), std::string::npos) << links.back().on;
  for (const ChainLink& link : links) {
    EXPECT_TRUE(link.ran());
    EXPECT_TRUE(link.ok()) << describe({link});
  }
}

TEST(Chain, ACopyThatIsCutKeepsTwoWidths) {
  Problem p;
  p.shape = {1, 1, 1, 300, 280, 48, 40};
  p.pass = Pass::kBackward;
  const auto links = check_gradient_chain(p, host::random_inputs(p));
  ASSERT_EQ(links.size(), 10u);
  EXPECT_NE(links.front().on.find("d 32, d_v 26"), std::string::npos) << links.front().on;
  for (const ChainLink& link : links) EXPECT_TRUE(link.ran() && link.ok()) << describe({link});
}

TEST(Chain, SaysWhyItSkipsWhatTakesTooLong) {
  Problem p;
  p.shape = {1, 1, 1, 65536, 65536, 8};
  p.pass = Pass::kBackward;
  const auto links = check_gradient_chain(p, host::random_inputs(p));
  ASSERT_EQ(links.size(), 10u);
  EXPECT_TRUE(links.front().ran());
  EXPECT_FALSE(links.back().ran());
  EXPECT_NE(links.back().skipped.find("65536"), std::string::npos) << links.back().skipped;
}

/// A group of two query heads with normal numbers.
struct Numbers {
  Problem problem;
  Inputs inputs;
  Definition def{problem, inputs};
  Doubles q, k, v, d_o, sinks, q_way, k_way, v_way, sinks_way;
  Numbers() {
    problem.shape = {1, 2, 1, 13, 9, 4};
    problem.scale = 0.5;
    problem.causal = true;
    std::mt19937_64 generator(3);
    std::normal_distribution<double> normal;
    for (Doubles* x : {&q, &d_o, &q_way}) x->resize(2 * 13 * 4);
    for (Doubles* x : {&k, &v, &k_way, &v_way}) x->resize(9 * 4);
    for (Doubles* x : {&sinks, &sinks_way}) x->resize(2);
    for (Doubles* x : {&q, &k, &v, &d_o, &sinks, &q_way, &k_way, &v_way, &sinks_way})
      for (double& y : *x) y = normal(generator);
  }
  Numbers(const Numbers&) = delete;  // def refers to its neighbours
  Numbers& operator=(const Numbers&) = delete;
  Group group() const { return group_of(def); }
  Group group_of(const Definition& definition) const {
    return {&definition, 0, 0, q.data(), d_o.data(), k.data(), v.data(), sinks.data()};
  }
  Directions way() const { return {q_way.data(), k_way.data(), v_way.data(), sinks_way.data()}; }
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
  std::vector<Dual> o(4), p(9);
  const auto add = [&](const std::vector<Dual>& values, const std::vector<Dual>& logits,
                       std::array<double, 3>& slope) {
    for (std::int64_t r = 0; r < 2 * 13; ++r) {
      normal_row<Dual>(n.group().head(r / 13), r % 13, q.data() + r * 4, k.data(), values.data(),
                       logits.data() + r / 13, o.data(), p.data());
      for (std::size_t c = 0; c < 4; ++c)
        for (std::size_t a = 0; a < 3; ++a)
          slope[a] += n.d_o[static_cast<std::size_t>(r) * 4 + c] * o[c].slope[a];
    }
  };
  std::array<double, 3> of_values{}, of_sinks{};
  add(v, moving(n.sinks, Doubles(2, 0.0), 2), of_values);
  add(still, sinks, of_sinks);
  const Slopes want = directional_derivatives(n.group(), n.way()).slope;
  EXPECT_NEAR(of_values[0], want.q, 1e-13);
  EXPECT_NEAR(of_values[1], want.k, 1e-13);
  EXPECT_NEAR(of_values[2], want.v, 1e-13);
  EXPECT_NEAR(of_sinks[2], want.sinks, 1e-13);
}

}  // namespace
}  // namespace flashbench::oracle
