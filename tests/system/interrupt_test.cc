#include "system/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace flashbench {
namespace {

// Work that polls nothing would not end otherwise.
TEST(Interrupt, ASecondSignalEndsAtOnceWhatTheFirstOneDidNot) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    EXPECT_EXIT(
        {
          watch_signals();
          ::raise(signal);
          if (!interrupted()) ::_exit(3);
          ::raise(signal);
          ::_exit(4);
        },
        testing::KilledBySignal(signal), "");
}

TEST(Interrupt, TheExitCodeSaysWhichSignalCame) {
  const auto code = [](int signal) {
    watch_signals();
    ::raise(signal);
    ::_exit(static_cast<int>(interrupted_code()));
  };
  EXPECT_EXIT(code(SIGINT), testing::ExitedWithCode(130), "");
  EXPECT_EXIT(code(SIGTERM), testing::ExitedWithCode(143), "");
  EXPECT_EXIT(code(SIGHUP), testing::ExitedWithCode(129), "");
}

}  // namespace
}  // namespace flashbench
