// Sinks in files: one logit a query head.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "data/inputs.h"
#include "data/outputs.h"
#include "sweep/field.h"
#include "tests/data/bundles.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::HasSubstr;
using testing::Not;

TensorToWrite sinks_of(std::vector<float> values) {
  return {"sinks",
          Dtype::kF32,
          {static_cast<std::int64_t>(values.size())},
          [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }};
}

/// q, k and v of zeros, [1, 2, 3, 4], and these.
std::string bundle_with(const Scratch& scratch, std::vector<TensorToWrite> more) {
  std::vector<TensorToWrite> all = {zeros("q", {1, 2, 3, 4}), zeros("k", {1, 2, 3, 4}),
                                    zeros("v", {1, 2, 3, 4})};
  for (TensorToWrite& t : more) all.push_back(std::move(t));
  write_safetensors(scratch.path("in.safetensors"), std::move(all), {});
  return scratch.path("in.safetensors");
}

TEST(Sinks, OfABundleAreTakenWithoutBeingAskedFor) {
  const Scratch scratch;
  const Problem asked = bundle(bundle_with(scratch, {sinks_of({1.5f, -2})}));
  const Problem p = resolve(asked, {});
  EXPECT_EQ(p.sinks, Sinks::kFile);
  EXPECT_EQ(make_inputs(p).sinks, (std::vector{1.5f, -2.0f}));
  EXPECT_THAT(sweep::flags(p), Not(HasSubstr("--sinks")));
  OpenFiles open;
  EXPECT_TRUE(unused_tensors(p, open).empty());

  const Problem without = resolve(asked, {"sinks"});
  EXPECT_TRUE(make_inputs(without).sinks.empty());
  EXPECT_THAT(sweep::flags(without), HasSubstr("--sinks none"));
}

TEST(Sinks, OfAFileOfTheirOwnDecideTheNumberOfHeads) {
  const Scratch scratch;
  write_safetensors(scratch.path("s.safetensors"), {sinks_of({1, 2, 3})}, {});
  Problem p;
  p.sinks = Sinks::kFile;
  p.files.sinks = scratch.path("s.safetensors");
  EXPECT_EQ(resolve(p, {}).shape.h, 3);
  p.shape.h = 4;
  expect_usage_error([&] { resolve(p, {"h"}); }, {"--h 4 contradicts", "[3]"});
}

TEST(Sinks, InSixteenBitsBecomeWhatTheyStandFor) {
  const Scratch scratch;
  const Problem p =
      resolve(bundle(bundle_with(scratch, {filled_with("sinks", Dtype::kBf16, {2}, 0x40)})), {});
  EXPECT_EQ(make_inputs(p).sinks, (std::vector{3.0f, 3.0f}));  // 0x4040
}

TEST(Sinks, ThatLieAreNamed) {
  const Scratch scratch;
  const auto refused = [&](TensorToWrite sinks, const std::vector<std::string>& parts) {
    const Problem p = bundle(bundle_with(scratch, {std::move(sinks)}));
    expect_usage_error([&] { make_inputs(resolve(p, {})); }, parts);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused(sinks_of({1, nan}), {"sinks", "holds a NaN at [h] = [1]"});
  refused(sinks_of({-std::numeric_limits<float>::infinity(), 1}), {"an infinity at [h] = [0]"});
  refused(sinks_of({1, 2, 3}), {"has shape [3], so h is 3", "has h 2"});
  refused(zeros("sinks", {1, 2}), {"has shape [1, 2]; sinks must be [h]"});
  refused(filled_with("sinks", OtherElement::kU8, {2}, 1),
          {"holds U8", "attention reads sinks of F32"});
}

TEST(Sinks, AreWrittenWithTheInputsAndTheirGradientWithTheResults) {
  const Scratch scratch;
  Problem p;
  p.shape = {2, 4, 2, 5, 7, 8};
  p.pass = Pass::kBackward;
  p.sinks = Sinks::kRandom;
  const Inputs in = make_inputs(p);
  write_inputs(scratch.path("in.safetensors"), p, in);
  const Problem back = resolve(bundle(scratch.path("in.safetensors")), {});
  EXPECT_EQ(make_inputs(back).sinks, in.sinks);

  Outputs out = make_outputs(p);
  for (Tensor* t : {&out.o, &out.lse, &out.dq, &out.dk, &out.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0);
  for (std::int64_t h = 0; h < 4; ++h) out.dsinks.set(h, static_cast<float>(h) + 0.5f);
  write_outputs(scratch.path("out.safetensors"), p, out, p.pass);
  const Outputs read = read_outputs(scratch.path("out.safetensors"), p);
  for (std::int64_t h = 0; h < 4; ++h) EXPECT_EQ(read.dsinks.at(h), out.dsinks.at(h));
  p.sinks = Sinks::kNone;
  expect_usage_error([&] { read_outputs(scratch.path("out.safetensors"), p); },
                     {"dsinks", "the problem has no sinks"});
}

// A sink that weighs nothing beside the keys could be left out unnoticed.
TEST(Sinks, ThatAreRandomWeighAboutAsMuchAsTheKeys) {
  for (const std::int64_t keys : {1, 64, 100000}) {
    Problem p;
    p.shape = {1, 200, 1, 1, keys, 1};
    p.sinks = Sinks::kRandom;
    std::vector<float> sinks = make_inputs(p).sinks;
    std::nth_element(sinks.begin(), sinks.begin() + 100, sinks.end());
    EXPECT_NEAR(sinks[100], std::log(static_cast<float>(keys)), 0.3f) << keys;
    EXPECT_EQ(make_inputs(p).sinks, make_inputs(p).sinks);
  }
}

}  // namespace
}  // namespace flashbench::data
