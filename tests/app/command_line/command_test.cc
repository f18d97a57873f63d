// Commands are an open set: one that only this test knows is parsed, helped and run like the
// others.
#include <gmock/gmock.h>

#include "app/bench/bench_command.h"
#include "app/command_line/help.h"
#include "tests/app/run.h"
#include "tests/open_field.h"

namespace flashbench::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// What the fake command was given.
CommandLine given;

const Command& polish() {
  static const Command command{
      .name = "polish",
      .summary = "makes the slate shine",
      .more = "It takes its time.\n",
      .takes = {FlagSet::kEvery},
      .own_flags = {{"Polish", {{"wax", "W", "which wax", FlagSet::kCompare}}}},
      .run = [](const CommandLine& line, const Runtime& runtime) {
        given = line;
        return runtime.backends.size() == 1 ? ExitCode::kOk : ExitCode::kFailed;
      }};
  return command;
}

class FakeCommand : public RunOnFakes {
 protected:
  FakeCommand() { all_commands.push_back(&polish()); }
};

TEST_F(FakeCommand, RunsWithItsOwnFlagsAndThoseOfEveryCommand) {
  EXPECT_EQ(run({"polish", "--wax", "bees"}), ExitCode::kOk);
  EXPECT_EQ(given.command, &polish());
  EXPECT_THAT(given.plan.base.at("wax").values, ElementsAre("bees"));
  EXPECT_TRUE(given.plan.base.contains("json"));
}

TEST_F(FakeCommand, RefusesTheFlagsOfOthersByName) {
  try {
    run({"polish", "--budget", "3s"});
    ADD_FAILURE() << "it was taken";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("it belongs to bench"));
  }
  EXPECT_THROW(run({"bench", "--wax", "bees"}), UsageError);
  EXPECT_THROW(run({"polish", "word"}), UsageError);
}

TEST_F(FakeCommand, StandsInEveryHelp) {
  EXPECT_THAT(general_help(all_commands), HasSubstr("polish    makes the slate shine"));
  EXPECT_THAT(command_help(polish()), HasSubstr("--wax W           which wax"));
  EXPECT_THAT(general_help(commands()), Not(HasSubstr("polish")));
}

TEST_F(FakeCommand, AMistypedNameIsHelped) {
  try {
    run({"polsh"});
    ADD_FAILURE() << "it was taken";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("did you mean 'polish'?"));
  }
}

TEST(OpenField, StandsInTheHelpOfWhatComputes) {
  const std::vector<sweep::Field> table = table_with_dropout();
  const std::vector<FlagGroup> groups = flag_groups({}, table);
  EXPECT_THAT(command_help(bench_command(), groups),
              HasSubstr("  --dropout N       of so many pairs one is left out\n"));
  EXPECT_THAT(command_help(polish(), groups), Not(HasSubstr("dropout")));
}

TEST(Help, NamesTheBackendsThatThereAre) {
  Script script;
  FakeBackend slate(script);
  const Invocation help =
      parse_command_line({"flashbench", "bench", "--help"}, commands(), {&slate});
  EXPECT_THAT(help.text, HasSubstr("--backend B       auto or slate (default: auto)\n"));
}

}  // namespace
}  // namespace flashbench::app
