// K and V in 8 bits: every driver, dtype and ISA level, and the tile operations that read them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/run.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

/// All codes that are numbers, in any order.
template <typename T>
std::vector<std::uint8_t> all_numbers() {
  std::vector<std::uint8_t> codes;
  for (int bits = 0; bits < 256; ++bits)
    if (std::isfinite(to_f32(T{static_cast<std::uint8_t>(bits)})))
      codes.push_back(static_cast<std::uint8_t>(bits));
  std::shuffle(codes.begin(), codes.end(), std::mt19937(7));
  return codes;
}

class EightBitRowsTest : public testing::TestWithParam<TileOps> {
 protected:
  const TileOps ops = GetParam();

  template <typename T>
  void expect_exact_dots();
  template <typename T>
  void expect_exact_sums();
  template <typename T>
  void expect_exact_packing();
};

// Rows of one number each, so that a product is that number times its query's element, subnormals
// and zeros included; what lies beyond a row is NaN or a large number.
template <typename T>
void EightBitRowsTest::expect_exact_dots() {
  const std::vector<std::uint8_t> codes = all_numbers<T>();
  const auto n = static_cast<std::int64_t>(codes.size());
  for (const std::int64_t vectors : {1, 3, 4, 7, 9})
    for (const std::int64_t m : {1, 4, 5, 18}) {
      const std::int64_t d = vectors * ops.lanes, row = d + ops.lanes;
      const std::int64_t row_a = round_up(ops.words(d), ops.lanes);
      const auto column = [&](std::int64_t j) { return (j + vectors) % d; };
      const auto query = [](std::int64_t i, std::int64_t p) {
        return static_cast<float>(1 + (i + p) % 7);
      };
      std::vector<std::uint8_t> b(static_cast<std::size_t>(n * row), 0x7f);
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t p = 0; p < d; ++p)
          b[static_cast<std::size_t>(j * row + p)] =
              p == column(j) ? codes[static_cast<std::size_t>(j)] : std::uint8_t{0};
      std::vector<float> q, a(static_cast<std::size_t>(m * row_a), NAN);
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t p = 0; p < d; ++p) q.push_back(query(i, p));
      ops.pack_rows({q.data(), Dtype::kF32, d, nullptr}, m, d, 1.0f, a.data(), row_a);
      std::vector<float> c(static_cast<std::size_t>(m * n), NAN);
      ops.dots(m, n, d, {a.data(), row_a, 1}, {b.data(), kDtypeOf<T>, row, nullptr}, {c.data(), n},
               {});
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          ASSERT_EQ(c[static_cast<std::size_t>(i * n + j)],
                    query(i, column(j)) * to_f32(T{codes[static_cast<std::size_t>(j)]}))
              << "d " << d << " m " << m;
    }
}

template <typename T>
void EightBitRowsTest::expect_exact_sums() {
  const std::vector<std::uint8_t> codes = all_numbers<T>();
  const std::int64_t d = static_cast<std::int64_t>(codes.size()) / ops.lanes * ops.lanes;
  for (const std::int64_t m : {1, 5}) {
    const std::vector<float> p(static_cast<std::size_t>(m), 0.5f);
    std::vector<float> c(static_cast<std::size_t>(m * d), 1.0f);
    ops.add_rows(m, 1, d, {p.data(), 1, 1}, {codes.data(), kDtypeOf<T>, d, nullptr}, {c.data(), d},
                 {});
    for (std::int64_t i = 0; i < m * d; ++i)
      EXPECT_EQ(c[static_cast<std::size_t>(i)],
                1 + 0.5f * to_f32(T{codes[static_cast<std::size_t>(i % d)]}));
  }
}

template <typename T>
void EightBitRowsTest::expect_exact_packing() {
  const std::vector<std::uint8_t> codes = all_numbers<T>();
  const auto d = static_cast<std::int64_t>(codes.size());
  std::vector<float> rows(static_cast<std::size_t>(round_up(d, 2 * ops.lanes)));
  std::vector<float> panels(static_cast<std::size_t>(round_up(d, ops.cols)));
  std::vector<float> transposed(static_cast<std::size_t>(d * ops.cols));
  const RowSource source = {codes.data(), kDtypeOf<T>, d, nullptr};
  ops.pack_rows(source, 1, d, 1.0f, rows.data(), d);
  ops.pack_panels(source, 1, d, panels.data(), 0, 1);
  ops.pack_panels_transposed(source, 1, d, 1.0f, transposed.data());
  for (std::int64_t i = 0; i < d; ++i) {
    const float want = to_f32(T{codes[static_cast<std::size_t>(i)]});
    EXPECT_EQ(rows[static_cast<std::size_t>(i)], want);
    EXPECT_EQ(panels[static_cast<std::size_t>(i)], want);
    EXPECT_EQ(transposed[static_cast<std::size_t>(i * ops.cols)], want);
  }
}

TEST_P(EightBitRowsTest, EveryNumberIsReadInPlaceExactly) {
  expect_exact_dots<E4m3>();
  expect_exact_dots<E5m2>();
  expect_exact_sums<E4m3>();
  expect_exact_sums<E5m2>();
}

TEST_P(EightBitRowsTest, EveryNumberIsPackedExactly) {
  if (ops.per_word == 2) return;  // panels of pairs are rounded to bf16 elsewhere
  expect_exact_packing<E4m3>();
  expect_exact_packing<E5m2>();
}

std::vector<TileOps> forms_that_read_8_bits() {
  std::vector<TileOps> all = forms_of_both_operands();
  std::erase_if(all, [](const TileOps& ops) { return !ops.reads_8_bits; });
  return all;
}

INSTANTIATE_TEST_SUITE_P(Forms, EightBitRowsTest, testing::ValuesIn(forms_that_read_8_bits()),
                         name_of);

constexpr AttentionCase kCases[] = {
    {"few_of_everything", {1, 1, 1, 1, 2, 1}},
    {"decode_over_several_splits", {2, 4, 2, 1, 700, 64}, false, 0.7},
    {"decode_of_rows_that_end_within_a_vector", {1, 4, 2, 1, 300, 33}},
    {"decode_with_causal_bounds", {2, 4, 2, 5, 90, 128}, true},
    {"groups_and_tails_of_tiles", {1, 6, 3, 37, 75, 40}, true, 0.6},
    {"several_blocks_of_both_kinds", {1, 2, 2, 230, 410, 64}, true},
    {"negative_scale", {1, 2, 2, 40, 60, 32}, false, 1, -0.5},
    {"scale_zero_is_a_mean", {1, 2, 2, 40, 60, 32}, false, 1, 0.0},
};

class EightBitKeysTest : public testing::TestWithParam<AttentionCase> {
 protected:
  static Problem problem(Dtype dtype, Dtype kv_dtype) {
    Problem p = GetParam().problem(dtype, Pass::kForward);
    p.own_kv_dtype = kv_dtype;
    return p;
  }
  static void expect_right(const Problem& p, const Inputs& in) {
    const oracle::Reference reference(p, in, VerifyLevel::kFull);
    for (const Isa isa : available_isas())
      for (const Kernel* kernel : kernels()) {
        const Verdict v = reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in));
        EXPECT_TRUE(v.checked() && v.ok())
            << kernel->info().name << " " << name(p.dtype) << " " << name(p.kv_dtype()) << " "
            << name(isa) << ": " << describe(v);
      }
  }
};

TEST_P(EightBitKeysTest, EveryTypeDtypeAndIsaIsWithinItsNoise) {
  for (const Dtype dtype : kDtypes)
    for (const Dtype kv_dtype : kStoredDtypes) {
      const Problem p = problem(dtype, kv_dtype);
      expect_right(p, data::make_inputs(p));
    }
}

// A descale is a factor of the score before all that is done to it.
TEST_P(EightBitKeysTest, DescalesComeBeforeSoftCapAlibiAndSinks) {
  Problem p = problem(Dtype::kBf16, Dtype::kE4m3);
  p.softcap = 1.5;
  p.alibi = Alibi::kStandard;
  p.sinks = Sinks::kRandom;
  expect_right(p, data::make_inputs(p));
}

TEST_P(EightBitKeysTest, DescalesComeBeforeABias) {
  for (const BiasShape shape : kEnumerators<BiasShape>) {
    Problem p = problem(Dtype::kF32, Dtype::kE4m3);
    p.bias = Bias::kRandom;
    p.bias_shape = shape;
    expect_right(p, data::make_inputs(p));
    p.softcap = 1.5;
    p.alibi = Alibi::kStandard;
    p.sinks = Sinks::kRandom;
    expect_right(p, data::make_inputs(p));
  }
}

// What sums in 8-bit units reach, and what they are multiplied by at the end, may be beyond f32
// where O is not.
TEST_P(EightBitKeysTest, DescalesOfAnySizeAreRight) {
  for (const float size : {0x1p-100f, 0x1p-30f, 0x1p30f, 0x1p100f}) {
    const Problem p = problem(Dtype::kF32, Dtype::kE4m3);
    Inputs in = data::make_inputs(p);
    for (float& x : in.v_scale) x *= size;
    expect_right(p, in);
    for (float& x : in.k_scale) x *= size;
    for (std::int64_t i = 0; i < in.q.count(); ++i) in.q.set(i, in.q.at(i) / size);
    expect_right(p, in);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EightBitKeysTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.guards_against); });

// NaN in rows that nothing sees changes nothing, and a row of it must not be read as numbers
// that count.
TEST(EightBitKeys, HiddenNanChangesNothing) {
  for (const Dtype kv_dtype : kStoredDtypes)
    for (const std::int64_t q_len : {1, 40}) {
      Problem p = AttentionCase{"", {1, 4, 2, q_len, 300, 64}, false, 0.5}.problem(Dtype::kF32,
                                                                                   Pass::kForward);
      p.own_kv_dtype = kv_dtype;
      Inputs in = data::make_inputs(p);
      for (std::int64_t j = 0; j < 300; ++j)
        for (std::int64_t h = 0; h < 2 && in.key_mask[static_cast<std::size_t>(j)] == 0; ++h)
          for (std::int64_t c = 0; c < 64; ++c)
            for (Tensor* t : {&in.k, &in.v}) t->set(t->dims().index(0, h, j, c), NAN);
      const oracle::Reference reference(p, in, VerifyLevel::kFull);
      for (const Isa isa : available_isas())
        for (const Kernel* kernel : kernels())
          EXPECT_TRUE(reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in)).ok())
              << kernel->info().name << " " << name(isa);
    }
}

}  // namespace
}  // namespace flashbench::cpu
