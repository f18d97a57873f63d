#include "system/relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "system/error.h"

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

TEST(Relay, WhatThisProcessWritesNextBeginsALine) {
  Relay relay;
  testing::internal::CaptureStderr();
  relay.end_line();
  write_to(relay.in(), "half a line");
  relay.end_line();
  relay.end_line();
  write_to(relay.in(), "another\n");
  relay.end_line();
  write_to(relay.in(), "last words");
  EXPECT_EQ(relay.last_line(), "last words");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "half a line\nanother\nlast words");
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

TEST(Relay, WhoeverGoesOnWritingIsNotWaitedForEither) {
  Relay relay;
  const int left_behind = ::dup(relay.in());
  ::fcntl(left_behind, F_SETFL, O_NONBLOCK);
  relay.close_in();
  testing::internal::CaptureStderr();
  write_to(left_behind, "x\n");
  std::atomic<bool> is_over = false;
  std::thread writer([&] {  // not for ever: a relay that waits for it fails this test, and ends
    const auto began = std::chrono::steady_clock::now();
    while (!is_over && std::chrono::steady_clock::now() - began < std::chrono::seconds(10))
      if (::write(left_behind, "x\n", 2) < 0) std::this_thread::yield();
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(relay.last_line(), "x");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  is_over = true;
  writer.join();
  testing::internal::GetCapturedStderr();
  ::close(left_behind);
}

// Ctrl-C was dead after it.
TEST(Relay, WithoutAThreadItSaysSoAndSignalsComeAsBefore) {
  pthread_attr_t before, huge;
  ASSERT_EQ(::pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(::pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, std::size_t{1} << 60), 0);  // there is no such room
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  std::string said;
  try {
    const Relay relay;
  } catch (const UnavailableError& e) {
    said = e.what();
  }
  ASSERT_EQ(::pthread_setattr_default_np(&before), 0);
  EXPECT_TRUE(said.starts_with("cannot start a thread: ")) << said;
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_FALSE(::sigismember(&blocked, SIGINT));
}

// Others that have the terminal, or a pipe, may make it so.
TEST(Relay, AStderrThatWouldBlockLosesNothing) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  Descriptor from(ends[0], "a pipe"), to(ends[1], "a pipe");
  Descriptor before(::dup(STDERR_FILENO), "stderr");
  const std::size_t bytes = ::fcntl(to.get(), F_GETPIPE_SZ) + std::size_t{50'000};
  ::dup2(to.get(), STDERR_FILENO);
  to.reset();
  std::size_t came = 0;
  {
    Relay relay;
    std::thread reader([&] {  // late
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      std::array<char, 4096> text;
      pollfd p{from.get(), POLLIN, 0};
      while (::poll(&p, 1, 2'000) > 0) {
        const ssize_t n = ::read(from.get(), text.data(), text.size());
        if (n <= 0) return;  // its end
        came += static_cast<std::size_t>(n);
      }
    });
    write_to(relay.in(), std::string(bytes, 'x'));
    relay.last_line();
    ::dup2(before.get(), STDERR_FILENO);
    reader.join();
  }
  EXPECT_EQ(came, bytes);
}

}  // namespace
}  // namespace flashbench::process
