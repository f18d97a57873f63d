#include "sweep/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sweep/expand.h"
#include "system/error.h"

namespace flashbench::sweep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

SweepPlan parse(const std::string& text) { return parse_config(text, "c.json", workload_names()); }

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(no UsageError)";
}

TEST(Config, ScalarsAndListsBecomeWhatTheFlagsTake) {
  const SweepPlan plan = parse(R"({"name": "n", "source": "s", "b": 2, "q_len": "1k,2k",
      "d": [64, "128"], "causal": [true, false], "scale": 0.125, "seed": 18446744073709551615})");
  EXPECT_THAT(plan.base, SizeIs(6));
  EXPECT_THAT(plan.base.at("b").values, ElementsAre("2"));
  EXPECT_THAT(plan.base.at("q_len").values, ElementsAre("1k,2k"));
  EXPECT_THAT(plan.base.at("d").values, ElementsAre("64", "128"));
  EXPECT_THAT(plan.base.at("causal").values, ElementsAre("true", "false"));
  EXPECT_THAT(plan.base.at("scale").values, ElementsAre("0.125"));
  EXPECT_THAT(plan.base.at("seed").values, ElementsAre("18446744073709551615"));
  EXPECT_EQ(plan.base.at("b").where, "c.json: 'b'");
}

TEST(Config, RefusesWhatALenientReaderWouldGuessAt) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {"{\"b\": 1} x", "not valid JSON"},
      {"{\"b\": NaN}", "not valid JSON"},
      {"{\"b\": 1e999}", "no double holds"},
      {"[1]", "one JSON object"},
      {"3", "one JSON object"},
      {R"({"b": 1, "b": 2})", "names 'b' twice"},
      {R"({"zip": [{"b": 1, "b": 2}]})", "names 'b' twice"},
      {R"({"q_lne": 1})", "did you mean 'q_len'"},
      {R"({"b": null})", "'b' must be"},
      {R"({"b": {"x": 1}})", "'b' must be"},
      {R"({"b": [[1]]})", "'b' must be"},
      {R"({"b": []})", "'b' is an empty list"},
      {R"({"name": 3})", "'name' must be a string"},
      {R"({"config": "x"})", "'config' cannot stand here"},
      {R"({"zip": 3})", "'zip' must be"},
      {R"({"zip": []})", "'zip' is empty"},
      {R"({"zip": {}})", "'zip' is empty"},
      {R"({"zip": [3]})", "'zip' must hold objects"},
      {R"({"zip": {"h": [1, 2], "d": [1]}})", "vary together"},
      {R"({"zip": {"h": 3}})", "must be a list"},
      {R"({"zip": [{"zip": 3}]})", "'zip' cannot stand here"},
      {R"({"h": 3, "zip": [{"h": 3}]})", "inside and outside of 'zip'"},
      {R"({"layers": 3, "zip": [{"layers": 3}]})", "'layers' is given inside and outside of 'zip'"},
      {R"({"layers": 0})", "'layers' must be between 1 and 100000, got 0"},
      {R"({"layers": 1.5})", "'layers' must be between 1 and 100000, got 1.5"},
      {R"({"layers": "3"})", "'layers' must be between 1 and 100000, got \"3\""},
  };
  for (const auto& c : cases)
    EXPECT_THAT(error_of(c.text),
                AllOf(StartsWith("c.json"), HasSubstr(c.message), Not(HasSubstr("\n"))))
        << c.text;
}

// What a report says of a case can be said in a config.
TEST(Config, NullIsTheWordOfAFlagThatHasOne) {
  const SweepPlan plan = parse(R"({"window_left": null, "window_right": [4, null]})");
  EXPECT_THAT(plan.base.at("window_left").values, ElementsAre("none"));
  EXPECT_THAT(plan.base.at("window_right").values, ElementsAre("4", "none"));
  EXPECT_THAT(parse(R"({"zip": {"window_left": [null, 7]}})").zip[0].at("window_left").values,
              ElementsAre("none"));
  EXPECT_THAT(parse(R"({"zip": [{"window_left": null}]})").zip[0].at("window_left").values,
              ElementsAre("none"));
  for (const Group& g : expand(plan, Defaults{}))
    EXPECT_FALSE(g.problem().window_left) << flags(g.problem());
}

TEST(Config, NullOfAnotherFlagIsRefusedWithWhatIsAllowed) {
  EXPECT_EQ(error_of(R"({"mask_keep": null})"),
            "c.json: 'mask_keep' must be a number, a string, true, false or a list of these, got "
            "null");
  EXPECT_EQ(error_of(R"({"window_left": {}})"),
            "c.json: 'window_left' must be a number, a string, true, false, null or a list of "
            "these, got object");
}

TEST(Config, DeepNestingIsRefusedInsteadOfOverflowingTheStack) {
  EXPECT_THAT(error_of(R"({"b": )" + std::string(1'000'000, '[')), HasSubstr("nests deeper"));
}

TEST(Config, NumbersThatAreNotWholeAreRefusedByName) {
  for (const char* text : {R"({"b": 2.7})", R"({"b": -1})", R"({"b": 0})", R"({"b": true})",
                           R"({"b": 1099511627776})", R"({"b": "four"})"}) {
    try {
      expand(parse(text), Defaults{});
      FAIL() << text;
    } catch (const UsageError& e) {
      EXPECT_THAT(e.what(), StartsWith("c.json: 'b' must be")) << text;
    }
  }
}

TEST(Config, AFlagOverridesTheFileInsideItsZipToo) {
  Settings flags;
  flags["d"] = {{"32"}, "--d"};
  const SweepPlan plan = merge(flags, parse(R"({"b": 2, "zip": [{"h": 4, "d": 64}, {"d": 8}]})"));
  EXPECT_THAT(plan.base.at("d").values, ElementsAre("32"));
  for (const Settings& point : plan.zip) EXPECT_EQ(point.count("d"), 0u);
}

TEST(Config, EveryCaseOfAPointIsThatPartOfTheModel) {
  const std::vector<Group> groups = expand(parse(R"({"name": "M", "h": 2, "d": 8, "q_len": [4, 8],
                "zip": [{"name": "local", "layers": 5, "window_left": 1}, {"layers": 1}]})"),
                                           Defaults{});
  ASSERT_EQ(groups.size(), 4u);
  const Part& local = groups[1].cases[0].part;
  EXPECT_EQ(local.model, "M");
  EXPECT_EQ(local.name, "local");
  EXPECT_EQ(local.layers, 5);
  EXPECT_EQ(groups[3].cases[0].part.layers, 1);
  const Part all =
      expand(parse(R"({"name": "M", "layers": 7, "d": 8})"), Defaults{})[0].cases[0].part;
  EXPECT_EQ(all.layers, 7);
}

TEST(Config, PointsThatAFlagMakesEqualKeepTheirLayers) {
  Settings flags;
  flags["window_left"] = {{"none"}, "--window_left"};
  const std::vector<Group> groups = expand(
      merge(flags, parse(R"({"d": 8, "zip": [{"name": "local", "layers": 5, "window_left": 1},
                                                    {"name": "global", "layers": 2}]})")),
      Defaults{});
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].cases[0].part.layers, 7);
  EXPECT_EQ(groups[0].cases[0].part.name, "local + global");
}

TEST(Config, OnlyThePointsThatAreAskedFor) {
  const char* const text =
      R"({"zip": [{"name": "prefill", "q_len": 8}, {"name": "decode", "q_len": 1},
                                       {"q_len": 3}]})";
  SweepPlan plan = parse(text);
  keep_parts(plan, "fill", "c.json");
  ASSERT_EQ(plan.zip.size(), 1u);
  EXPECT_THAT(plan.zip[0].at("q_len").values, ElementsAre("8"));
  EXPECT_EQ(plan.zip_parts[0].name, "prefill");
  plan = parse(text);
  EXPECT_THROW(keep_parts(plan, "encoder", "c.json"), UsageError);
}

TEST(Config, AMissingFileAFolderAndAnEndlessFileAreUsageErrors) {
  for (const char* path : {"/nonexistent/c.json", "/tmp", "/dev/zero"})
    EXPECT_THROW(read_config(path, workload_names()), UsageError) << path;
}

TEST(Config, EveryShippedWorkloadLoadsAndExpands) {
  for (const char* file : {"quick.json", "origin.json"}) {
    const SweepPlan plan =
        read_config(std::string(FLASHBENCH_SOURCE_DIR "/configs/") + file, workload_names());
    EXPECT_FALSE(expand(plan, Defaults{}).empty()) << file;
  }
}

}  // namespace
}  // namespace flashbench::sweep
