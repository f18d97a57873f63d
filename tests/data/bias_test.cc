// An additive bias: random ones, and those of files.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "data/fill.h"
#include "data/inputs.h"
#include "data/outputs.h"
#include "sweep/field.h"
#include "tests/data/bundles.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMost = std::numeric_limits<float>::max();

TensorToWrite bias_of(std::vector<float> values, std::vector<std::int64_t> shape) {
  return {"bias", Dtype::kF32, std::move(shape),
          [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }};
}

/// q, k and v of zeros, of two batch elements, two heads, two queries and three keys; and these.
Problem bundle_with(const Scratch& scratch, std::vector<TensorToWrite> more,
                    Element element = Dtype::kF32) {
  std::vector<TensorToWrite> all = {zeros("q", {2, 2, 2, 4}, element),
                                    zeros("k", {2, 2, 3, 4}, element),
                                    zeros("v", {2, 2, 3, 4}, element)};
  for (TensorToWrite& t : more) all.push_back(std::move(t));
  write_safetensors(scratch.path("in.safetensors"), std::move(all), {});
  return bundle(scratch.path("in.safetensors"));
}

Problem random_bias(BiasShape shape, Dtype dtype = Dtype::kF32) {
  Problem p;
  p.shape = {3, 4, 2, 5, 7, 8};
  p.dtype = dtype;
  p.bias = Bias::kRandom;
  p.bias_shape = shape;
  return p;
}

TEST(RandomBias, HasTheBroadcastShapeThatWasAskedFor) {
  const auto dims = [](BiasShape shape) { return make_inputs(random_bias(shape)).bias.dims(); };
  EXPECT_EQ(dims(BiasShape::kShared), (Dims{1, 1, 5, 7}));
  EXPECT_EQ(dims(BiasShape::kHead), (Dims{1, 4, 5, 7}));
  EXPECT_EQ(dims(BiasShape::kBatch), (Dims{3, 1, 5, 7}));
  EXPECT_EQ(dims(BiasShape::kBatchAndHead), (Dims{3, 4, 5, 7}));
  EXPECT_TRUE(make_inputs(Problem{}).bias.empty());
}

TEST(RandomBias, NeverChangesItsBits) {
  // As those of Fill: an exact-rational evaluation of the formula, but that last 4 bits of 0 hide.
  Tensor bias(Dtype::kF32, {1, 1, 1, 40});
  fill_bias(bias, 0);
  std::vector<std::uint32_t> bits;
  std::vector<std::int64_t> hidden;
  for (std::int64_t i = 0; i < bias.count(); ++i) {
    if (i < 6) bits.push_back(std::bit_cast<std::uint32_t>(bias.at(i)));
    if (bias.at(i) == -kInf) hidden.push_back(i);
  }
  EXPECT_EQ(bits, (std::vector<std::uint32_t>{0x3f7c64b2, 0x3f7f553b, 0x3f191e4a, 0x3e19a3ee,
                                              0xbe0211a8, 0x3f22a35e}));
  EXPECT_EQ(hidden, (std::vector<std::int64_t>{8, 11, 35}));
}

// What never hides a pair would leave that untried, and so would what hides all of each row.
TEST(RandomBias, HidesOnePairInSixteenAndIsNormalElsewhere) {
  constexpr std::int64_t kCount = 160'000;
  Tensor bias(Dtype::kF32, {1, 1, 1, kCount});
  fill_bias(bias, 7);
  double hidden = 0, sum = 0, squares = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double x = bias.at(i);
    ASSERT_FALSE(std::isnan(x) || x > 6) << i;
    if (std::isinf(x)) {
      ++hidden;
      continue;
    }
    sum += x, squares += x * x;
  }
  const double seen = kCount - hidden;
  EXPECT_NEAR(hidden, kCount / 16.0, 400);  // 4 deviations
  EXPECT_NEAR(sum / seen, 0, 0.01);
  EXPECT_NEAR(squares / seen, 1, 0.02);
}

TEST(RandomBias, OfEveryDtypeAndThreadCountHidesTheSamePairs) {
  Tensor wide(Dtype::kF32, {2, 3, 11, 13});
  fill_bias(wide, 5, 1);
  for (const Dtype dtype : kDtypes)
    for (const int threads : {1, 3}) {
      Tensor bias(dtype, wide.dims());
      fill_bias(bias, 5, threads);
      Tensor rounded(dtype, wide.dims());
      for (std::int64_t i = 0; i < wide.count(); ++i) {
        rounded.set(i, wide.at(i));
        ASSERT_EQ(bias.at(i), rounded.at(i)) << name(dtype) << " " << i;
      }
    }
}

TEST(Bias, OfABundleIsTakenWithoutBeingAskedFor) {
  const Scratch scratch;
  const Problem asked =
      bundle_with(scratch, {bias_of({1, 2, 3, 4, 5, -kInf, 7, 8, 9, 10, 11, 12}, {1, 2, 2, 3})});
  const Problem p = resolve(asked, {});
  EXPECT_EQ(p.bias, Bias::kFile);
  EXPECT_EQ(p.bias_shape, BiasShape::kHead);
  const Inputs in = make_inputs(p);
  EXPECT_EQ(in.bias.dims(), (Dims{1, 2, 2, 3}));
  EXPECT_EQ(in.bias.at(0, 0, 1, 2), -kInf);
  EXPECT_EQ(in.bias.at(0, 1, 1, 2), 12);
  EXPECT_THAT(sweep::flags(p), Not(HasSubstr("--bias")));
  OpenFiles open;
  EXPECT_TRUE(unused_tensors(p, open).empty());

  const Problem without = resolve(asked, {"bias"});
  EXPECT_TRUE(make_inputs(without).bias.empty());
  EXPECT_THAT(sweep::flags(without), HasSubstr("--bias none"));
}

TEST(Bias, OfAFileSaysWhoSharesIt) {
  const Scratch scratch;
  const auto shape_of = [&](std::int64_t b, std::int64_t h) {
    return resolve(bundle_with(scratch, {zeros("bias", {b, h, 2, 3})}), {}).bias_shape;
  };
  EXPECT_EQ(shape_of(1, 1), BiasShape::kShared);
  EXPECT_EQ(shape_of(1, 2), BiasShape::kHead);
  EXPECT_EQ(shape_of(2, 1), BiasShape::kBatch);
  EXPECT_EQ(shape_of(2, 2), BiasShape::kBatchAndHead);
}

TEST(Bias, OfAFileOfItsOwnDecidesTheShape) {
  const Scratch scratch;
  write_safetensors(scratch.path("b.safetensors"), {zeros("any", {3, 4, 5, 7})}, {});
  Problem p;
  p.bias = Bias::kFile;
  p.files.bias = scratch.path("b.safetensors");
  const Shape s = resolve(p, {}).shape;
  EXPECT_EQ((std::vector{s.b, s.h, s.q_len, s.kv_len}), (std::vector<std::int64_t>{3, 4, 5, 7}));
  p.shape.kv_len = 8;
  expect_usage_error([&] { resolve(p, {"kv_len"}); }, {"--kv_len 8 contradicts", "[3, 4, 5, 7]"});
}

TEST(Bias, IsInF32OrAsTheOtherTensorsAre) {
  const Scratch scratch;
  const Problem f32 =
      resolve(bundle_with(scratch, {zeros("bias", {1, 1, 2, 3})}, Dtype::kBf16), {});
  EXPECT_EQ(f32.bias_dtype(), Dtype::kF32);
  EXPECT_EQ(make_inputs(f32).bias.dtype(), Dtype::kF32);
  const Problem same =
      resolve(bundle_with(scratch, {zeros("bias", {1, 1, 2, 3}, Dtype::kBf16)}, Dtype::kBf16), {});
  EXPECT_EQ(same.own_bias_dtype, std::nullopt);
  EXPECT_EQ(make_inputs(same).bias.dtype(), Dtype::kBf16);
  const auto refused = [&](Element bias, Element others, const std::vector<std::string>& parts) {
    const Problem p = bundle_with(scratch, {zeros("bias", {1, 1, 2, 3}, bias)}, others);
    expect_usage_error([&] { resolve(p, {}); }, parts);
  };
  refused(Dtype::kF16, Dtype::kBf16,
          {"'bias' holds F16; a bias must be F32 or, as the other tensors are, BF16"});
  refused(Dtype::kBf16, Dtype::kF32, {"holds BF16", "must be F32, as the other tensors are"});
  refused(OtherElement::kU8, Dtype::kF32, {"holds U8", "must be F32"});
}

TEST(Bias, ThatDoesNotFitIsNamed) {
  const Scratch scratch;
  const auto refused = [&](std::vector<std::int64_t> shape, const std::vector<std::string>& parts) {
    const Problem p = bundle_with(scratch, {zeros("bias", std::move(shape))});
    expect_usage_error([&] { resolve(p, {}); }, parts);
  };
  refused({2, 3}, {"'bias' has shape [2, 3]; a bias must be [b or 1, h or 1, q_len, kv_len]"});
  refused({1, 0, 2, 3}, {"[1, 0, 2, 3]; a bias must be [b or 1"});
  refused({1, 1, 3, 2}, {"so q_len is 3, but", "has q_len 2"});
  refused({1, 1, 2, 1}, {"so kv_len is 1, but", "has kv_len 3"});
  refused({3, 1, 2, 3}, {"so b is 3, but", "has b 2"});
  refused({1, 4, 2, 3}, {"so h is 4, but", "has h 2"});
}

TEST(Bias, ThatCountsIsFinite) {
  const Scratch scratch;
  const auto refused = [&](float bad, const std::vector<std::string>& parts) {
    std::vector<float> values(12, 0.0f);
    values[8] = bad;  // of batch element 1, query 0, key 2
    const Problem p = resolve(bundle_with(scratch, {bias_of(values, {2, 1, 2, 3})}), {});
    expect_usage_error([&] { make_inputs(p); }, parts);
  };
  refused(NAN, {"'bias' holds a NaN at [b, h, q, kv] = [1, 0, 0, 2]", "or -inf"});
  refused(kInf, {"holds +inf at [b, h, q, kv] = [1, 0, 0, 2]"});
  refused(kMost, {"holds 3.4028235e+38 at", "between -3.4e+38 and 1.7e+38, or -inf, which hides"});
}

TEST(Bias, OfPairsThatNoMaskLetsThroughMayBeAnything) {
  const Scratch scratch;
  const std::vector<unsigned char> keep = {1, 1, 1, 0, 1, 1};
  const TensorToWrite mask = {"mask", OtherElement::kU8, {2, 3}, [keep](const ByteSink& sink) {
                                sink(std::as_bytes(std::span(keep)));
                              }};
  const auto inputs_of = [&](std::vector<float> values, std::vector<std::int64_t> shape) {
    Problem p = bundle_with(scratch, {bias_of(std::move(values), std::move(shape)), mask});
    p.causal = true;  // query 0 sees keys 0 and 1
    return make_inputs(resolve(p, {}));
  };
  // Beyond the diagonal in both batch elements; the key that is masked in the second one.
  inputs_of({0, 0, NAN, 0, 0, 0, kInf, 0, kMost, NAN, 0, 0}, {2, 1, 2, 3});
  inputs_of({0, 0, NAN, 0, 0, 0}, {1, 1, 2, 3});
  expect_usage_error(
      [&] {
        inputs_of({kInf, 0, NAN, 0, 0, 0}, {1, 1, 2, 3});
      },
      {"+inf at [b, h, q, kv] = [0, 0, 0, 0]"});  // the first batch element sees it
}

TEST(Bias, AndItsGradientKeepTheirAxesInEitherLayout) {
  const Scratch scratch;
  Problem p = random_bias(BiasShape::kBatchAndHead, Dtype::kBf16);
  p.pass = Pass::kBackward;
  p.bias_grad = true;
  p.files.layout = Layout::kBshd;
  const Inputs in = make_inputs(p);
  write_inputs(scratch.path("in.safetensors"), p, in);
  Problem asked = bundle(scratch.path("in.safetensors"));
  asked.files.layout = Layout::kBshd;
  asked.bias_grad = true;
  const Problem back = resolve(asked, {"bias_grad"});
  EXPECT_EQ(back.bias_shape, BiasShape::kBatchAndHead);
  const Tensor read = make_inputs(back).bias;
  ASSERT_EQ(read.count(), in.bias.count());
  for (std::int64_t i = 0; i < read.count(); ++i) EXPECT_EQ(read.at(i), in.bias.at(i)) << i;

  Outputs out = make_outputs(back);
  EXPECT_EQ(out.dbias.dims(), in.bias.dims());
  EXPECT_EQ(out.dbias.dtype(), Dtype::kBf16);
  for (Tensor* t : {&out.o, &out.lse, &out.dq, &out.dk, &out.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0);
  for (std::int64_t i = 0; i < out.dbias.count(); ++i) out.dbias.set(i, static_cast<float>(i));
  write_outputs(scratch.path("out.safetensors"), back, out, back.pass);
  const Tensor dbias = read_outputs(scratch.path("out.safetensors"), back).dbias;
  for (std::int64_t i = 0; i < dbias.count(); ++i) EXPECT_EQ(dbias.at(i), out.dbias.at(i)) << i;
}

TEST(BiasGradient, IsThereWhereItWasAskedFor) {
  Problem p = random_bias(BiasShape::kHead);
  p.bias_grad = true;
  EXPECT_TRUE(make_outputs(p).dbias.empty()) << "a forward pass";
  p.pass = Pass::kBoth;
  EXPECT_EQ(make_outputs(p).dbias.dims(), (Dims{1, 4, 5, 7}));
  p.bias_grad = false;
  EXPECT_TRUE(make_outputs(p).dbias.empty());
}

TEST(BiasGradient, OfAFileWithoutABiasIsRefused) {
  const Scratch scratch;
  Problem p = bundle_with(scratch, {});
  p.bias_grad = true;
  expect_usage_error([&] { resolve(p, {"bias_grad"}); }, {"--bias_grad needs a bias"});
}

TEST(BiasGradient, OfAnotherLibraryIsReadInF32OrAsTheBias) {
  const Scratch scratch;
  const std::string path = scratch.path("out.safetensors");
  Problem p = random_bias(BiasShape::kHead, Dtype::kBf16);
  p.pass = Pass::kBackward;
  const auto read = [&](Element element, std::vector<std::int64_t> shape) {
    write_safetensors(path, {zeros("dbias", std::move(shape), element)}, {});
    return read_outputs(path, p).dbias.dtype();
  };
  EXPECT_EQ(read(Dtype::kF32, {1, 4, 5, 7}), Dtype::kF32);
  EXPECT_EQ(read(Dtype::kBf16, {1, 4, 5, 7}), Dtype::kBf16);
  expect_usage_error(
      [&] {
        read(Dtype::kF16, {1, 4, 5, 7});
      },
      {"'dbias' holds F16; it must be f32 or bf16"});
  expect_usage_error(
      [&] {
        read(Dtype::kF32, {4, 5, 7});
      },
      {"'dbias' has shape [4, 5, 7]; this problem's must be [1, 4, 5, 7]"});
  p.bias = Bias::kNone;
  expect_usage_error(
      [&] {
        read(Dtype::kF32, {1, 4, 5, 7});
      },
      {"'dbias'", "the problem has no bias"});
}

}  // namespace
}  // namespace flashbench::data
