#include "app/terminal/last_outputs.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "system/interrupt.h"

namespace flashbench::app {
namespace {

TEST(LastOutputs, WhatThrowsIsLostAndTheRestIsTried) {
  bool tried = false;
  ::testing::internal::CaptureStderr();
  {
    LastOutputs outputs;
    outputs.attempt([] { throw std::runtime_error("the disk is full"); });
    outputs.attempt([&] { tried = true; });
    EXPECT_EQ(outputs.code(ExitCode::kOk), ExitCode::kFailed);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "flashbench: the disk is full\n");
  EXPECT_TRUE(tried);
}

// "flashbench: interrupted" was told as an output that was lost.
TEST(LastOutputs, AnInterruptionIsNoLoss) {
  bool tried = false;
  ::testing::internal::CaptureStderr();
  {
    LastOutputs outputs;
    outputs.attempt([] { throw Interrupted{}; });
    outputs.attempt([&] { tried = true; });
    EXPECT_EQ(outputs.code(ExitCode::kOk), interrupted_code());
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(tried);
}

}  // namespace
}  // namespace flashbench::app
