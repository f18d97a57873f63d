// The drivers on operands of bf16 pairs, with the table that needs no processor with dot products.
#include <gtest/gtest.h>

#include <algorithm>

#include "cpu/flash_backward.h"
#include "cpu/flash_forward.h"
#include "cpu/normal.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"

namespace flashbench::cpu {
namespace {

const TileOps& pairs_without_simd() {
  const std::vector<TileOps>& forms = tile_forms(Isa::kScalar);
  return *std::find_if(forms.begin(), forms.end(),
                       [](const TileOps& ops) { return ops.per_word == 2; });
}

struct PairCase {
  const char* guards_against;
  Shape shape;
  bool causal = false;
  double keep = 1.0;  ///< of a random padding mask; 1: none
  double scale = 0;   ///< 0: the default
};

// Odd numbers of queries, keys and columns leave half of the last word empty.
constexpr PairCase kCases[] = {
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
};

class Bf16PairsTest : public testing::TestWithParam<PairCase> {
 protected:
  Problem problem(Pass pass) const {
    const PairCase& c = GetParam();
    Problem p;
    p.shape = c.shape;
    p.dtype = Dtype::kBf16;
    p.pass = pass;
    p.causal = c.causal;
    p.d_o = GradSource::kRandom;
    if (c.keep < 1.0) {
      p.padding = PaddingMask::kRandom;
      p.mask_keep = c.keep;
    }
    if (c.scale != 0) p.scale = c.scale;
    return p;
  }
  static void run(Driver& driver, const Problem& p, const Inputs& in, Outputs& out) {
    const auto sees = visibilities(in.key_mask, p.causal, p.shape.b, p.shape.q_len, p.shape.kv_len);
    driver.allocate();
    driver.run({&in, &out}, sees, nullptr);
  }
  static void expect_within_noise(const Problem& p, const Inputs& in, const Outputs& out) {
    const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
    EXPECT_TRUE(v.checked() && v.ok());
    for (const TensorVerdict& t : v.tensors)
      EXPECT_TRUE(t.ok) << t.tensor << " " << t.error_over_noise << "x, got " << t.got << ", want "
                        << t.want;
  }
};

TEST_P(Bf16PairsTest, FlashForwardAndBackward) {
  const Problem p = problem(Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  for (const int threads : {1, 3}) {
    const Execution e{.isa = Isa::kScalar, .threads = threads};
    Outputs out = data::make_outputs(p);
    out.poison();
    FlashForward forward(p, e, pairs_without_simd());
    FlashBackward backward(p, e, pairs_without_simd());
    run(forward, p, in, out);
    run(backward, p, in, out);
    expect_within_noise(p, in, out);
  }
}

TEST_P(Bf16PairsTest, NormalForward) {
  const Problem p = problem(Pass::kForward);
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
