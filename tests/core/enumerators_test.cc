// What the compiler says of enums: a list that misses an enumerator would let a problem pass a
// check that it should not.
#include "core/enumerators.h"

#include <gtest/gtest.h>

#include "core/enum_set.h"

namespace flashbench {
namespace {

enum class Color { kRed, kGreen, kBlue };
constexpr std::string_view name(Color c) {
  switch (c) {
    case Color::kRed:
      return "red";
    case Color::kGreen:
      return "green";
    case Color::kBlue:
      return "blue";
  }
  no_such_enumerator();
}
enum class Alone { kOne };

static_assert(kEnumerators<Color> == std::array{Color::kRed, Color::kGreen, Color::kBlue});
static_assert(kEnumerators<Alone>.size() == 1);
static_assert(from_name<Color>("blue") == Color::kBlue);
static_assert(!from_name<Color>("Blue") && !from_name<Color>(""));

TEST(EnumSet, HoldsWhatWasPutInAndNothingElse) {
  EnumSet<Color> set = {Color::kGreen};
  EXPECT_TRUE(set.has(Color::kGreen));
  EXPECT_FALSE(set.has(Color::kRed));
  set.add(Color::kBlue);
  set.remove(Color::kGreen);
  EXPECT_EQ(set, EnumSet<Color>{Color::kBlue});
  EXPECT_FALSE(set.empty());
  EXPECT_TRUE(EnumSet<Color>().empty());
}

TEST(EnumSet, DifferenceIsWhatTheOtherLacks) {
  const EnumSet<Color> asked = {Color::kRed, Color::kBlue}, known = {Color::kBlue, Color::kGreen};
  EXPECT_EQ(asked - known, EnumSet<Color>{Color::kRed});
  EXPECT_TRUE((asked - EnumSet<Color>::all()).empty());
}

}  // namespace
}  // namespace flashbench
