#include "system/relay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>

namespace flashbench::process {
namespace {

void write_to(int fd, std::string_view text) {
  ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

TEST(Relay, PassesOnEverythingAndKeepsTheLastLineThatHasSomethingInIt) {
  Relay relay;
  testing::internal::CaptureStderr();
  write_to(relay.in(), "Traceback:\n  No mod");
  write_to(relay.in(), "ule named 'mine'\n \n");
  EXPECT_EQ(relay.last_line(), "  No module named 'mine'");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "Traceback:\n  No module named 'mine'\n \n");
  EXPECT_EQ(relay.last_line(), "  No module named 'mine'") << "asked again";
}

TEST(Relay, ALineNeedsNoEndAndHasOne) {
  Relay silent, cut;
  EXPECT_EQ(silent.last_line(), "");
  testing::internal::CaptureStderr();
  write_to(cut.in(), "first\n" + std::string(10'000, 'x'));
  EXPECT_EQ(cut.last_line(), std::string(300, 'x'));
  testing::internal::GetCapturedStderr();
}

// What a worker started in a session of its own outlives it.
TEST(Relay, WhoeverHoldsTheOtherEndIsNotWaitedFor) {
  Relay relay;
  const int left_behind = ::dup(relay.in());
  relay.close_in();
  testing::internal::CaptureStderr();
  write_to(left_behind, "still here\n");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(relay.last_line(), "still here");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  testing::internal::GetCapturedStderr();
  ::close(left_behind);
}

}  // namespace
}  // namespace flashbench::process
