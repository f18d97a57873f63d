// K and V in 8 bits, and the descales of their heads, random and in files.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
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

TensorToWrite numbers(const std::string& name, std::vector<std::int64_t> shape,
                      std::vector<float> values) {
  return {name, Dtype::kF32, std::move(shape),
          [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }};
}

/// q of [2, 2, 3, 4] in bf16, k and v in 8 bits, all 0, and these.
std::string bundle_with(const Scratch& scratch, std::vector<TensorToWrite> more,
                        Dtype k = Dtype::kE4m3, Dtype v = Dtype::kE4m3) {
  std::vector<TensorToWrite> all = {zeros("q", {2, 2, 3, 4}, Dtype::kBf16),
                                    zeros("k", {2, 2, 3, 4}, k), zeros("v", {2, 2, 3, 4}, v)};
  for (TensorToWrite& t : more) all.push_back(std::move(t));
  write_safetensors(scratch.path("in.safetensors"), std::move(all), {});
  return scratch.path("in.safetensors");
}
Problem forward(const std::string& file) { return bundle(file, Pass::kForward); }

// Every other dtype is f32 rounded once: so is f32 over the descale.
TEST(Descales, RandomTensorsAreTheRandomF32OverThem) {
  for (const Dtype stored : kStoredDtypes)
    for (const Values values : kEnumerators<Values>) {
      Problem p;
      p.shape = {2, 3, 3, 1, 50, 20};
      p.values = values;
      const Inputs plain = make_inputs(p);
      p.own_kv_dtype = stored;
      const Inputs in = make_inputs(p);
      for (std::int64_t b = 0; b < 2; ++b)
        for (std::int64_t h = 0; h < 3; ++h)
          for (std::int64_t j = 0; j < 50; ++j)
            for (std::int64_t c = 0; c < 20; ++c) {
              Tensor one(stored, {1, 1, 1, 2});
              one.set(0, plain.k.at(b, h, j, c) / in.k_descale(b, h));
              one.set(1, plain.v.at(b, h, j, c) / in.v_descale(b, h));
              ASSERT_EQ(in.k.at(b, h, j, c), one.at(0)) << name(values);
              ASSERT_EQ(in.v.at(b, h, j, c), one.at(1)) << name(values);
              const auto largest = static_cast<float>(row_of(stored).largest);
              ASSERT_LT(std::abs(in.k.at(b, h, j, c)), largest) << "it would be clipped";
              ASSERT_LT(std::abs(in.v.at(b, h, j, c)), largest) << "it would be clipped";
            }
    }
}

// One that is taken from the next head, or from the other tensor, must be another one.
TEST(Descales, OfNeighboursAndOfBothTensorsDiffer) {
  for (const std::uint64_t seed : {0u, 1u, 12345u}) {
    const std::vector<float> k = random_descales(100, seed, TensorId::kK);
    const std::vector<float> v = random_descales(100, seed, TensorId::kV);
    for (std::size_t n = 0; n < k.size(); ++n) {
      EXPECT_NE(k[n], v[n]);
      EXPECT_GT(std::abs(k[n] / v[n] - 1), 0.02f);
      EXPECT_GT(std::abs(k[n] / k[(n + 1) % k.size()] - 1), 0.02f);
    }
    EXPECT_GE((std::set<float>(k.begin(), k.end()).size()), 60u);
  }
  EXPECT_NE(random_descales(8, 1, TensorId::kK), random_descales(8, 2, TensorId::kK));
}

TEST(Descales, OfABundleAreTakenWithKAndV) {
  const Scratch scratch;
  const Problem p = resolve(forward(bundle_with(scratch, {numbers("k_scale", {2, 2}, {1, 2, 3, 4}),
                                                          numbers("v_scale", {2}, {5, 6})})),
                            {});
  EXPECT_EQ(p.dtype, Dtype::kBf16);
  EXPECT_EQ(p.kv_dtype(), Dtype::kE4m3);
  EXPECT_THAT(sweep::flags(p), HasSubstr("--kv_dtype e4m3"));
  const Inputs in = make_inputs(p);
  EXPECT_EQ(in.k.dtype(), Dtype::kE4m3);
  EXPECT_EQ(in.k_scale, (std::vector{1.0f, 2.0f, 3.0f, 4.0f}));
  EXPECT_EQ(in.v_scale, (std::vector{5.0f, 6.0f, 5.0f, 6.0f}));
  OpenFiles open;
  EXPECT_TRUE(unused_tensors(p, open).empty());
}

TEST(Descales, ThatAreMissingAreOneAndOneOfAllBatchesIsTakenForEach) {
  const Scratch scratch;
  const Problem p =
      resolve(forward(bundle_with(scratch, {numbers("k_scale", {1, 2}, {0.5f, 2})})), {});
  const Inputs in = make_inputs(p);
  EXPECT_EQ(in.k_scale, (std::vector{0.5f, 2.0f, 0.5f, 2.0f}));
  EXPECT_EQ(in.v_scale, (std::vector{1.0f, 1.0f, 1.0f, 1.0f}));
}

TEST(Descales, BesideOtherDtypesAreUnusedAndSaidToBe) {
  const Scratch scratch;
  const Problem p = resolve(
      forward(bundle_with(scratch, {numbers("k_scale", {2}, {1, 2})}, Dtype::kBf16, Dtype::kBf16)),
      {});
  EXPECT_FALSE(p.has_descales());
  EXPECT_TRUE(make_inputs(p).k_scale.empty());
  OpenFiles open;
  const std::vector<std::string> lines = unused_tensors(p, open);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("'k_scale'"));
}

TEST(Descales, ThatLieAreNamed) {
  const Scratch scratch;
  const auto refused = [&](TensorToWrite t, const std::vector<std::string>& parts) {
    const Problem p = forward(bundle_with(scratch, {std::move(t)}));
    expect_usage_error([&] { make_inputs(resolve(p, {})); }, parts);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  refused(numbers("k_scale", {2}, {1, nan}), {"k_scale", "holds a NaN at [h_kv] = [1]"});
  refused(numbers("v_scale", {2, 2}, {1, 1, inf, 1}), {"an infinity at [b, h_kv] = [1, 0]"});
  refused(numbers("k_scale", {2}, {0, 1}), {"holds 0 at [h_kv] = [0]; a descale must be positive"});
  refused(numbers("v_scale", {2}, {1, -1}),
          {"holds -1 at [h_kv] = [1]; a descale must be positive"});
  refused(numbers("k_scale", {2}, {1, 1e37f}), {"holds 1e+37", "fit f32 times 448"});
  refused(numbers("k_scale", {3}, {1, 2, 3}), {"has shape [3], so h_kv is 3", "h_kv 2"});
  refused(numbers("k_scale", {3, 2}, {1, 2, 3, 4, 5, 6}), {"so b is 3", "b 2"});
  refused(numbers("k_scale", {1, 1, 2}, {1, 2}), {"descales must be [h_kv] or [b or 1, h_kv]"});
  refused(filled_with("k_scale", OtherElement::kU8, {2}, 1), {"holds U8", "descales of F32"});
  refused(filled_with("k_scale", Dtype::kE4m3, {2}, 1), {"holds F8_E4M3", "descales of F32"});
}

TEST(EightBits, AreForKAndVAloneAndForAForwardPass) {
  const Scratch scratch;
  const auto refused = [&](const Problem& p, const std::vector<std::string>& given,
                           const std::vector<std::string>& parts) {
    expect_usage_error([&] { make_inputs(resolve(p, given)); }, parts);
  };
  const std::string file = bundle_with(scratch, {});
  refused(bundle(file), {"pass"}, {"in.safetensors", "forward pass alone"});
  refused(bundle(file), {"do"}, {"--do is for gradients"});
  EXPECT_EQ(resolve(bundle(file), {}).pass, Pass::kForward) << "nobody asked for gradients";
  refused(forward(bundle_with(scratch, {}, Dtype::kE4m3, Dtype::kE5m2)), {},
          {"'v'", "holds F8_E5M2", "'k'", "holds F8_E4M3; K and V must have one dtype"});
  refused(forward(bundle_with(scratch, {}, Dtype::kE4m3, Dtype::kBf16)), {},
          {"'v'", "holds BF16", "K and V must have one dtype"});
  Problem given = forward(bundle_with(scratch, {}));
  given.own_kv_dtype = Dtype::kE5m2;
  refused(given, {"kv_dtype"}, {"--kv_dtype e5m2 contradicts the file", "F8_E4M3"});
  given = forward(bundle_with(scratch, {}, Dtype::kBf16, Dtype::kBf16));
  given.own_kv_dtype = Dtype::kE4m3;
  refused(given, {"kv_dtype"}, {"--kv_dtype e4m3 contradicts the file", "BF16"});
  write_safetensors(scratch.path("in.safetensors"),
                    {zeros("q", {2, 2, 3, 4}, Dtype::kE4m3), zeros("k", {2, 2, 3, 4}, Dtype::kE4m3),
                     zeros("v", {2, 2, 3, 4}, Dtype::kE4m3)},
                    {});
  refused(forward(scratch.path("in.safetensors")), {},
          {"'q'", "holds F8_E4M3, which only K and V may"});
}

// e4m3 has one code for NaN, e5m2 three, and infinity.
TEST(EightBits, ThatAreNoNumbersAreNamedWhereTheyCount) {
  const Scratch scratch;
  for (const auto& [stored, byte, word] : {std::tuple(Dtype::kE4m3, 0x7f, "a NaN"),
                                           {Dtype::kE5m2, 0x7d, "a NaN"},
                                           {Dtype::kE5m2, 0xfc, "an infinity"}}) {
    write_safetensors(scratch.path("in.safetensors"),
                      {zeros("q", {1, 2, 3, 4}),
                       filled_with("k", stored, {1, 2, 3, 4}, static_cast<unsigned char>(byte)),
                       zeros("v", {1, 2, 3, 4}, stored)},
                      {});
    const Problem p = resolve(forward(scratch.path("in.safetensors")), {});
    expect_usage_error([&] { make_inputs(p); },
                       {"'k'", "holds " + std::string(word), "[0, 0, 0, 0]"});
  }
}

TEST(Descales, AreWrittenWithTheInputsAndReadBack) {
  const Scratch scratch;
  for (const Dtype stored : kStoredDtypes)
    for (const Layout layout : kEnumerators<Layout>) {
      Problem p;
      p.shape = {2, 4, 2, 5, 7, 8};
      p.own_kv_dtype = stored;
      p.files.layout = layout;
      const Inputs in = make_inputs(p);
      write_inputs(scratch.path("in.safetensors"), p, in);
      Problem asked = forward(scratch.path("in.safetensors"));
      asked.files.layout = layout;
      const Problem back = resolve(asked, {});
      EXPECT_EQ(back.kv_dtype(), stored);
      const Inputs read = make_inputs(back);
      EXPECT_EQ(read.k_scale, in.k_scale);
      EXPECT_EQ(read.v_scale, in.v_scale);
      for (std::int64_t i = 0; i < in.k.count(); ++i) {
        ASSERT_EQ(read.k.at(i), in.k.at(i)) << i;
        ASSERT_EQ(read.v.at(i), in.v.at(i)) << i;
      }
    }
}

}  // namespace
}  // namespace flashbench::data
