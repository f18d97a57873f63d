#include "core/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashbench {
namespace {

using testing::HasSubstr;

TEST(Problem, FlagsReproduceEveryFieldThatDiffersFromTheDefault) {
  Problem p;
  EXPECT_EQ(p.flags(), "--b 1 --h 2 --q_len 4096 --kv_len 4096 --d 512 --dtype f32 --pass forward");
  p.shape = {2, 8, 2, 7, 9, 40};
  p.dtype = Dtype::kBf16;
  p.pass = Pass::kBackward;
  p.causal = true;
  p.padding = PaddingMask::kRandom;
  p.mask_keep = 0.25;
  p.scale = 0.125;
  p.seed = 18446744073709551615u;
  p.d_o = GradSource::kRandom;
  EXPECT_EQ(
      p.flags(),
      "--b 2 --h 8 --h_kv 2 --q_len 7 --kv_len 9 --d 40 --dtype bf16 --pass backward --causal "
      "--mask random --mask_keep 0.25 --scale 0.125 --seed 18446744073709551615 --do random");
}

TEST(Problem, FileNamesAreQuotedForTheShell) {
  Problem p;
  p.files.bundle = "my file's.safetensors";
  EXPECT_THAT(p.flags(), HasSubstr(R"(--input 'my file'\''s.safetensors')"));
}

TEST(Problem, BadShapesAreRejectedWithWhatWouldBeRight) {
  const auto reason = [](auto change) {
    Problem p;
    change(p);
    const auto rejection = invalid(p);
    return rejection ? rejection->reason : "accepted";
  };
  EXPECT_EQ(reason([](Problem&) {}), "accepted");
  EXPECT_EQ(reason([](Problem& p) { p.shape.h = 8, p.shape.h_kv = 3; }),
            "--h_kv 3 does not divide --h 8; use one of 1, 2, 4, 8");
  EXPECT_THAT(reason([](Problem& p) { p.shape.d = 1025; }), HasSubstr("--d 1025 exceeds 1024"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.own_d_v = 1025; }), HasSubstr("--d_v 1025 exceeds"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.own_d_v = 0; }), HasSubstr("--d_v must be between"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.q_len = 0; }),
              HasSubstr("--q_len must be between 1"));
  EXPECT_THAT(reason([](Problem& p) { p.mask_keep = NAN; }), HasSubstr("--mask_keep"));
  EXPECT_THAT(reason([](Problem& p) { p.scale = INFINITY; }), HasSubstr("--scale must be finite"));
  EXPECT_THAT(
      reason([](Problem& p) { p.shape = {1 << 20, 1 << 20, 1 << 20, 1 << 30, 1 << 30, 1024}; }),
      HasSubstr("more than any machine"));
}

}  // namespace
}  // namespace flashbench
