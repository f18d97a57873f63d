#include "app/terminal/streams.h"

#include <gtest/gtest.h>

namespace flashbench::app {
namespace {

// "251.3 Â± 0.9 ms" was shown where the locale knows no UTF-8.
TEST(InLocale, AsciiStandsInUnlessTheLocaleIsUtf8) {
  const std::string cell = "251.3 ± 0.9 ms";
  for (const char* locale : {"C", "POSIX", "", "de_DE", "en_US.ISO-8859-1", "ja_JP.eucJP"})
    EXPECT_EQ(in_locale(cell, locale), "251.3 +-0.9 ms") << locale;
  for (const char* locale : {"C.UTF-8", "en_US.utf8", "de_DE.UTF8@euro", "C.utf-8"})
    EXPECT_EQ(in_locale(cell, locale), cell) << locale;
}

TEST(InLocale, EveryOneIsReplacedAndTheRestLeft) {
  EXPECT_EQ(in_locale("±1 %, 2 ± 3; naïve.json", "C"), "+-1 %, 2 +-3; naïve.json")
      << "the name of a file is its bytes";
  EXPECT_EQ(in_locale("", "C"), "");
}

// A message stood behind what a progress bar had left in its line.
TEST(Streams, AMessageTakesThePlaceOfADrawnLine) {
  ::testing::internal::CaptureStderr();
  draw_line("[##--] 1/2");
  print_err("");
  print_err("going on\n");
  print_err("and on\n");
  draw_line("");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "\r\x1b[K[##--] 1/2\r\x1b[Kgoing on\nand on\n");
}

}  // namespace
}  // namespace flashbench::app
