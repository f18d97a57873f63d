#include "oracle/chain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>

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
  Alibi alibi = Alibi::kNone;
  std::optional<BiasShape> bias = {};
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
    {"alibi", {2, 4, 2, 20, 25, 6}, true, 0.5, 1, 0, Sinks::kNone, Alibi::kStandard},
    {"bias_of_all",
     {2, 4, 2, 20, 25, 6},
     true,
     0.5,
     1,
     0,
     Sinks::kNone,
     Alibi::kNone,
     BiasShape::kShared},
    {"bias_of_heads",
     {2, 4, 2, 20, 25, 6},
     false,
     1,
     1,
     0,
     Sinks::kNone,
     Alibi::kNone,
     BiasShape::kHead},
    {"bias_of_batch_elements_and_all_else",
     {2, 4, 2, 20, 25, 6, 9},
     true,
     0.5,
     1,
     0.8,
     Sinks::kRandom,
     Alibi::kStandard,
     BiasShape::kBatch},
    {"bias_of_each",
     {2, 2, 1, 33, 40, 4, 19},
     true,
     1,
     3,
     0,
     Sinks::kNone,
     Alibi::kNone,
     BiasShape::kBatchAndHead},
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
    p.alibi = c.alibi;
    if (c.bias) p.bias = Bias::kRandom, p.bias_shape = *c.bias;
    const Inputs in = host::random_inputs(p, static_cast<float>(c.logits));
    const auto links = check_gradient_chain(p, in);
    ASSERT_EQ(links.size(), 8u);
    for (const ChainLink& link : links) {
      EXPECT_TRUE(link.ran()) << link.name;
      EXPECT_GE(link.tensors.size(), 3u + (c.sinks == Sinks::kNone ? 0 : 1) + (c.bias ? 1 : 0))
          << link.name;
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

}  // namespace
}  // namespace flashbench::oracle
