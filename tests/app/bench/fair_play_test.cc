// The rules of a bench in which somebody times himself, on kernels that keep them and that do not.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/app/run.h"

namespace flashbench::app {
namespace {

using report::Status;
using ::testing::HasSubstr;

class FairPlayRules : public RunOnFakes {
 protected:
  FairPlayRules() { script.traits = {.times_itself = true, .host_threads = 1}; }

  /// Flash, of which something is not as it should be.
  void expect_failure(const std::string& why) {
    EXPECT_EQ(bench({}), ExitCode::kFailed);
    const report::Result r = result();
    EXPECT_EQ(r.status, Status::kFailed);
    EXPECT_THAT(r.reason.value_or(""), HasSubstr(why));
    EXPECT_FALSE(report::published(r).timing) << "no number";
  }
};

TEST_F(FairPlayRules, WhoKeepsThemHasHisNumber) {
  EXPECT_EQ(bench({"--type", "flash,normal"}), ExitCode::kOk);
  for (const report::Result& r : report().results) {
    EXPECT_EQ(r.status, Status::kOk) << r.reason.value_or("");
    EXPECT_EQ(r.check.verdict, "pass");
    EXPECT_NEAR(r.timing.value().median, script.call_s, 1e-9);
  }
}

TEST_F(FairPlayRules, AResultThatWasComputedOnceIsWrong) {
  script.repeat = {"slate_flash"};
  expect_failure("wrong result");
}

TEST_F(FairPlayRules, AClockThatGoesSlowIsNotCredible) {
  script.own_clock = 0.5;
  expect_failure("its times are not credible: its clock shows ");
}

TEST_F(FairPlayRules, AClockThatShowsMoreThanOursIsNotCredible) {
  script.own_clock = 1.5;
  expect_failure(" while ours shows ");
}

TEST_F(FairPlayRules, AClockMayMissTheMessages) {
  script.own_clock = 0.95;
  EXPECT_EQ(bench({}), ExitCode::kOk);
}

TEST_F(FairPlayRules, FasterThanTheMachineIsNotCredible) {
  script.peak_flop_s = 1000;  // of 1024 FLOP in 10 ms
  expect_failure("is beyond what this machine reaches");
}

TEST_F(FairPlayRules, ResultsThatAreThereAlreadyAreNotCredible) {
  script.first_call_s = 0.1;
  expect_failure("a call with new inputs and outputs takes 110");
}

TEST_F(FairPlayRules, AFirstCallMayTakeALittleMore) {
  script.first_call_s = 0.010;
  EXPECT_EQ(bench({}), ExitCode::kOk) << result().reason.value_or("");
}

TEST_F(FairPlayRules, WhoFailsOnNewInputsFailsAlone) {
  script.renewals = 2;
  EXPECT_EQ(bench({"--type", "flash,normal"}), ExitCode::kFailed);
  const report::Report r = report();
  EXPECT_EQ(r.results.at(0).status, Status::kFailed);
  EXPECT_EQ(r.results.at(0).reason, "the new inputs were refused");
  EXPECT_EQ(r.results.at(1).status, Status::kOk) << r.results.at(1).reason.value_or("");
  EXPECT_EQ(r.results.at(1).check.verdict, "pass") << "by the inputs as they were";
}

// Its idle threads would take processors from whoever is measured next.
TEST_F(FairPlayRules, WhoseThreadsRunOnIsWarned) {
  const pid_t spins = ::fork();
  if (spins == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
    }
  }
  script.threads_folder = "/proc/" + std::to_string(spins) + "/task";
  bench({"--type", "flash,normal", "--min_samples", "3", "--timeout", "200ms"});
  ::kill(spins, SIGKILL);
  ::waitpid(spins, nullptr, 0);
  const auto said = [](const report::Result& r) {
    return std::any_of(r.warnings.begin(), r.warnings.end(), [](const std::string& w) {
      return w.starts_with("slate_normal: its threads run on between its calls");
    });
  };
  const report::Report r = report();
  EXPECT_FALSE(said(r.results.at(0)));
  EXPECT_TRUE(said(r.results.at(1)));
}

TEST_F(FairPlayRules, NobodyIsWatchedWhereNobodyTimesHimself) {
  script.traits = {.host_threads = 1};
  script.repeat = {"slate_flash"};
  EXPECT_EQ(bench({}), ExitCode::kOk) << "inputs do not change";
}

}  // namespace
}  // namespace flashbench::app
