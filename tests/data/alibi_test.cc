// Slopes of ALiBi: the standard ones, and those of files.
#include "data/alibi.h"

#include <gtest/gtest.h>

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

using testing::ElementsAre;
using testing::HasSubstr;

// What the authors' get_slopes gives.
TEST(StandardSlopes, AreThoseOfTheAuthorsCode) {
  EXPECT_THAT(standard_alibi_slopes(1), ElementsAre(0x1p-8f));
  EXPECT_THAT(standard_alibi_slopes(4), ElementsAre(0x1p-2f, 0x1p-4f, 0x1p-6f, 0x1p-8f));
  EXPECT_THAT(standard_alibi_slopes(8),
              ElementsAre(0.5f, 0.25f, 0x1p-3f, 0x1p-4f, 0x1p-5f, 0x1p-6f, 0x1p-7f, 0x1p-8f));
  const auto root = [](double power) { return static_cast<float>(std::exp2(power)); };
  // 12 = 8 + 4: every other one of the 16.
  EXPECT_THAT(standard_alibi_slopes(12),
              ElementsAre(0.5f, 0.25f, 0x1p-3f, 0x1p-4f, 0x1p-5f, 0x1p-6f, 0x1p-7f, 0x1p-8f,
                          root(-0.5), root(-1.5), root(-2.5), root(-3.5)));
  EXPECT_THAT(standard_alibi_slopes(3), ElementsAre(0x1p-4f, 0x1p-8f, 0x1p-2f));
}

TensorToWrite slopes_of(std::vector<float> values, std::vector<std::int64_t> shape) {
  return {"alibi_slopes", Dtype::kF32, std::move(shape),
          [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }};
}

Problem bundle_with(const Scratch& scratch, TensorToWrite slopes) {
  const std::vector<std::int64_t> four = {2, 2, 3, 4};
  write_safetensors(scratch.path("in.safetensors"),
                    {zeros("q", four), zeros("k", four), zeros("v", four), std::move(slopes)}, {});
  return bundle(scratch.path("in.safetensors"));
}

TEST(Slopes, OfABundleAreOfTheHeadsOrOfEachBatchElement) {
  const Scratch scratch;
  const Problem p = resolve(bundle_with(scratch, slopes_of({1, 2}, {2})), {});
  EXPECT_EQ(p.alibi, Alibi::kFile);
  EXPECT_THAT(make_inputs(p).alibi_slopes, ElementsAre(1, 2, 1, 2));
  const Problem of_batch = resolve(bundle_with(scratch, slopes_of({1, 2, 3, 4}, {2, 2})), {});
  EXPECT_THAT(make_inputs(of_batch).alibi_slopes, ElementsAre(1, 2, 3, 4));
  const Problem without = resolve(bundle_with(scratch, slopes_of({1, 2}, {2})), {"alibi"});
  EXPECT_TRUE(make_inputs(without).alibi_slopes.empty());
  EXPECT_THAT(sweep::flags(without), HasSubstr("--alibi none"));
}

TEST(Slopes, ThatLieAreNamed) {
  const Scratch scratch;
  const auto refused = [&](TensorToWrite slopes, const std::vector<std::string>& parts) {
    const Problem p = bundle_with(scratch, std::move(slopes));
    expect_usage_error([&] { make_inputs(resolve(p, {})); }, parts);
  };
  const float inf = std::numeric_limits<float>::infinity();
  refused(slopes_of({1, inf}, {2}), {"an infinity at [h] = [1]"});
  refused(slopes_of({1, 2, 3, NAN}, {2, 2}), {"a NaN at [b, h] = [1, 1]"});
  refused(slopes_of({1, 2, 3}, {3}), {"so h is 3"});
  refused(slopes_of({-3e38f, 1}, {2}), {"holds -3e+38", "no slope may be beyond"});
  refused(slopes_of({1, 2}, {1, 2}), {"so b is 1"});
  refused(slopes_of({1, 2}, {1, 1, 2}), {"slopes must be [h] or [b, h]"});
}

TEST(Slopes, AreWrittenWithTheInputs) {
  const Scratch scratch;
  Problem p;
  p.shape = {2, 6, 2, 5, 7, 8};
  p.alibi = Alibi::kStandard;
  const Inputs in = make_inputs(p);
  write_inputs(scratch.path("in.safetensors"), p, in);
  const Problem back = resolve(bundle(scratch.path("in.safetensors")), {});
  EXPECT_EQ(make_inputs(back).alibi_slopes, in.alibi_slopes);
}

}  // namespace
}  // namespace flashbench::data
