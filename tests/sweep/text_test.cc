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

}  // namespace
}  // namespace flashbench::sweep
