#include "core/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashbench {
namespace {

using testing::HasSubstr;

TEST(Problem, OnlyF32OperandsAreSplit) {
  Problem p;
  p.f32_math = F32Math::kBf16x6;
  EXPECT_FALSE(invalid(p).has_value());
  p.dtype = Dtype::kBf16;
  const auto rejection = invalid(p);
  ASSERT_TRUE(rejection.has_value());
  EXPECT_EQ(rejection->reason,
            "--f32_math bf16x6 is for --dtype f32, not for bf16; use --dtype f32, or leave "
            "--f32_math bf16x6 out");
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
  EXPECT_EQ(reason([](Problem& p) { p.shape.h = 9, p.shape.h_kv = 2; }),
            "--h_kv 2 does not divide --h 9; use one of 1, 3, 9");
  EXPECT_THAT(reason([](Problem& p) { p.shape.d = 1025; }), HasSubstr("--d must be between 1"));
  for (const std::int64_t width : {0, 1025})
    EXPECT_THAT(reason([=](Problem& p) { p.shape.own_d_v = width; }), HasSubstr("1 and 1024, got"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.q_len = 0; }),
              HasSubstr("--q_len must be between 1"));
  EXPECT_THAT(reason([](Problem& p) { p.mask_keep = NAN; }), HasSubstr("--mask_keep"));
  EXPECT_THAT(reason([](Problem& p) { p.scale = INFINITY; }), HasSubstr("--scale must be finite"));
  for (const double huge : {1e39, -1e39})
    EXPECT_THAT(reason([&](Problem& p) { p.scale = huge; }), HasSubstr("--scale must be between"))
        << "an infinity in f32, so that every result would be NaN";
  EXPECT_EQ(reason([](Problem& p) { p.scale = 3e38; }), "accepted");
  for (const double bad : {-1.0, 1e-9, 1e9, double{INFINITY}, double{NAN}})
    EXPECT_THAT(reason([&](Problem& p) { p.softcap = bad; }),
                HasSubstr("--softcap must be 0 (none) or between 1e-06 and 1e+06, got"));
  EXPECT_EQ(reason([](Problem& p) { p.softcap = 50; }), "accepted");
  EXPECT_THAT(reason([](Problem& p) {
                p.alibi = Alibi::kStandard;
                p.shape.kv_len = 1 << 24;
              }),
              HasSubstr("--alibi takes --q_len and --kv_len of at most 16777216 together"));
  EXPECT_EQ(reason([](Problem& p) { p.own_kv_dtype = Dtype::kE5m2; }), "accepted");
  EXPECT_EQ(reason([](Problem& p) { p.own_kv_dtype = p.dtype, p.pass = Pass::kBoth; }), "accepted");
  EXPECT_EQ(reason([](Problem& p) { p.own_kv_dtype = Dtype::kE4m3, p.pass = Pass::kBackward; }),
            "--kv_dtype e4m3 is for a forward pass alone, not for --pass backward; use forward, or "
            "leave --kv_dtype out");
  EXPECT_EQ(reason([](Problem& p) { p.own_kv_dtype = Dtype::kBf16; }),
            "--kv_dtype bf16 is not --dtype f32; use one of e4m3, e5m2, or leave it out");
  EXPECT_THAT(reason([](Problem& p) { p.window_left = -1; }),
              HasSubstr("--window_left must be none or between 0 and"));
  EXPECT_THAT(reason([](Problem& p) { p.window_right = std::int64_t{1} << 31; }),
              HasSubstr("--window_right must be none or between 0 and"));
  EXPECT_THAT(reason([](Problem& p) { p.causal = true, p.window_right = 3; }),
              HasSubstr("--window_right 3 contradicts --causal"));
  EXPECT_EQ(reason([](Problem& p) { p.causal = true, p.window_left = p.window_right = 0; }),
            "accepted");
  EXPECT_THAT(
      reason([](Problem& p) { p.shape.q_len = 0x7fffffff, p.shape.kv_len = 4, p.window_left = 1; }),
      HasSubstr("together"));
  EXPECT_THAT(
      reason([](Problem& p) { p.shape = {1 << 20, 1 << 20, 1 << 20, 1 << 30, 1 << 30, 1024}; }),
      HasSubstr("more than any machine addresses"));
  EXPECT_THAT(reason([](Problem& p) {
                constexpr std::int64_t kLong = 1 << 30;
                p.shape = {.b = 1, .h = 4, .h_kv = 4, .q_len = kLong, .kv_len = kLong, .d = 1};
              }),
              HasSubstr("more than any machine computes"))
      << "its 2^62 scores of 4 bytes wrap to 0 bytes in 64 bits";
}

}  // namespace
}  // namespace flashbench
