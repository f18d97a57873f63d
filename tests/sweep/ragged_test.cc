// Lengths of sequences as words, as vLLM's batch specs have them.
#include "sweep/ragged.h"

#include <gtest/gtest.h>

#include "system/error.h"

namespace flashbench::sweep {
namespace {

using Lengths = std::vector<SequenceLengths>;

TEST(RaggedText, IsReadAsItIsMeant) {
  EXPECT_EQ(parse_ragged("q7", "x"), (Lengths{{7, 7}}));
  EXPECT_EQ(parse_ragged("q2k", "x"), (Lengths{{2048, 2048}}));
  EXPECT_EQ(parse_ragged("2q3s1k_q5", "x"), (Lengths{{3, 1024}, {3, 1024}, {5, 5}}));
  const auto many = parse_ragged("2q2k_32q1s1k", "x");
  ASSERT_TRUE(many);
  EXPECT_EQ(many->size(), 34u);
  EXPECT_EQ(many->back(), (SequenceLengths{1, 1024}));
}

TEST(RaggedText, ThatIsNoSuchWordIsNotTaken) {
  for (const char* word : {"", "_", "q", "2", "2q", "q1_", "_q1", "q1s", "q1x", "k2", "q-1", "-1q1",
                           "q1__q1", "none", "file.safetensors", "q1.5", "q1 ", "Q1"})
    EXPECT_FALSE(parse_ragged(word, "x")) << word;
}

TEST(RaggedText, OfNothingOrTooMuchIsRefused) {
  for (const char* word : {"0q1", "q0", "q1s0", "2q1_0q3", "70000q1", "q3000000k", "9q1000000k",
                           "99999999999999999999q1", "q99999999999999999999", "2000q2000000"})
    EXPECT_THROW(parse_ragged(word, "--ragged"), UsageError) << word;
}

TEST(RaggedText, OfLengthsGivesThemBack) {
  for (const char* word : {"q7", "q2k", "2q3s1k_q5", "2q2k_32q1s1k", "q1_q2_q1", "3q1s1025"}) {
    const auto lengths = parse_ragged(word, "x");
    ASSERT_TRUE(lengths) << word;
    EXPECT_EQ(ragged_text(*Sequences::of(*lengths)), word);
  }
  EXPECT_EQ(ragged_text(*Sequences::of({{1024, 1024}, {1024, 1024}, {0, 3}})), "2q1k_q0s3");
}

}  // namespace
}  // namespace flashbench::sweep
