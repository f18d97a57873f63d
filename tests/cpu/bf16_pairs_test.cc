// The drivers on operands of bf16 pairs, with the table that needs no processor with dot products.
#include <gtest/gtest.h>

#include "cpu/flash_backward.h"
#include "cpu/flash_forward.h"
#include "cpu/normal.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

// Odd numbers of queries, keys and columns leave half of the last word empty.
constexpr AttentionCase kCases[] = {
    {"everything_even", {1, 2, 2, 48, 64, 32}},
    {"odd_head_dimension", {1, 1, 1, 24, 40, 33}},
    {"odd_number_of_keys", {1, 1, 1, 24, 41, 16}},
    {"odd_number_of_queries", {1, 1, 1, 23, 40, 16}},
    {"all_odd_causal", {1, 2, 2, 101, 101, 21}, true},
    {"several_blocks_causal", {1, 1, 1, 301, 417, 24}, true},
    {"more_queries_than_keys", {1, 1, 1, 71, 31, 16}, true},
    {"padding_and_causal_group", {2, 6, 2, 67, 93, 20}, true, 0.5},
    {"wide_head", {1, 1, 1, 25, 301, 160}},
    {"large_logits", {1, 1, 1, 40, 150, 64}, false, 1.0, 3.75},
    {"negative_scale", {1, 1, 1, 21, 43, 32}, true, 1.0, -0.2},
    {"odd_d_and_even_d_v", {1, 2, 1, 41, 73, 21, 48}, true},
    {"even_d_and_odd_d_v", {1, 2, 2, 41, 73, 48, 21}, false, 0.5},
    {"d_v_beyond_a_block_of_keys", {1, 1, 1, 23, 40, 1, 130}},
};

class Bf16PairsTest : public testing::TestWithParam<AttentionCase> {
 protected:
  static void run(AttentionPass& driver, const Problem& p, const Inputs& in, Outputs& out) {
    const auto sees = visibilities(in.key_mask, p);
    driver.allocate();
    driver.run({&in, &out}, sees, nullptr);
  }
  static void expect_within_noise(const Problem& p, const Inputs& in, const Outputs& out) {
    const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
    EXPECT_TRUE(v.checked() && v.ok()) << describe(v);
  }
};

TEST_P(Bf16PairsTest, FlashForwardAndBackward) {
  const Problem p = GetParam().problem(Dtype::kBf16);
  const Inputs in = data::make_inputs(p);
  for (const int threads : {1, 3}) {
    const Execution e{.isa = Isa::kScalar, .threads = threads};
    Outputs out = data::make_outputs(p);
    out.poison();
    RowMaxima maxima;
    maxima.allocate(p.shape);
    FlashForward forward(p, e, pairs_without_simd(), &maxima);
    FlashBackward backward(p, e, pairs_without_simd(), maxima);
    run(forward, p, in, out);
    run(backward, p, in, out);
    expect_within_noise(p, in, out);
  }
}

TEST_P(Bf16PairsTest, NormalForward) {
  const Problem p = GetParam().problem(Dtype::kBf16, Pass::kForward);
  const Inputs in = data::make_inputs(p);
  const Execution e{.isa = Isa::kScalar, .threads = 2};
  Outputs out = data::make_outputs(p);
  out.poison();
  NormalForward forward(p, e, pairs_without_simd());
  run(forward, p, in, out);
  expect_within_noise(p, in, out);
}

INSTANTIATE_TEST_SUITE_P(Pairs, Bf16PairsTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench::cpu
