#include "sweep/number.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "system/error.h"

namespace flashbench::sweep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename F>
std::string usage_error(F&& f) {
  try {
    f();
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(no UsageError)";
}

TEST(ParseCount, UnitsAreBinaryAndLeadingZerosAreNotOctal) {
  EXPECT_EQ(parse_count("7", "--b"), 7);
  EXPECT_EQ(parse_count("16k", "--b"), 16384);
  EXPECT_EQ(parse_count("2m", "--b"), 2 * 1024 * 1024);
  EXPECT_EQ(parse_count("010", "--b"), 10);
  EXPECT_EQ(parse_count("2147483647", "--b"), 2147483647);
}

TEST(ParseCount, RefusesWhatIsNotAPositiveWholeNumberInOneLineThatNamesFlagAndValue) {
  for (const std::string bad : {"",
                                "-1",
                                "+1",
                                "1.5",
                                "1.5k",
                                "1e3",
                                "0x10",
                                "k",
                                "4K",
                                "4kk",
                                "4 k",
                                " 4",
                                "4\n",
                                "0",
                                "abc",
                                "99999999999999999999",
                                "9223372036854775807m",
                                "2147483648",
                                "2m1",
                                "4g"}) {
    const std::string message = usage_error([&] { parse_count(bad, "--q_len"); });
    EXPECT_THAT(message, AllOf(HasSubstr("--q_len"), Not(HasSubstr("\n")))) << bad;
    EXPECT_THAT(message, ::testing::AnyOf(HasSubstr("must be"), HasSubstr("needs"))) << bad;
  }
}

TEST(ParseCounts, ListsAndRangesIncludeAnEndThatIsHit) {
  EXPECT_THAT(parse_counts("1k,2k,4k", "--q_len"), ElementsAre(1024, 2048, 4096));
  EXPECT_THAT(parse_counts("512:4k:x2", "--q_len"), ElementsAre(512, 1024, 2048, 4096));
  EXPECT_THAT(parse_counts("512:4k:*2", "--q_len"), ElementsAre(512, 1024, 2048, 4096));
  EXPECT_THAT(parse_counts("64:256:+64", "--q_len"), ElementsAre(64, 128, 192, 256));
  EXPECT_THAT(parse_counts("64:255:+64", "--q_len"), ElementsAre(64, 128, 192));
  EXPECT_THAT(parse_counts("3:3:x2,8", "--q_len"), ElementsAre(3, 8));
  EXPECT_THAT(parse_counts("1:2147483647:x1k", "--q_len"),
              ElementsAre(1, 1024, 1024 * 1024, 1024 * 1024 * 1024));
}

TEST(ParseCounts, RefusesMalformedRanges) {
  for (const std::string bad :
       {"1:2",      "1:2:3", "1:2:y2", "4:1:x2", "4:8:x1", "4:8:x0", "4:8:+0",
        "1:2:x2:3", "::",    "1::x2",  ":2:x2",  "1:2:x",  "1:2:+",  "1:2:-1",
        "0:8:x2",   "1,,2",  ",1",     "1,",     ",",      "1:1m:+1"}) {
    const std::string message = usage_error([&] { parse_counts(bad, "--d"); });
    EXPECT_THAT(message, AllOf(HasSubstr("--d"), Not(HasSubstr("\n")))) << bad;
  }
}

TEST(ParseCounts, MessagesNameTheWordThatTheCallerTakesToo) {
  const auto error = [](const char* text) {
    return usage_error([&] { parse_counts(text, "--w", {.least = 0, .or_word = "none"}); });
  };
  EXPECT_EQ(error("nnoe"),
            "--w must be none or a whole number from 0 on, digits with an optional k (1024) or m "
            "(1024*1024), such as 4096 or 4k; got 'nnoe'; did you mean 'none'?");
  EXPECT_THAT(error("-1"), HasSubstr("none or a whole number from 0 on"));
  EXPECT_EQ(error("2147483648"), "--w must be none or between 0 and 2147483647, got '2147483648'");
  for (const char* range : {"none:5:+1", "5:none:+1"})
    EXPECT_THAT(error(range), HasSubstr("malformed range '" + std::string(range) +
                                        "': none is no end of a range; write begin:end:xN"));
  EXPECT_THAT(error("nne:5:+1"), Not(HasSubstr("none")));
}

TEST(ParseReal, RefusesNanInfAndTrailingText) {
  EXPECT_DOUBLE_EQ(parse_real("0.125", "--scale"), 0.125);
  EXPECT_DOUBLE_EQ(parse_real("-2e-3", "--scale"), -0.002);
  EXPECT_FALSE(std::signbit(parse_real("-0", "--scale"))) << "-0 and 0 would be two cases";
  for (const std::string bad : {"nan", "inf", "-inf", "1e999", "0.5x", "", " 1", "0x1p3", "1,5"})
    EXPECT_THAT(usage_error([&] { parse_real(bad, "--scale"); }), HasSubstr("--scale must be"))
        << bad;
  EXPECT_THAT(usage_error([&] { parse_real("1.5", "--mask_keep", 0, 1); }),
              HasSubstr("between 0 and 1"));
}

TEST(ParseSeed, TakesAll64BitsAndNothingElse) {
  EXPECT_EQ(parse_seed("0", "--seed"), 0u);
  EXPECT_EQ(parse_seed("18446744073709551615", "--seed"), ~std::uint64_t{0});
  for (const std::string bad : {"18446744073709551616", "-1", "1k", "", "1.0"})
    EXPECT_THAT(usage_error([&] { parse_seed(bad, "--seed"); }), HasSubstr("--seed must be"))
        << bad;
}

TEST(ParseBool, ABareFlagIsTrue) {
  EXPECT_TRUE(parse_bool("", "--causal"));
  EXPECT_TRUE(parse_bool("true", "--causal"));
  EXPECT_FALSE(parse_bool("false", "--causal"));
  EXPECT_THAT(usage_error([] { parse_bool("yes", "--causal"); }), HasSubstr("true or false"));
}

}  // namespace
}  // namespace flashbench::sweep
