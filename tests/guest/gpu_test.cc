#include "guest/gpu.h"

#include <gtest/gtest.h>

namespace flashbench::guest {
namespace {

const DriverFailure kLacks{"graphs are not there", true}, kRefused{"it is no PTX", false};

TEST(ExplainedAnswer, WhatComputedInSpiteOfALackStays) {
  Answer right;
  right.workspace_bytes = 7;
  const Answer answer = explained(right, kLacks);
  EXPECT_EQ(answer.status, Status::kOk);
  EXPECT_EQ(answer.why, "");
  EXPECT_EQ(answer.workspace_bytes, 7u);
}

TEST(ExplainedAnswer, WhatTheDriverLacksIsNoFailureOfTheGuest) {
  const Answer answer = explained({.status = Status::kDeviceError, .why = "it returns 3"}, kLacks);
  EXPECT_EQ(answer.status, Status::kUnsupported);
  EXPECT_EQ(answer.why, "it returns 3; the emulated device: graphs are not there");
}

TEST(ExplainedAnswer, AFailureStaysOneWithWhatTheDriverKnows) {
  const Answer answer = explained({.status = Status::kFailed, .why = "it returns 4"}, kRefused);
  EXPECT_EQ(answer.status, Status::kFailed);
  EXPECT_EQ(answer.why, "it returns 4; the emulated device: it is no PTX");
  EXPECT_EQ(explained(answer, kRefused).why, answer.why) << "told once";
}

TEST(ExplainedAnswer, ARefusalOfItsOwnIsNotSaidToComeFromTheDriver) {
  const Answer answer = explained({.status = Status::kUnsupported, .why = "d up to 128"}, kRefused);
  EXPECT_EQ(answer.why, "d up to 128; the emulated device had refused: it is no PTX");
  EXPECT_EQ(explained({.status = Status::kUnsupported, .why = "d up to 128"}, {}).why,
            "d up to 128");
}

}  // namespace
}  // namespace flashbench::guest
