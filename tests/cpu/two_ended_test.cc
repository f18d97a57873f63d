#include <gtest/gtest.h>

#include <limits>

#include "core/visibility.h"
#include "cpu/flash_backward.h"
#include "cpu/flash_decode.h"
#include "cpu/flash_forward.h"
#include "cpu/normal.h"
#include "data/inputs.h"
#include "tests/band.h"

namespace flashbench::cpu {
namespace {

const BandCase kCases[] = {
    {"a_window_within_one_block_of_keys", {1, 1, 1, 40, 40, 16}, 5, 0},
    {"rows_that_begin_in_later_blocks", {1, 2, 1, 700, 700, 24}, 90, 0},
    {"a_window_as_wide_as_a_block", {1, 1, 1, 600, 600, 32}, 255, 0},
    {"a_window_without_an_end", {1, 1, 1, 500, 620, 16}, 60, kNo},
    {"a_window_on_both_sides", {2, 2, 2, 330, 410, 20}, 33, 17},
    {"one_key_a_row", {1, 1, 1, 300, 300, 8}, 0, 0},
    {"rows_that_see_nothing", {1, 2, 2, 300, 120, 16}, 40, 0},
    {"padding_within_the_window", {2, 4, 2, 410, 530, 16}, 70, 0, 0.4},
    {"padding_that_empties_rows", {1, 1, 1, 310, 310, 16}, 2, 0, 0.2},
    {"decode_of_a_window", {1, 4, 2, 1, 900, 64}, 300, 0},
    {"decode_of_several_rows", {2, 2, 1, 5, 700, 40}, 31, 0, 0.7},
    {"wide_head", {1, 1, 1, 260, 420, 160}, 100, 0},
};

class TwoEndedTest : public testing::TestWithParam<BandCase> {
 protected:
  std::vector<Visibility> sees(const Inputs& in) const {
    return visibilities(in.key_mask, problem_);
  }
  /// NaN in every row of K and V that counts for nobody: it must change nothing.
  void hide_nan(Inputs& in) const {
    const Shape& s = problem_.shape;
    const auto all = sees(in);
    for (std::int64_t b = 0; b < s.b; ++b)
      for (std::int64_t k = 0; k < s.kv_len; ++k) {
        if (all[static_cast<std::size_t>(b)].kept().holds(k)) continue;
        for (std::int64_t h = 0; h < s.h_kv; ++h)
          for (Tensor* t : {&in.k, &in.v})
            for (std::int64_t d = 0; d < s.d; ++d)
              t->set(t->dims().index(b, h, k, d), std::numeric_limits<float>::quiet_NaN());
      }
  }
  void check(AttentionPass& forward, AttentionPass* backward, const Inputs& clean, Inputs in,
             double tolerance) const {
    const BandReference expected(GetParam(), problem_, clean);
    Outputs out = data::make_outputs(problem_);
    out.poison();
    hide_nan(in);
    forward.allocate();
    forward.run({&in, &out}, sees(in), nullptr);
    expect_close("o", out.o, expected.o, tolerance);
    expect_close("lse", out.lse, expected.lse, tolerance);
    if (backward == nullptr) return;
    backward->allocate();
    backward->run({&in, &out}, sees(in), nullptr);
    expect_close("dq", out.dq, expected.dq, tolerance);
    expect_close("dk", out.dk, expected.dk, tolerance);
    expect_close("dv", out.dv, expected.dv, tolerance);
  }

  Problem problem_ = GetParam().problem(Dtype::kF32);
  RowMaxima maxima_ = [this] {
    RowMaxima maxima;
    maxima.allocate(problem_.shape);
    return maxima;
  }();
};

TEST_P(TwoEndedTest, FlashOnEveryLevelAndInOrder) {
  const Inputs in = data::make_inputs(problem_);
  for (const Isa isa : available_isas())
    for (const int threads : {1, 3})
      for (const bool deterministic : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << name(isa) << ", " << threads << " threads, in order " << deterministic);
        const Execution e{.isa = isa, .threads = threads, .deterministic = deterministic};
        FlashForward forward(problem_, e, &maxima_);
        FlashBackward backward(problem_, e, maxima_);
        check(forward, &backward, in, data::make_inputs(problem_), 2e-5);
      }
}

TEST_P(TwoEndedTest, FlashOn16Bits) {
  problem_ = GetParam().problem(Dtype::kBf16);
  const Inputs in = data::make_inputs(problem_);
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(name(isa));
    const Execution e{.isa = isa, .threads = 2};
    FlashForward forward(problem_, e, &maxima_);
    FlashBackward backward(problem_, e, maxima_);
    check(forward, &backward, in, data::make_inputs(problem_), 2e-2);
  }
}

TEST_P(TwoEndedTest, Decode) {
  const Inputs in = data::make_inputs(problem_);
  for (const Isa isa : available_isas()) {
    if (!FlashDecode::suits(problem_.shape, 0, tile_ops(isa, problem_.dtype))) continue;
    SCOPED_TRACE(name(isa));
    FlashDecode forward(problem_, {.isa = isa, .threads = 2},
                        elements_with_queries(problem_.shape));
    check(forward, nullptr, in, data::make_inputs(problem_), 2e-5);
  }
}

TEST_P(TwoEndedTest, Normal) {
  const Inputs in = data::make_inputs(problem_);
  const Execution e{.isa = best_isa(Dtype::kF32), .threads = 2};
  NormalForward forward(problem_, e, tile_ops(e.isa));
  NormalBackward backward(problem_, e, forward);
  check(forward, &backward, in, data::make_inputs(problem_), 2e-5);
}

TEST_P(TwoEndedTest, FlopExecutedFollowsTheBand) {
  const BandCase& c = GetParam();
  if (c.keep < 1.0 || c.shape.q_len < 500) return;
  const Execution e{.isa = best_isa(Dtype::kF32), .threads = 1};
  const auto band = sees({});
  Problem causal = problem_;
  causal.window_left.reset();
  causal.window_right.reset();
  causal.causal = true;
  const auto all = visibilities({}, causal);
  const FlashForward forward(problem_, e);
  const FlashBackward backward(problem_, e, maxima_);
  if (c.ahead == kNo) return;
  EXPECT_LT(forward.flop_executed(band), forward.flop_executed(all));
  EXPECT_LT(backward.flop_executed(band), backward.flop_executed(all));
}

INSTANTIATE_TEST_SUITE_P(Bands, TwoEndedTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench::cpu
