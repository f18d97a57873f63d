#include "report/junit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashbench::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

JunitCase passing(const std::string& name) {
  JunitCase c;
  c.name = name;
  c.classname = "flash.forward";
  c.time_s = 0.25;
  return c;
}

TEST(Junit, CountsAndTimes) {
  JunitCase failing = passing("b");
  failing.failure = "dQ 35x of expected f32 rounding\nflashbench check ...";
  JunitCase skipped = passing("c");
  skipped.skipped = "needs 68.7 GB";
  const std::string xml = junit_text("check", {passing("a"), failing, skipped});
  EXPECT_THAT(xml, HasSubstr("<testsuite name=\"check\" tests=\"3\" failures=\"1\" errors=\"0\" "
                             "skipped=\"1\" time=\"0.750000\">"));
  EXPECT_THAT(xml,
              HasSubstr("<testcase name=\"a\" classname=\"flash.forward\" time=\"0.250000\"/>"));
  EXPECT_THAT(xml, HasSubstr("<failure message=\"dQ 35x of expected f32 rounding\">"
                             "dQ 35x of expected f32 rounding&#10;flashbench check ...</failure>"));
  EXPECT_THAT(xml, HasSubstr("<skipped message=\"needs 68.7 GB\"/>"));
  EXPECT_TRUE(xml.ends_with("</testsuite>\n"));
}

TEST(Junit, MarkupInTextIsEscaped) {
  EXPECT_THAT(junit_text("s", {passing("<a> & \"b\"")}),
              HasSubstr("name=\"&lt;a&gt; &amp; &quot;b&quot;\""));
}

TEST(Junit, WhatXmlForbidsIsDropped) {
  const std::string name =
      std::string("a\x01") + '\0' + "b\x1b[31m\xff\xc3(\xed\xa0\x80\xef\xbf\xbf" + "c";
  EXPECT_THAT(junit_text("s", {passing(name)}), HasSubstr("name=\"ab[31m(c\""));
}

TEST(Junit, Utf8Stays) {
  EXPECT_THAT(junit_text("s", {passing("± → 𝄞")}), HasSubstr("name=\"± → 𝄞\""));
}

TEST(Junit, AnEmptySuiteIsStillASuite) {
  EXPECT_THAT(junit_text("s", {}), HasSubstr("tests=\"0\" failures=\"0\""));
}

}  // namespace
}  // namespace flashbench::report
