#include "guest/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/error.h"

namespace flashbench::guest {
namespace {

const std::vector<std::string> kNames = {"h", "q_len", "scale"};
const Variables kValues = {{"h", 6}, {"q_len", 100}, {"scale", 0.125}};

std::int64_t integer(const std::string& text) {
  return Expression(text, kNames, "here").integer(kValues);
}

template <typename F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const UsageError& e) {
    return e.what();
  }
  return "no error";
}

std::string sum_of(const std::string& first, int ones) {
  std::string all = first;
  for (int i = 0; i < ones; ++i) all += "+1";
  return all;
}

TEST(Expression, IntegersFollowThePrecedenceOfArithmetic) {
  EXPECT_EQ(integer("7"), 7);
  EXPECT_EQ(integer("1 + 2*3 - 4/3"), 6);
  EXPECT_EQ(integer("(1+2)*-3"), -9);
  EXPECT_EQ(integer("2 - 3 - 4"), -5);
  EXPECT_EQ(integer("100 / 8 / 3"), 4);
  EXPECT_EQ(integer("ceil_div(q_len, 64) * h"), 12);
  EXPECT_EQ(integer("ceil_div(128, 64)"), 2);
  EXPECT_EQ(integer("min(h, 4) + max(h, 4)"), 10);
  EXPECT_EQ(integer("(0 - 7) / 2"), -4);
}

TEST(Expression, FormulasOfFloats) {
  EXPECT_DOUBLE_EQ(Expression("scale * 1.5 + 1e-2", kNames, "here").real(kValues), 0.1975);
  EXPECT_DOUBLE_EQ(Expression("1 / h", kNames, "here").real(kValues), 1.0 / 6);
}

TEST(Expression, WhatIsNoneIsNamed) {
  const std::pair<std::string, std::string> rows[] = {
      {"seqlen", "here: 'seqlen': unknown name 'seqlen'; it may be h, q_len, scale"},
      {"pow(h, 2)", "unknown function 'pow'; it may be min, max, ceil_div"},
      {"h % 2", "unexpected '% 2'"},
      {"h ** 2", "unexpected '* 2'"},
      {"(h", "')' is missing"},
      {"min(h)", "',' is missing"},
      {"h +", "it ends too early"},
      {"", "it ends too early"},
      {"1 2", "unexpected '2'"},
      {std::string(100, '('), "nested too deeply"},
      {std::string(100, '-') + "1", "nested too deeply"},
      {sum_of("1", 500), "here: a formula of 1001 characters; at most 1000 are read"},
  };
  for (const auto& [text, says] : rows)
    EXPECT_THAT(refusal([&] { Expression(text, kNames, "here"); }), testing::HasSubstr(says))
        << text;
}

TEST(Expression, TheLongestOnesAreEvaluated) {
  EXPECT_EQ(integer(sum_of("10", 499)), 509);
  EXPECT_DOUBLE_EQ(Expression(sum_of("10", 499), kNames, "here").real(kValues), 509);
}

TEST(Expression, WhatCannotBeComputedIsNamed) {
  EXPECT_THAT(refusal([] { integer("h / (h - 6)"); }), testing::HasSubstr("it divides by 0"));
  EXPECT_THAT(refusal([] { integer("ceil_div(h, 0)"); }), testing::HasSubstr("it divides by 0"));
  EXPECT_THAT(refusal([] { Expression("h - 7", kNames, "here").count(kValues); }),
              testing::HasSubstr("here: 'h - 7': it is -1, and counts something"));
  EXPECT_THAT(refusal([] { integer("scale"); }), testing::HasSubstr("scale is no integer"));
  EXPECT_THAT(refusal([] { Expression("1 / (h - h)", kNames, "here").real(kValues); }),
              testing::HasSubstr("it has no finite value"));
  EXPECT_THAT(refusal([] { integer("1.5"); }), testing::HasSubstr("1.5 is no integer"));
  EXPECT_THAT(refusal([] { integer("4000000000000 * 4000000000000"); }),
              testing::HasSubstr("does not fit into 64 bits"));
}

}  // namespace
}  // namespace flashbench::guest
