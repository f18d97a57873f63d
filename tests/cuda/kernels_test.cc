// Every kernel of the CUDA backend, as compiled, on the emulated device against the fp64 oracle.
#include "cuda/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cuda/device/absent.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"

namespace flashbench::cuda {
namespace {

constexpr AttentionCase kOneQuery = {"one_query", {1, 4, 2, 1, 129, 64}, true};
constexpr AttentionCase kOneMoreThanATile = {"one_more_than_a_tile", {1, 1, 1, 65, 129, 64}, true};
constexpr AttentionCase kPaddingAndCausal = {
    "padding_and_causal", {2, 2, 1, 90, 110, 64}, true, 0.5};
// What a kernel of few queries takes in its place.
constexpr AttentionCase kFewRows = {
    "few_queries_with_padding_and_causal", {2, 4, 2, 7, 190, 64}, true, 0.5};

constexpr AttentionCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 1}},
    kOneQuery,
    {"one_short_of_a_tile", {1, 1, 1, 63, 127, 64}},
    {"full_tiles", {1, 1, 1, 64, 128, 64}, true},
    kOneMoreThanATile,
    {"three_key_tiles_and_a_tail", {1, 1, 1, 20, 200, 128}},
    {"three_query_tiles_and_a_tail", {1, 1, 1, 200, 30, 128}},
    {"rows_that_see_nothing", {1, 2, 1, 100, 37, 64}, true},
    {"more_keys_than_queries_causal", {1, 1, 1, 30, 150, 64}, true},
    {"padding_alone", {2, 2, 2, 40, 150, 64}, false, 0.5},
    kPaddingAndCausal,
    {"padding_keeps_nothing", {2, 1, 1, 9, 20, 16}, false, 0.0},
    {"padding_keeps_little", {2, 1, 1, 70, 100, 16}, true, 0.03},
    {"group_of_three", {1, 6, 2, 33, 70, 32}, true},
    {"multi_query_with_padding", {2, 4, 1, 37, 80, 48}, false, 0.6},
    {"rows_padded_to_16_bytes", {1, 2, 2, 20, 33, 7}},
    {"d_111", {1, 1, 1, 40, 50, 111}, true},
    {"d_160_needs_the_next_size", {1, 1, 1, 40, 70, 160}},
    {"d_256", {1, 1, 1, 40, 70, 256}, true},
    {"large_logits", {1, 1, 1, 40, 90, 64}, false, 1.0, 3.75},
    {"negative_scale", {1, 1, 1, 20, 40, 32}, true, 1.0, -0.2},
    {"scale_zero_is_a_mean", {1, 1, 1, 20, 40, 32}, true, 1.0, 0.0},
    {"maxima_of_1e5_rise", {1, 1, 1, 48, 300, 256}, false, 1.0, 1e4},
    {"scores_of_1e9", {1, 1, 1, 48, 150, 64}, true, 1.0, 1e8},
    {"scores_of_minus_1e31", {1, 1, 1, 48, 150, 256}, true, 1.0, -1e30},
};

// Beyond what tensor cores are used for; many instructions, so few of them.
constexpr AttentionCase kWide[] = {
    {"d_320", {1, 1, 1, 35, 70, 320}, true},
    {"d_300_and_scores_of_1e9", {1, 1, 1, 20, 70, 300}, true, 1.0, 1e8},
    {"d_1024", {1, 1, 1, 18, 70, 1024}},
};

constexpr Execution kEmulated{.device = kEmulatedDevice};

Outputs run(const Kernel& kernel, const Problem& p, const Inputs& in, std::uint64_t seed = 1) {
  Execution emulated = kEmulated;
  emulated.order_seed = seed;
  Outputs out = data::make_outputs(p);
  out.poison();
  const auto plan = kernel.plan(p, emulated, in);
  EXPECT_EQ(plan->workspace_bytes(), kernel.workspace_bytes(p, kEmulated));
  const Operands io{&in, &out};
  plan->prepare(io);
  plan->launch(io);
  plan->collect(io);
  return out;
}

class KernelTest : public testing::TestWithParam<const Kernel*> {
 protected:
  bool has_gradients() const { return GetParam()->supports().features.has(Feature::kGradients); }
  Pass pass() const { return has_gradients() ? Pass::kBoth : Pass::kForward; }
  /// A kernel for split f32 operands alone is given those.
  bool only_split() const { return GetParam()->supports().features.has(Feature::kBf16x6); }
  Problem posed(Problem p) const {
    if (only_split()) {
      p.dtype = Dtype::kF32;
      p.f32_math = F32Math::kBf16x6;
    }
    return p;
  }
  bool takes(const AttentionCase& c, Dtype dtype) const {
    return !GetParam()->refuses(posed(c.problem(dtype, pass())), kEmulated);
  }
  int cases_of_its_d() const {
    return static_cast<int>(std::count_if(
        std::begin(kCases), std::end(kCases),
        [](const AttentionCase& c) { return c.shape.d <= GetParam()->supports().max_d; }));
  }
  /// A padding and a causal mask, with as many queries as the kernel takes.
  const AttentionCase& padding_and_causal() const {
    return takes(kPaddingAndCausal, Dtype::kBf16) ? kPaddingAndCausal : kFewRows;
  }
  void expect_right(const AttentionCase& c, Dtype dtype) {
    if (!takes(c, dtype) || (only_split() && dtype != Dtype::kF32)) return;
    const Problem p = posed(c.problem(dtype, pass()));
    ++ran_;
    const Inputs in = data::make_inputs(p);
    const oracle::Reference reference(p, in, VerifyLevel::kFull);
    try {
      const Verdict v = reference.verify(run(*GetParam(), p, in));
      EXPECT_TRUE(v.checked() && v.ok())
          << c.guards_against << " " << name(dtype) << ": " << describe(v);
    } catch (const std::exception& e) {
      ADD_FAILURE() << c.guards_against << " " << name(dtype) << ": " << e.what();
    }
  }
  int ran_ = 0;
};

TEST_P(KernelTest, ForwardAndBackwardAreWithinTheirNoise) {
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes) expect_right(c, dtype);
  const bool any_rows = takes(kPaddingAndCausal, Dtype::kBf16);
  EXPECT_GE(ran_, any_rows ? cases_of_its_d() : 6);
}

TEST_P(KernelTest, WideHeadDimensionsAreWithinTheirNoise) {
  for (const AttentionCase& c : kWide)
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) expect_right(c, dtype);
}

// More queries than keys, so that some see nothing; groups; keys that are not kept; two batch
// elements.
TEST_P(KernelTest, VariantsAreWithinTheirNoise) {
  Problem p =
      posed(AttentionCase{"", {2, 6, 2, 70, 50, 40}, true, 0.7}.problem(Dtype::kBf16, pass()));
  const auto expect_right = [&](const char* what, const Problem& problem) {
    if (GetParam()->refuses(problem, kEmulated)) return;
    const Inputs in = data::make_inputs(problem);
    const Verdict v =
        oracle::verify(problem, in, run(*GetParam(), problem, in), VerifyLevel::kFull);
    EXPECT_TRUE(v.checked() && v.ok()) << what << ": " << describe(v);
  };
  Problem all = p;
  all.softcap = 1.5;
  all.alibi = Alibi::kStandard;
  all.sinks = Sinks::kRandom;
  all.shape.own_d_v = 56;
  expect_right("all at once", all);
  for (const double scale : {-0.7, 0.0}) {
    Problem with_sinks = p;
    with_sinks.scale = scale;
    with_sinks.sinks = Sinks::kRandom;
    expect_right("sinks", with_sinks);
    with_sinks.alibi = Alibi::kStandard;
    expect_right("sinks and ALiBi", with_sinks);
  }
}

// Of two sequences there is nothing to compute.
TEST_P(KernelTest, SequencesOfTheirOwnLengthsAreWithinTheirNoise) {
  for (const Pass asked : {pass(), Pass::kForward})
    for (const bool variants : {false, true}) {
      Problem p = posed(AttentionCase{"", {1, 4, 2, 1, 1, 40}, true}.problem(Dtype::kBf16, asked));
      p.ragged = Ragged::kLengths;
      p.shape.set(Sequences::of({{33, 50}, {1, 70}, {0, 9}, {1, 70}, {40, 20}, {7, 0}}));
      if (variants) {
        p.softcap = 2;
        p.alibi = Alibi::kStandard;
        p.sinks = Sinks::kRandom;
        p.shape.own_d_v = 56;
        p.window_left = 30;
      }
      if (const auto why = GetParam()->refuses(p, kEmulated)) {
        EXPECT_NE(why->reason.find("--ragged"), std::string::npos) << why->reason;
        continue;
      }
      const Inputs in = data::make_inputs(p);
      const Outputs out = run(*GetParam(), p, in);
      const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
      EXPECT_TRUE(v.checked() && v.ok()) << describe(v);
    }
}

// exp of such a sink is no number of f32; nor is that of its negative more than 0.
TEST_P(KernelTest, SinksOfAnySizeGiveFiniteResults) {
  Problem p = AttentionCase{"", {1, 4, 2, 70, 50, 40}, true, 0.7}.problem(Dtype::kBf16, pass());
  p.sinks = Sinks::kRandom;
  if (GetParam()->refuses(p, kEmulated)) GTEST_SKIP() << "it does not take sinks";
  Inputs in = data::make_inputs(p);
  in.sinks = {100, -100, 1e30f, -1e30f};
  const Outputs out = run(*GetParam(), p, in);
  const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
  EXPECT_TRUE(v.checked() && v.ok()) << describe(v);
  for (std::int64_t h = 0; h < p.shape.h; ++h) {
    EXPECT_TRUE(std::isfinite(out.dsinks.at(h))) << h;
    EXPECT_TRUE(std::isfinite(out.lse.at(h * p.shape.q_len))) << h;  // it sees nothing
  }
}

TEST_P(KernelTest, BackwardAloneUsesTheForwardOfPrepare) {
  if (!has_gradients()) GTEST_SKIP() << "it computes no gradients";
  const Problem p = posed(padding_and_causal().problem(Dtype::kBf16, Pass::kBackward));
  const Inputs in = data::make_inputs(p);
  const Verdict v = oracle::verify(p, in, run(*GetParam(), p, in), VerifyLevel::kFull);
  EXPECT_TRUE(v.ok()) << describe(v);
}

TEST_P(KernelTest, TwoRunsInDifferentOrdersAreBitwiseEqual) {
  const Problem p = posed(padding_and_causal().problem(Dtype::kBf16, pass()));
  const Inputs in = data::make_inputs(p);
  const Outputs a = run(*GetParam(), p, in, 1), b = run(*GetParam(), p, in, 2);
  const auto equal = [](const Tensor& x, const Tensor& y) {
    return std::memcmp(x.data(), y.data(), x.bytes()) == 0;
  };
  EXPECT_TRUE(equal(a.o, b.o) && equal(a.lse, b.lse));
  EXPECT_TRUE(equal(a.dq, b.dq) && equal(a.dk, b.dk) && equal(a.dv, b.dv));
}

TEST_P(KernelTest, WhatAMaskHidesIsNeverRead) {
  const Problem p = posed(padding_and_causal().problem(Dtype::kBf16, pass()));
  const Inputs clean = data::make_inputs(p);
  Inputs in = data::make_inputs(p);
  const Shape& s = p.shape;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t key = 0; key < s.kv_len; ++key) {
      if (in.key_mask[static_cast<std::size_t>(b * s.kv_len + key)] != 0) continue;
      for (std::int64_t h = 0; h < s.h_kv; ++h)
        for (std::int64_t d = 0; d < s.d; ++d)
          for (Tensor* t : {&in.k, &in.v}) t->set(s.k_dims().index(b, h, key, d), NAN);
    }
  const Verdict v = oracle::verify(p, clean, run(*GetParam(), p, in), VerifyLevel::kFull);
  EXPECT_TRUE(v.ok()) << describe(v);
}

TEST_P(KernelTest, ExecutedFlopIsWhatWasPredicted) {
  const AttentionCase& c = takes(kOneMoreThanATile, Dtype::kBf16) ? kOneMoreThanATile : kOneQuery;
  const Problem p = posed(c.problem(Dtype::kBf16, pass()));
  const Inputs in = data::make_inputs(p);
  const auto plan = GetParam()->plan(p, kEmulated, in);
  EXPECT_EQ(plan->flop_executed(), GetParam()->predicted_flop(p, kEmulated));
  const Shape& s = p.shape;
  const auto always_visible = static_cast<double>(s.h * s.q_len * (s.kv_len - s.q_len));
  EXPECT_GT(plan->flop_executed(), (has_gradients() ? 14.0 : 4.0) * 64 * always_visible);
}

INSTANTIATE_TEST_SUITE_P(EveryKernel, KernelTest, testing::ValuesIn(kernels()),
                         [](const auto& k) { return k.param->info().name; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KernelTest);

}  // namespace
}  // namespace flashbench::cuda
