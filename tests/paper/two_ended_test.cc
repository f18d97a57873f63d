#include <gtest/gtest.h>

#include "data/inputs.h"
#include "paper/backward.h"
#include "paper/forward.h"
#include "tests/band.h"

namespace flashbench::paper {
namespace {

const BandCase kCases[] = {
    {"blocks_that_early_rows_alone_see", {1, 1, 1, 70, 70, 8}, 5, 0},
    {"a_window_without_an_end", {1, 1, 1, 50, 62, 8}, 12, kNo},
    {"rows_that_see_nothing", {1, 2, 2, 40, 17, 8}, 4, 0},
    {"padding_that_empties_rows", {2, 2, 1, 60, 60, 8}, 2, 1, 0.3},
};

class TwoEndedTest : public testing::TestWithParam<BandCase> {};

TEST_P(TwoEndedTest, AlgorithmsOfThePaper) {
  const BandCase& c = GetParam();
  const Problem p = c.problem(Dtype::kF32);
  const Shape& s = p.shape;
  const Inputs in = data::make_inputs(p);
  const BandReference expected(c, p, in);
  Outputs out = data::make_outputs(p);
  for (Tensor* t : {&out.dk, &out.dv}) std::fill_n(t->as<float>(), t->count(), 0.0f);
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h; ++h) {
      Head head{s.q_len, s.kv_len, s.d, s.d_v(), p.softmax_scale(), visible_of(p)};
      if (!in.key_mask.empty()) head.key_mask = in.key_mask.data() + b * s.kv_len;
      head.q_block = 16, head.kv_block = 8;
      const auto at = [&](const auto& t, std::int64_t of) {
        return const_cast<Tensor&>(t).template as<float>() + t.dims().index(b, of, 0, 0);
      };
      const std::int64_t g = s.kv_head(h);
      std::vector<float> work(
          static_cast<std::size_t>(std::max(forward_workspace(head), backward_workspace(head))));
      std::vector<float> m(static_cast<std::size_t>(s.q_len)), l(m.size());
      const RowSoftmax<float> rows = {m.data(), l.data()};
      forward<float>(head, at(in.q, h), at(in.k, g), at(in.v, g), at(out.o, h), at(out.lse, h),
                     rows, work.data());
      backward<float>(head, at(in.q, h), at(in.k, g), at(in.v, g), at(out.o, h), rows,
                      at(in.d_o, h), at(out.dq, h), at(out.dk, g), at(out.dv, g), work.data());
    }
  expect_close("o", out.o, expected.o, 2e-5);
  expect_close("lse", out.lse, expected.lse, 2e-5);
  expect_close("dq", out.dq, expected.dq, 2e-5);
  expect_close("dk", out.dk, expected.dk, 2e-5);
  expect_close("dv", out.dv, expected.dv, 2e-5);
}

TEST_P(TwoEndedTest, ExecutedPairsAreThoseOfRowsThatSeeAKeyOfABlock) {
  const BandCase& c = GetParam();
  const Shape& s = c.shape;
  Head head{s.q_len, s.kv_len, s.d, s.d_v(), 1.0, visible_of(c.problem(Dtype::kF32))};
  head.kv_block = 8;
  double pairs = 0;
  for (std::int64_t k = 0; k < s.kv_len; k += 8) {
    const std::int64_t end = std::min<std::int64_t>(k + 8, s.kv_len);
    for (std::int64_t q = 0; q < s.q_len; ++q) {
      bool any = false;
      for (std::int64_t j = k; j < end; ++j) any = any || head.visible(q, j);
      if (any) pairs += static_cast<double>(end - k);
    }
  }
  EXPECT_EQ(executed_pairs(head), pairs);
}

INSTANTIATE_TEST_SUITE_P(Bands, TwoEndedTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench::paper
