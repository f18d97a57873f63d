// check, from its words to its report, on a backend, kernels and a clock that do as they are told.
#include <gmock/gmock.h>

#include "app/check/repetition.h"
#include "tests/app/run.h"

namespace flashbench::app {
namespace {

using report::Status;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckOnFakes : public RunOnFakes {
 protected:
  ExitCode check(std::vector<std::string> more) {
    more.insert(more.begin(), {"check", "--quiet", "--b", "1", "--h", "1", "--q_len", "8", "--pass",
                               "forward", "--type", "flash"});
    return run(std::move(more));
  }
  using RunOnFakes::result;
  report::Result result(const std::string& name) const {
    for (const report::Result& r : report().results)
      if (r.parameters.at("case") == name) return r;
    ADD_FAILURE() << "no case " << name;
    return {};
  }
};

TEST_F(CheckOnFakes, ARightResultPasses) {
  EXPECT_EQ(check({"--d", "4"}), ExitCode::kOk);
  EXPECT_EQ(result().check.verdict, "pass");
  EXPECT_EQ(script.launches.size(), 1u);
}

TEST_F(CheckOnFakes, AWrongResultIsExitOneWithTheLineThatReproducesIt) {
  script.wrong = {"slate_flash"};
  EXPECT_EQ(check({"--d", "4"}), ExitCode::kFailed);
  EXPECT_EQ(result().status, Status::kFailed);
  EXPECT_THAT(out, HasSubstr("reproduce: flashbench check"));
}

TEST_F(CheckOnFakes, OneBitThatALaterLaunchHasOtherwiseIsExitOne) {
  script.restless = {"slate_flash"};
  EXPECT_EQ(check({"--d", "4"}), ExitCode::kOk) << "one launch is not compared";
  EXPECT_FALSE(result().repeats);
  EXPECT_EQ(check({"--d", "4", "--repeat", "3"}), ExitCode::kFailed);
  const report::Result r = result();
  EXPECT_EQ(r.check.verdict, "pass") << "it is within the noise";
  EXPECT_EQ(r.status, Status::kFailed);
  EXPECT_THAT(r.reason.value_or(""),
              HasSubstr("O is not the same in 3 launches: 1 element differs, "
                        "first [0,0,7,3]"));
  EXPECT_THAT(r.reason.value_or(""), HasSubstr("in launch 2"));
  EXPECT_THAT(r.command, HasSubstr("--repeat 3"));
  ASSERT_TRUE(r.repeats);
  EXPECT_EQ(r.repeats->launches, 3);
  ASSERT_EQ(r.repeats->tensors.size(), 2u);
  EXPECT_EQ(r.repeats->tensors[0].different, 1u);
  EXPECT_EQ(r.repeats->tensors[0].launch, 2);
  EXPECT_EQ(r.repeats->tensors[1].tensor, "lse");
  EXPECT_EQ(r.repeats->tensors[1].different, 0u);
  EXPECT_FALSE(r.repeats->tensors[1].index);
  EXPECT_THAT(out, HasSubstr("3 launches of each: the same bits in 0 of 1 case"));
}

TEST_F(CheckOnFakes, EqualBitsOfManyLaunchesPass) {
  EXPECT_EQ(check({"--d", "4", "--repeat", "4"}), ExitCode::kOk);
  EXPECT_EQ(script.launches.size(), 4u);
  EXPECT_THAT(out, HasSubstr("4 launches of each: the same bits in 1 of 1 case"));
}

// Threads may add gradients in any order, unless they are asked not to.
TEST(Repetition, GradientsMustBeTheSameWhereThatIsPromised) {
  report::Repeats repeats{4, {{.tensor = "o"}, {.tensor = "dq"}}};
  EXPECT_FALSE(difference(repeats, Promise::kAll));
  repeats.tensors[1] = {"dq", 2, {{0, 1, 2, 3}}, 3, 0.5, {}};
  EXPECT_FALSE(difference(repeats, Promise::kWithoutGradients));
  EXPECT_EQ(
      difference(repeats, Promise::kAll),
      "dQ is not the same in 4 launches: 2 elements differ, first [0,1,2,3]: 0.5, in launch 3 "
      "not a finite number");
  repeats.tensors[0] = {"o", 1, {{0, 0, 0, 0}}, 2, 1, 2};
  EXPECT_TRUE(difference(repeats, Promise::kWithoutGradients));
}

// A launch of an emulator in the same order says nothing: each takes another one.
TEST_F(CheckOnFakes, AnEmulatorIsRepeatedInAnOrderEach) {
  script.traits.seeded_order = true;
  EXPECT_EQ(check({"--d", "4", "--repeat", "3"}), ExitCode::kOk);
  EXPECT_THAT(script.seeds, ElementsAre(1u, 2u, 3u));
  ASSERT_TRUE(result().repeats);
  EXPECT_EQ(result().repeats->launches, 3);
}

TEST_F(CheckOnFakes, NothingThatCanRunIsExitThree) {
  script.absent = "no slate was found";
  EXPECT_EQ(check({"--d", "4", "--backend", "slate"}), ExitCode::kUnavailable);
  EXPECT_EQ(result().status, Status::kSkipped);
  EXPECT_THAT(out, HasSubstr("nothing was checked"));
}

TEST_F(CheckOnFakes, SomeThatRunAndSomeThatAreRefusedIsExitZero) {
  EXPECT_EQ(check({"--d", "4", "--dtype", "f32,bf16"}), ExitCode::kOk);
  EXPECT_EQ(report().results.at(1).status, Status::kSkipped);
  EXPECT_EQ(report().results.at(1).refusal, Rejection::Kind::kUnsupported);
}

TEST_F(CheckOnFakes, AFaultThatEndsTheDeviceSkipsTheCasesAfterIt) {
  script.ends_at_d = 8;
  EXPECT_EQ(check({"--d", "4,8,16"}), ExitCode::kFailed);
  const report::Report r = report();
  EXPECT_EQ(r.results.at(0).status, Status::kOk);
  EXPECT_EQ(r.results.at(1).status, Status::kFailed);
  EXPECT_EQ(r.results.at(2).status, Status::kSkipped);
}

TEST_F(CheckOnFakes, UnknownNamesAreUsageErrors) {
  EXPECT_THROW(check({"--backend", "cuda"}), UsageError) << "it is not among the fakes";
  EXPECT_THROW(check({"--kernel", "cpu_flash"}), UsageError);
}

TEST_F(CheckOnFakes, AnEmulatorExecutesSmallCasesInSeveralOrders) {
  script.traits = {.has_speed = false, .seeded_order = true};
  EXPECT_EQ(check({"--d", "4"}), ExitCode::kOk);
  EXPECT_THAT(script.seeds, ElementsAre(1, 2));
}

TEST_F(CheckOnFakes, TheSuiteRunsOnABackendWithoutIsaLevels) {
  EXPECT_EQ(run({"check", "--quiet", "--filter", "one_key/*", "--type", "flash"}), ExitCode::kOk);
  EXPECT_EQ(result("one_key/causal/padded/f32/flash").backend, "slate");
  EXPECT_THROW(run({"check", "--backend", "slate", "--filter", "every_isa/*"}), UsageError)
      << "it selects no case";
}

}  // namespace
}  // namespace flashbench::app
