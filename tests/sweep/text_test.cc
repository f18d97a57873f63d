#include "sweep/text.h"

#include <gtest/gtest.h>

namespace flashbench::sweep {
namespace {

TEST(Closest, FindsSwappedMissingAndWrongLettersAndNothingFar) {
  const std::vector<std::string> commands = {"forward", "backward", "bench", "check", "info"};
  EXPECT_EQ(closest("benhc", commands), "bench");
  EXPECT_EQ(closest("ceck", commands), "check");
  EXPECT_EQ(closest("forwad", commands), "forward");
  EXPECT_EQ(closest("zzzzzz", commands), "");
  EXPECT_EQ(closest("", commands), "");
}

TEST(Closest, OneLetterNamesDoNotMatchEveryOtherLetter) {
  EXPECT_EQ(closest("x", {"b", "h", "d"}), "");
}

TEST(EditDistance, CountsASwapOfNeighboursOnce) {
  EXPECT_EQ(edit_distance("benhc", "bench"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Quote, KeepsMessagesOnOneLineAndCutsBetweenCharacters) {
  EXPECT_EQ(quote("a\nb"), "'a\\x0ab'");
  const std::string long_text(100, 'x');
  EXPECT_EQ(quote(long_text), "'" + std::string(60, 'x') + "...'");
  const std::string split = std::string(59, 'x') + "\xc3\xa9" + "y";  // é on the cut
  EXPECT_EQ(quote(split), "'" + std::string(59, 'x') + "...'");
  const std::string whole = std::string(58, 'x') + "\xc3\xa9" + "y";  // é just before it
  EXPECT_EQ(quote(whole), "'" + std::string(58, 'x') + "\xc3\xa9" + "...'");
}

}  // namespace
}  // namespace flashbench::sweep
