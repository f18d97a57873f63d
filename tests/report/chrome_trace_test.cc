#include "report/chrome_trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace flashbench::report {
namespace {

TEST(ChromeTrace, IsJsonInMicrosecondsWithNamedTracks) {
  ChromeTrace trace;
  const int flash = trace.process("flash");
  const int normal = trace.process("normal");
  EXPECT_NE(flash, normal);
  trace.track(flash, 1, "thread 0");
  trace.span(flash, 1, "softmax", 0.5, 0.75, {{"calls", 3}});
  trace.counter(normal, "memory", 0.25, 4096);
  const auto document = nlohmann::json::parse(trace.text({{"program", "quoted \"name\""}}));
  EXPECT_EQ(document["otherData"]["program"], "quoted \"name\"");
  const auto& events = document["traceEvents"];
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[3]["ts"], 0.5e6);
  EXPECT_EQ(events[3]["dur"], 0.25e6);
  EXPECT_EQ(events[3]["args"]["calls"], 3);
  EXPECT_EQ(events[4]["args"]["memory"], 4096);
}

TEST(ChromeTrace, EmptyIsStillJson) {
  EXPECT_TRUE(nlohmann::json::parse(ChromeTrace().text(nullptr))["traceEvents"].empty());
}

}  // namespace
}  // namespace flashbench::report
