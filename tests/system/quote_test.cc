#include "system/quote.h"

#include <gtest/gtest.h>

namespace flashbench {
namespace {

TEST(Escape, WhatCanBeShownStaysAsItIs) {
  for (const char* text :
       {"", "q.npy", "sch\xc3\xb6n", "\xe5\xbc\xa0\xe9\x87\x8f", "\xf0\x9f\x94\xa5"})
    EXPECT_EQ(escape(text), text);
}

TEST(Escape, NothingReachesATerminalAsACommand) {
  EXPECT_EQ(escape("a\nb\x1b[31m\x7f"), "a\\x0ab\\x1b[31m\\x7f");
  EXPECT_EQ(escape(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(escape("\xc2\x9b"
                   "31m"),
            "\\xc2\\x9b31m")
      << "U+009B begins a command as ESC [ does";
}

TEST(Escape, BytesThatAreNoUtf8AreShownAsBytes) {
  EXPECT_EQ(escape("\xff"), "\\xff");
  EXPECT_EQ(escape("caf\xe9.npy"), "caf\\xe9.npy") << "Latin-1";
  EXPECT_EQ(escape("\xc3"), "\\xc3") << "cut off";
  EXPECT_EQ(escape("\xe5\xbcx"), "\\xe5\\xbcx");
  EXPECT_EQ(escape("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(escape("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
}

TEST(Quote, LeavesOutTheMiddleOfLongTextBetweenCharacters) {
  EXPECT_EQ(quote("abc", 8), "'abc'");
  EXPECT_EQ(quote("abcdefghijkl", 8), "'abcd...kl' (12 bytes)");
  EXPECT_EQ(quote("abc\xc3\xb6"
                  "fghijkl",
                  8),
            "'abc...kl' (12 bytes)");
}

}  // namespace
}  // namespace flashbench
