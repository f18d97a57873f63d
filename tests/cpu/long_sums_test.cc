// Equal terms all round the same way: in one chain of thousands the error is hundreds of units, in
// parts of 128 it is that of one part. Each operation that adds up, then the kernels.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/visibility.h"
#include "cpu/attention_pass.h"
#include "cpu/flash_backward.h"
#include "cpu/flash_forward.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

/// Of a sum of up to 32 parts, relative: a chain of n equal terms is off by n/6 units on average
/// over its binades, by n/2 at worst.
constexpr double kMost = (kLongestChain + 32) / 2 * 0x1p-24;

void expect_sum(float got, double want) { ASSERT_NEAR(double{got}, want, kMost * want); }

std::vector<float> equal(std::int64_t n, float x) {
  return std::vector<float>(static_cast<std::size_t>(n), x);
}

class LongSumsTest : public testing::TestWithParam<TileOps> {
 protected:
  const TileOps ops = GetParam();
  /// So long that each lane of a vector has thousands of terms.
  const std::int64_t n = 32 * 2 * kLongestChain * ops.lanes + 3;
};

TEST_P(LongSumsTest, TheSumOfARowOfEqualProbabilities) {
  std::vector<float> s = equal(n, -0.7f);
  const float sum = ops.row_exp2(s.data(), n, 0.1f, 1.0f);
  expect_sum(sum, static_cast<double>(n) * double{s[0]});
}

TEST_P(LongSumsTest, TheDotProductOfEqualRows) {
  const std::vector<float> x = equal(n, 0.1f), y = equal(n, 0.7f);
  const double want = static_cast<double>(n) * double{0.1f} * double{0.7f};
  EXPECT_NEAR(ops.row_dot(x.data(), y.data(), n), want, 1e-10 * want);
}

TEST_P(LongSumsTest, ScoresOfWideRowsReadInPlaceWithEveryTail) {
  const std::int64_t d = (15 * kLongestChain + 2) * ops.lanes;
  for (const std::int64_t rows : {1, 4, 7}) {
    const Dtype dtype = ops.per_word == 2 ? Dtype::kBf16 : Dtype::kF32;
    const float x = dtype == Dtype::kBf16 ? to_f32(to_bf16(0.1f)) : 0.1f;
    std::vector<std::byte> b(static_cast<std::size_t>(rows * d) * size_bytes(dtype));
    ops.row_store(equal(rows * d, x).data(), rows * d, 1.0f, dtype, b.data());
    const std::int64_t stride = round_up(ops.words(d), ops.lanes);
    std::vector<float> a = equal(rows * stride, NAN), c = equal(rows * rows, NAN);
    ops.pack_rows({b.data(), dtype, d, nullptr}, rows, d, 1.0f, a.data(), stride);
    ops.dots(rows, rows, d, {a.data(), stride, 1}, {b.data(), dtype, d, nullptr}, {c.data(), rows},
             {});
    for (const float dot : c) expect_sum(dot, static_cast<double>(d) * double{x} * double{x});
  }
}

TEST_P(LongSumsTest, SumsOfManyRowsReadInPlaceInOneCallAndInMany) {
  const std::int64_t d = 3 * ops.lanes;
  for (const auto& [keys, calls] :
       {std::pair{15 * kLongestChain + 2, 1}, std::pair{kLongestChain, 15}})
    for (const std::int64_t rows : {1, 4, 7}) {
      const std::vector<float> p = equal(rows * keys, 0.1f), b = equal(keys * d, 0.1f);
      std::vector<float> c = equal(rows * d, 0.0f);
      for (int i = 0; i < calls; ++i)
        ops.add_rows(rows, keys, d, {p.data(), keys, 1}, {b.data(), Dtype::kF32, d, nullptr},
                     {c.data(), d}, {});
      for (const float sum : c)
        expect_sum(sum, static_cast<double>(calls * keys) * double{0.1f} * 0.1f);
    }
}

/// P = 2^(factor·(product - max)) with a factor that shows an error of a product as one of P.
TEST_P(LongSumsTest, ProductsOfWideRowsInEveryFormOfTheProduct) {
  const std::int64_t d = 16 * kLongestChain, words = ops.words(d), m = 5, keys = 7;
  const std::vector<float> rows = equal(m * d, 0.1f), columns = equal(keys * d, 0.1f);
  std::vector<float> a(static_cast<std::size_t>(m * words));
  std::vector<float> b(static_cast<std::size_t>(round_up(keys, ops.cols) * words));
  ops.pack_rows({rows.data(), Dtype::kF32, d, nullptr}, m, d, 1.0f, a.data(), words);
  ops.pack_panels_transposed({columns.data(), Dtype::kF32, d, nullptr}, keys, d, 1.0f, b.data());
  const MatrixA left = {a.data(), words, 1};
  const MatrixB right = {b.data(), ops.cols, words * ops.cols};
  const std::int64_t stride = round_up(keys, ops.cols);
  const double x = double{ops.per_word == 2 ? to_f32(to_bf16(0.1f)) : 0.1f};
  const double want = static_cast<double>(d) * x * x;

  std::vector<float> c = equal(m * stride, NAN);
  ops.gemm(m, keys, words, left, right, {c.data(), stride}, Write::kStore, {});
  for (std::int64_t i = 0; i < m * keys; ++i)
    expect_sum(c[static_cast<std::size_t>(i / keys * stride + i % keys)], want);

  const std::vector<float> max = equal(m, static_cast<float>(want));
  const float factor = static_cast<float>(1 / (want * kMost));
  for (const auto exp2 : {ops.gemm_exp2, ops.gemm_exp2_rows}) {
    std::vector<float> sums = equal(m * ops.lanes, NAN);
    const bool fits = exp2(m, keys, words, left, right, {c.data(), stride},
                           {max.data(), sums.data(), factor}, {});
    ASSERT_TRUE(fits);
    for (std::int64_t i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = 0; l < ops.lanes; ++l)
        sum += double{sums[static_cast<std::size_t>(i * ops.lanes + l)]};
      EXPECT_LE(std::fabs(std::log2(sum / static_cast<double>(keys))), 1.1) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, LongSumsTest, testing::ValuesIn(forms_of_both_operands()), name_of);

/// Correct kernels stay below three quarters of the limit, which is 2.
void expect_well_within_noise(const oracle::Reference& reference, const Outputs& out,
                              const std::string& where) {
  for (const TensorVerdict& t : reference.verify(out).tensors)
    EXPECT_LE(t.error_over_noise, 1.5) << where << " " << t.tensor;
}

Problem constant(Shape shape, Dtype dtype, Pass pass) {
  Problem p = AttentionCase{"", shape}.problem(dtype, pass);
  p.values = Values::kConstant;
  return p;
}

void expect_kernels_well_within_noise(const Problem& p) {
  const Inputs in = data::make_inputs(p);
  const oracle::Reference reference(p, in, VerifyLevel::kFull);
  for (const Isa isa : available_isas())
    for (const Kernel* kernel : kernels())
      expect_well_within_noise(reference, run(*kernel, p, {.isa = isa, .threads = 2}, in),
                               fmt::format("{} {}", kernel->info().name, name(isa)));
}

TEST(LongSums, EqualKeysOfALongRowAtEveryLevel) {
  for (const Dtype dtype : kDtypes)
    expect_kernels_well_within_noise(constant({1, 1, 1, 24, 4096, 64}, dtype, Pass::kBoth));
}

TEST(LongSums, EqualKeysOfALongRowOfOneQuery) {
  for (const Dtype dtype : kDtypes)
    expect_kernels_well_within_noise(constant({1, 1, 1, 1, 16384, 64}, dtype, Pass::kForward));
}

TEST(LongSums, EqualChannelsOfAWideHeadAtEveryLevel) {
  for (const Dtype dtype : kDtypes)
    expect_kernels_well_within_noise(constant({1, 1, 1, 24, 40, 1024}, dtype, Pass::kBoth));
}

// Where no processor has the instructions, too.
TEST(LongSums, EqualChannelsOfAWideHeadInPairsOfBf16) {
  const Problem p = constant({1, 1, 1, 24, 40, 1024}, Dtype::kBf16, Pass::kBoth);
  const Inputs in = data::make_inputs(p);
  const auto sees = visibilities(in.key_mask, p);
  const Execution e{.isa = Isa::kScalar, .threads = 1};
  const TileOps& pairs =
      *std::find_if(tile_forms(Isa::kScalar).begin(), tile_forms(Isa::kScalar).end(),
                    [](const TileOps& ops) { return ops.per_word == 2; });
  RowMaxima maxima;
  maxima.allocate(p.shape);
  FlashForward forward(p, e, pairs, &maxima);
  FlashBackward backward(p, e, pairs, maxima);
  Outputs out = data::make_outputs(p);
  out.poison();
  for (AttentionPass* pass :
       {static_cast<AttentionPass*>(&forward), static_cast<AttentionPass*>(&backward)}) {
    pass->allocate();
    pass->run({&in, &out}, sees, nullptr);
  }
  expect_well_within_noise(oracle::Reference(p, in, VerifyLevel::kFull), out, "pairs");
}

}  // namespace
}  // namespace flashbench::cpu
