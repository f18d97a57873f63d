#include "oracle/cut.h"

#include <gtest/gtest.h>

#include "oracle/autodiff.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

TEST(Cut, TakesFromEachBatchElementItsOwnRowsAndMask) {
  Problem p = problem({3, 4, 2, 6, 8, 5});
  p.padding = PaddingMask::kFile;
  Inputs in = host::random_inputs(p);
  for (std::int64_t i = 0; i < 3 * 8; ++i) in.key_mask.push_back(i * 5 % 7 < 4 ? 1 : 0);
  const OwnedCase small = cut(p, in, {2, 2, 1, 3, 5, 4});
  const auto same = [](const Tensor& part, const Tensor& whole) {
    const Dims& dims = part.dims();
    for (std::int64_t i = 0; i < part.count(); ++i) {
      const std::int64_t row = i / dims.d, head = row / dims.rows;
      EXPECT_EQ(part.at(i), whole.at(head / dims.h, head % dims.h, row % dims.rows, i % dims.d));
    }
  };
  same(small.inputs.q, in.q);
  same(small.inputs.k, in.k);
  same(small.inputs.v, in.v);
  same(small.inputs.d_o, in.d_o);
  ASSERT_EQ(small.inputs.key_mask.size(), 2u * 5u);
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t j = 0; j < 5; ++j)
      EXPECT_EQ(small.inputs.key_mask[b * 5 + j], in.key_mask[b * 8 + j]) << b << " " << j;
}

// A window as long as that of the whole would hide nothing of the copy.
TEST(Cut, AWindowBecomesAsMuchShorterAsTheKeys) {
  Problem p = problem({1, 1, 1, 800, 1000, 4});
  p.window_left = 100, p.window_right = 0;
  const Inputs in = host::random_inputs(p);
  const Problem tenth = cut(p, in, {1, 1, 1, 80, 100, 4}).problem;
  EXPECT_EQ(tenth.window_left, 10);
  EXPECT_EQ(tenth.window_right, 0);
  p.window_left = 3;
  p.window_right.reset();
  const Problem least = cut(p, in, {1, 1, 1, 80, 100, 4}).problem;
  EXPECT_EQ(least.window_left, 1) << "a window of the own key alone is another mask";
  EXPECT_FALSE(least.window_right.has_value());
  EXPECT_EQ(cut(p, in, p.shape).problem.window_left, 3);
}

TEST(Cut, OneQueryOfManyKeysBecomesTapeableToo) {
  const Shape decode = {1, 1, 1, 1, 1 << 20, 32};
  const Shape small = tapeable(decode);
  EXPECT_EQ(small.q_len, 1);
  EXPECT_LT(small.kv_len, 1 << 17);
  EXPECT_GT(small.kv_len, 1 << 11);  // no smaller than it must be
}

TEST(Cut, FillsDoToTheLastElement) {
  Problem p;
  p.shape = {1, 1, 1, 3, 3, 5};
  Inputs in = host::random_inputs(p);
  for (const GradSource source : {GradSource::kOnes, GradSource::kRandom}) {
    fill_d_o(p, source, in);
    ASSERT_EQ(in.d_o.count(), 15);
    for (std::int64_t i = 0; i < 15; ++i) {
      EXPECT_NE(in.d_o.at(i), 0) << i;
      EXPECT_EQ(in.d_o.at(i) == 1, source == GradSource::kOnes) << i;
    }
  }
}

// A guess below what is taped makes the tape spill into files, which differentiate refuses.
TEST(Cut, TheTapeOfNarrowHeadsFitsItsGuess) {
  Problem p;
  p.shape = {1, 1, 1, 200, 300, 1};
  p.pass = Pass::kBackward;
  const Inputs in = host::random_inputs(p);
  const Definition def(p, in);
  const Doubles q(200, 0.5), k(300, 0.25), v(300, 1), d_o(200, 1);
  const Group group{&def, 0, 0, q.data(), d_o.data(), k.data(), v.data()};
  for (const Formulation formulation : {Formulation::kNormal, Formulation::kFlash})
    EXPECT_EQ(differentiate(group, formulation).dv.size(), 300u);
}

}  // namespace
}  // namespace flashbench::oracle
