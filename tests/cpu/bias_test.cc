// A bias and its gradient: every driver, dtype and ISA level against the definition in fp64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>

#include "cpu/flash_backward.h"
#include "cpu/flash_forward.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "tests/cpu/bias_reference.h"
#include "tests/cpu/run.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct BiasCase {
  const char* guards_against;
  Shape shape;
  BiasShape bias_shape = BiasShape::kHead;
  bool causal = false;
  double keep = 1;  ///< of a random padding mask; 1: none
  std::optional<std::int64_t> window = {};
  double softcap = 0;
  bool alibi_and_sinks = false;
  std::optional<double> scale = {};
};

void PrintTo(const BiasCase& c, std::ostream* out) { *out << c.guards_against; }

/// Lengths end within tiles and vectors of every level.
constexpr BiasCase kCases[] = {
    {"one_of_everything", {1, 1, 1, 1, 1, 1}},
    {"decode_over_several_splits", {2, 4, 2, 1, 700, 16}, BiasShape::kBatch},
    {"decode_of_a_group_with_padding", {2, 6, 2, 3, 600, 24}, BiasShape::kHead, true, 0.5},
    {"decode_with_all_other_changes",
     {1, 4, 1, 3, 300, 16},
     BiasShape::kBatchAndHead,
     true,
     1,
     100,
     3,
     true},
    {"shared_by_all_over_several_blocks", {2, 4, 2, 230, 410, 16}, BiasShape::kShared, true},
    {"head_by_head_with_padding", {3, 2, 1, 130, 450, 24}, BiasShape::kHead, false, 0.5},
    {"batch_by_batch_in_groups", {2, 6, 2, 110, 300, 16}, BiasShape::kBatch, true, 0.6},
    {"each_its_own_with_a_window", {2, 2, 2, 300, 260, 16}, BiasShape::kBatchAndHead, true, 1, 40},
    {"shared_with_padding_that_differs", {3, 2, 2, 210, 420, 16}, BiasShape::kShared, false, 0.3},
    {"padding_and_window_leave_rows_empty",
     {2, 2, 1, 200, 230, 16},
     BiasShape::kShared,
     true,
     0.1,
     9},
    {"under_a_soft_cap_with_alibi_and_sinks",
     {2, 4, 2, 150, 330, 32},
     BiasShape::kHead,
     true,
     0.7,
     150,
     2,
     true},
    {"all_heads_in_one_item", {2, 4, 1, 130, 250, 16}, BiasShape::kShared, true},
    {"values_wider_than_keys", {1, 2, 1, 70, 220, 20, 37}, BiasShape::kBatchAndHead},
    {"wide_heads_have_other_blocks", {1, 2, 2, 100, 170, 192}, BiasShape::kShared, true},
    {"negative_scale", {1, 2, 1, 40, 75, 16}, BiasShape::kHead, false, 1, {}, 0, false, -0.4},
    {"scale_that_leaves_the_bias_alone",
     {1, 2, 1, 40, 75, 16},
     BiasShape::kHead,
     true,
     1,
     {},
     0,
     false,
     1e-50},
};

Problem problem(const BiasCase& c, Dtype dtype, Pass pass) {
  Problem p;
  p.shape = c.shape;
  p.dtype = dtype;
  p.pass = pass;
  p.causal = c.causal;
  p.d_o = GradSource::kRandom;
  if (c.keep < 1) p.padding = PaddingMask::kRandom;
  p.mask_keep = c.keep;
  p.window_left = c.window;
  p.softcap = c.softcap;
  if (c.alibi_and_sinks) {
    p.alibi = Alibi::kStandard;
    p.sinks = Sinks::kRandom;
  }
  p.scale = c.scale;
  p.bias = Bias::kRandom;
  p.bias_shape = c.bias_shape;
  p.bias_grad = pass != Pass::kForward;
  return p;
}

/// What a test makes of the bias of query i and key j.
using BiasOf = float (*)(float normal, std::int64_t i, std::int64_t j);

/// NaN where no row that shares the element sees the pair.
Inputs inputs(const Problem& p, BiasOf bias_of) {
  Inputs in = data::make_inputs(p);
  in.bias = Tensor(p.bias_dtype(), p.bias_dims());
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const Dims& dims = in.bias.dims();
  for (std::int64_t n = 0; n < in.bias.count(); ++n) {
    const std::int64_t j = n % dims.d, i = n / dims.d % dims.rows;
    const std::int64_t of_b = n / (dims.d * dims.rows * dims.h);
    bool seen = false;
    for (std::int64_t b = dims.b == 1 ? 0 : of_b; b < (dims.b == 1 ? p.shape.b : of_b + 1); ++b)
      seen = seen || sees(p, in, b, i, j);
    in.bias.set(n, seen ? bias_of(normal(random), i, j) : NAN);
  }
  return in;
}

float plain(float normal, std::int64_t, std::int64_t) { return 2 * normal; }
/// Pairs that are hidden, rows that are hidden whole, and some until late.
float with_hidden_pairs(float normal, std::int64_t i, std::int64_t j) {
  if (i % 7 == 3 || (i % 5 == 1 && j < 290)) return -kInf;
  return normal > 1 ? -kInf : normal;
}

/// Rows that a mask hides by a number instead of -inf: all weights are equal where it absorbs the
/// scores.
float masked_by(float least, float normal, std::int64_t i, std::int64_t j) {
  return i % 7 == 3 || (i % 3 == 1 && j % 4 != 1) ? least : normal;
}
float masked_by_a_billion(float normal, std::int64_t i, std::int64_t j) {
  return masked_by(-1e9f, normal, i, j);
}
float masked_by_the_least_number(float normal, std::int64_t i, std::int64_t j) {
  return masked_by(-std::numeric_limits<float>::max(), normal, i, j);
}
/// Scores from block to block that no guess of a maximum fits.
float with_jumps(float normal, std::int64_t i, std::int64_t j) {
  return normal + static_cast<float>((j / 100 % 3 - 1) * 60 + (i % 4) * 30 - 60);
}

/// Largest error, in units of the largest value that is right; infinities must be the same.
double error(const Tensor& got, const std::vector<double>& want) {
  double most = 0, off = 0;
  for (std::int64_t i = 0; i < got.count(); ++i) {
    const double x = static_cast<double>(got.at(i)), y = want[static_cast<std::size_t>(i)];
    if (std::isinf(y) && x == y) continue;
    most = std::max(most, std::abs(y));
    off = std::isnan(x - y) ? static_cast<double>(kInf) : std::max(off, std::abs(x - y));
  }
  return off == 0 ? 0 : off / (most + 1e-3);
}

void expect_right(const Kernel& kernel, const Problem& p, const Execution& e, const Inputs& in,
                  const BiasReference& want, const char* what) {
  const Outputs out = run(kernel, p, e, in);
  const double limit = p.dtype == Dtype::kF32 ? 1e-5 : 8 * row_of(p.dtype).roundoff;
  const auto check = [&](const char* tensor, const Tensor& t, const std::vector<double>& right) {
    EXPECT_LE(error(t, right), &t == &out.lse ? 1e-5 : limit)
        << what << " " << tensor << " " << kernel.info().name << " " << name(p.dtype) << " "
        << name(e.isa);
  };
  check("O", out.o, want.o);
  check("LSE", out.lse, want.lse);
  if (!p.needs_gradients()) return;
  check("dQ", out.dq, want.dq);
  check("dK", out.dk, want.dk);
  check("dV", out.dv, want.dv);
  if (!in.sinks.empty()) check("dsinks", out.dsinks, want.dsinks);
  if (!p.bias_grad) return;
  check("dbias", out.dbias, want.dbias);
  for (std::int64_t i = 0; i < out.dbias.count(); ++i)
    if (!(in.bias.at(i) > -kInf)) {
      ASSERT_EQ(out.dbias.at(i), 0) << what << ": hidden pair " << i;
    }
}

void expect_all_right(const Problem& p, const Inputs& in, const char* what) {
  const BiasReference want(p, in);
  for (const Isa isa : available_isas())
    for (const Kernel* kernel : kernels())
      for (int orders = 0; orders < (p.needs_gradients() ? 2 : 1); ++orders)
        expect_right(*kernel, p, {.isa = isa, .threads = 3, .deterministic = orders == 1}, in, want,
                     what);
}

class BiasTest : public testing::TestWithParam<BiasCase> {};

TEST_P(BiasTest, EveryTypePassDtypeAndIsaIsRight) {
  for (const Dtype dtype : kDtypes)
    for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
      const Problem p = problem(GetParam(), dtype, pass);
      expect_all_right(p, inputs(p, plain), GetParam().guards_against);
    }
}

TEST_P(BiasTest, MinusInfinityHidesPairsAndRows) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
      const Problem p = problem(GetParam(), dtype, pass);
      expect_all_right(p, inputs(p, with_hidden_pairs), GetParam().guards_against);
    }
}

TEST_P(BiasTest, HugeFiniteNumbersInWholeRowsAreNoEmptyRows) {
  for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
    const Problem p = problem(GetParam(), Dtype::kF32, pass);
    for (const BiasOf mask : {masked_by_a_billion, masked_by_the_least_number})
      expect_all_right(p, inputs(p, mask), GetParam().guards_against);
  }
}

TEST_P(BiasTest, NoGuessOfAMaximumNeedsToFit) {
  for (const Pass pass : {Pass::kForward, Pass::kBoth}) {
    const Problem p = problem(GetParam(), Dtype::kF32, pass);
    expect_all_right(p, inputs(p, with_jumps), GetParam().guards_against);
  }
}

TEST_P(BiasTest, ADtypeOfItsOwnAndNoGradientOfItAreRight) {
  Problem p = problem(GetParam(), Dtype::kBf16, Pass::kBoth);
  p.own_bias_dtype = Dtype::kF32;
  expect_all_right(p, inputs(p, plain), GetParam().guards_against);
  p.bias_grad = false;
  expect_all_right(p, inputs(p, plain), GetParam().guards_against);
}

TEST_P(BiasTest, DeterministicGradientsAreBitwiseEqualWhateverTheThreads) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    const Problem p = problem(GetParam(), dtype, Pass::kBoth);
    const Inputs in = inputs(p, plain);
    for (const Kernel* kernel : kernels()) {
      Execution e{.isa = available_isas().back(), .threads = 1, .deterministic = true};
      const Outputs first = run(*kernel, p, e, in);
      for (e.threads = 1; e.threads <= 4; ++e.threads) {
        const Outputs again = run(*kernel, p, e, in);
        EXPECT_EQ(std::memcmp(first.dbias.data(), again.dbias.data(), first.dbias.bytes()), 0)
            << kernel->info().name << " " << name(dtype) << " " << e.threads;
      }
    }
  }
}

TEST_P(BiasTest, OperandsOfPairsNeedNoProcessorThatHasThem) {
  const Problem p = problem(GetParam(), Dtype::kBf16, Pass::kBoth);
  const Inputs in = inputs(p, with_hidden_pairs);
  const BiasReference want(p, in);
  const Execution e{.isa = Isa::kScalar, .threads = 2};
  Outputs out = empty_outputs(p);
  RowMaxima maxima;
  maxima.allocate(p.shape);
  FlashForward forward(p, e, pairs_without_simd(), &maxima);
  FlashBackward backward(p, e, pairs_without_simd(), maxima);
  for (AttentionPass* driver :
       {static_cast<AttentionPass*>(&forward), static_cast<AttentionPass*>(&backward)}) {
    driver->allocate();
    driver->run({&in, &out}, visibilities(in.key_mask, p), nullptr);
  }
  for (const auto& [got, right] :
       {std::pair(&out.o, &want.o), std::pair(&out.dq, &want.dq), std::pair(&out.dk, &want.dk),
        std::pair(&out.dv, &want.dv), std::pair(&out.dbias, &want.dbias)})
    EXPECT_LE(error(*got, *right), 8 * row_of(p.dtype).roundoff);
}

TEST_P(BiasTest, PlansCountTheirMemoryAndASecondLaunchDoesNotSeeTheFirst) {
  const Problem p = problem(GetParam(), Dtype::kBf16, Pass::kBackward);
  const Inputs in = inputs(p, plain);
  const BiasReference want(p, in);
  for (const Kernel* kernel : kernels())
    for (const bool deterministic : {false, true}) {
      const Execution e{.isa = Isa::kScalar, .threads = 2, .deterministic = deterministic};
      Outputs out = run(*kernel, p, e, in);
      const auto plan = kernel->plan(p, e, in);
      plan->prepare({&in, &out});
      for (int repeat = 0; repeat < 2; ++repeat) {
        out.dbias.poison();
        std::size_t bytes = 0;
        for (const PhaseProfile::Row& row : plan->profile({&in, &out})) bytes += row.bytes;
        EXPECT_LE(bytes, plan->workspace_bytes());
        EXPECT_LE(error(out.dbias, want.dbias), 8 * row_of(p.dtype).roundoff);
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, BiasTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.guards_against); });

}  // namespace
}  // namespace flashbench::cpu
