#include "system/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <stdexcept>
#include <string>

namespace flashbench {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string refusal(std::string_view text, JsonLimits limits = {}) {
  try {
    (void)parse_strict_json(text, limits);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(StrictJson, BuildsWhatTheLibraryItselfBuilds) {
  for (const char* text :
       {"null", "true", "-3", "18446744073709551615", "0.5", "1e300", R"("é\u00e9\n")", "[]", "{}",
        "[[],[{}],[[1,[2]],3]]", R"({"a":{"b":[1,2,{"c":null}],"d":"e"},"f":[{"g":1},{"g":2}]})",
        R"({"":{"":{"":[]}}})", R"({"z":1,"a":{"z":2},"m":[{"z":3}]})", " [1 , 2]\n"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse_strict_json(text), json::parse(text));
  }
}

TEST(StrictJson, AKeyMayBeThereOnceInEachObject) {
  EXPECT_EQ(refusal(R"({"a":1,"b":2,"a":3})"), "names 'a' twice");
  EXPECT_EQ(refusal(R"([{"b":{"a":1,"a":1}}])"), "names 'a' twice");
  EXPECT_EQ(refusal(R"({"a":1,"\u0061":1})"), "names 'a' twice");
  EXPECT_EQ(refusal(R"({"a":{"a":{"a":1}},"b":{"a":1}})"), "accepted");
}

TEST(StrictJson, LimitsHoldToTheLastOneAllowed) {
  EXPECT_EQ(refusal("[[[]]]", {.depth = 3}), "accepted");
  EXPECT_EQ(refusal("[[{\"a\":[]}]]", {.depth = 3}), "nests deeper than 3 levels");
  EXPECT_EQ(refusal("[1,2,3]", {.array_items = 3}), "accepted");
  EXPECT_EQ(refusal("[1,2,3,[]]", {.array_items = 3}), "has an array of more than 3 items");
  EXPECT_EQ(refusal("[1,[2,3]]", {.values = 5}), "accepted");
  EXPECT_EQ(refusal("[1,[2,{}]]", {.values = 4}), "has more than 4 values");
}

TEST(StrictJson, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(refusal(""), "is not valid JSON at byte 1");
  EXPECT_EQ(refusal("{\"a\":}"), "is not valid JSON at byte 6");
  EXPECT_EQ(refusal("[1] [2]"), "is not valid JSON at byte 5");
  EXPECT_EQ(refusal("[1,]"), "is not valid JSON at byte 4");
  EXPECT_EQ(refusal("// no\n1"), "is not valid JSON at byte 1");
  EXPECT_EQ(refusal("[\"\xff\"]"), "is not valid UTF-8 at byte 3");
  EXPECT_EQ(refusal(std::string_view("1\0", 2)), "has a NUL byte at byte 1");
  EXPECT_EQ(refusal("[1e999]"), "has a number that no double holds");
}

TEST(StrictJson, TimeIsInProportionToTheMembersOfAnObject) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i)
    text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"shape":[1],"offsets":[0,4]})";
  text += "}";
  const std::clock_t before = std::clock();
  EXPECT_EQ(parse_strict_json(text).size(), 100'000u);
  // A tenth of a second; looking through all members at the end of each took ten minutes.
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 10);
}

}  // namespace
}  // namespace flashbench
