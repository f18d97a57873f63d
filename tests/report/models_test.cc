// What all layers of a model take together.
#include "report/models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashbench::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Result part(const std::string& name, int layers, const std::string& type, double seconds) {
  Result r;
  r.part = {"Model", name, layers};
  r.type = type;
  r.pass = "forward";
  r.workload.dtype = "f32";
  r.workload.q_len = r.workload.kv_len = 64;
  r.check.verdict = "pass";
  r.pct_peak = 50;
  r.timing.emplace();
  r.timing->times.assign(10, seconds);
  r.timing->median = seconds;
  r.timing->ci95 = {seconds * 0.99, seconds * 1.01};
  return r;
}

TEST(Models, PartsCountAsOftenAsTheyHaveLayers) {
  std::vector<Result> results = {part("local", 3, "flash", 0.1), part("global", 1, "flash", 0.5)};
  results[1].pct_peak = 90;
  const std::vector<ModelTime> times = model_times(results);
  ASSERT_EQ(times.size(), 1u);
  EXPECT_EQ(times[0].layers, 4);
  EXPECT_DOUBLE_EQ(times[0].seconds, 0.8);
  EXPECT_DOUBLE_EQ(*times[0].pct_peak, (0.3 * 50 + 0.5 * 90) / 0.8);
  EXPECT_NEAR(times[0].ci95[1] - times[0].seconds, std::hypot(0.003, 0.005), 1e-12);
}

TEST(Models, LengthsPassesAndPlacesAreApart) {
  std::vector<Result> results(6, part("all", 2, "flash", 0.1));
  results[1].workload.kv_len = 128;
  results[2].pass = "backward";
  results[3].isa = "avx2";
  results[4].part->layers.reset();
  results[5].workload.others["kv_dtype"] = std::string("e4m3");
  EXPECT_EQ(model_times(results).size(), 5u);
}

TEST(Models, ASumThatLacksAPartIsNone) {
  std::vector<Result> results = {part("local", 3, "flash", 0.1), part("global", 1, "flash", 0.5)};
  results[1].timing.reset();
  EXPECT_THAT(model_times(results), IsEmpty());
  results[1] = part("global", 1, "flash", 0.5);
  results[1].check.verdict = "fail";
  EXPECT_THAT(model_times(results), IsEmpty());
}

TEST(Models, TheLineComparesTypesAndKnowsTheirNoise) {
  const std::vector<Result> results = {part("all", 2, "flash", 0.1), part("all", 2, "normal", 0.3)};
  EXPECT_THAT(
      model_lines(model_times(results)),
      ElementsAre("Model, 2 layers forward, f32, b1 64x64: flash 200.0 ± 2.0 ms (50 % of "
                  "peak), normal 600.0 ± 6.0 ms (50 % of peak); flash is 3.00x [2.94, 3.07] "
                  "as fast as normal"));
}

TEST(Models, TheLineNamesTheDtypeOfKeysAndValues) {
  std::vector<Result> results = {part("all", 2, "flash", 0.1)};
  results[0].workload.others["kv_dtype"] = std::string("e4m3");
  EXPECT_THAT(model_lines(model_times(results)).at(0),
              HasSubstr("2 layers forward, f32, kv e4m3, b1 64x64: flash 200.0"));
}

TEST(Models, NothingFollowsFromDisturbedTimes) {
  std::vector<Result> results = {part("all", 2, "flash", 0.1), part("all", 2, "normal", 0.3)};
  results[0].timing->disturbed = true;
  const std::string line = model_lines(model_times(results)).at(0);
  EXPECT_THAT(line, HasSubstr("flash 200.0 ± 2.0 ms (disturbed)"));
  EXPECT_THAT(line, Not(HasSubstr("as fast")));
}

TEST(Models, ThatAreEquallyFastAreSaidToBe) {
  const std::vector<Result> results = {part("all", 2, "flash", 0.1), part("all", 2, "normal", 0.1)};
  EXPECT_THAT(model_lines(model_times(results)).at(0),
              HasSubstr("cannot tell whether flash or normal is faster"));
}

// Two masks of one part are two models, and not one of twice as many layers.
TEST(Models, APartThatComesAgainIsOfAnotherSum) {
  std::vector<Result> results;
  for (const char* name : {"local", "global"})
    for (const bool causal : {true, false}) {
      results.push_back(part(name, 2, "flash", causal ? 0.1 : 0.2));
      results.back().workload.causal = causal;
    }
  const std::vector<ModelTime> times = model_times(results);
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[0].layers, 4);
  EXPECT_DOUBLE_EQ(times[0].seconds, 0.4);
  EXPECT_DOUBLE_EQ(times[1].seconds, 0.8);
  EXPECT_EQ(times[1].number, 2);
}

TEST(Models, TypesAreComparedWhereTheyRanAtOnePlace) {
  std::vector<Result> results = {part("all", 2, "flash", 0.1), part("all", 2, "normal", 0.3),
                                 part("all", 2, "flash", 0.2), part("all", 2, "normal", 0.4)};
  for (std::size_t i = 0; i < 4; ++i) results[i].threads = i < 2 ? 1 : 16;
  const std::vector<std::string> lines = model_lines(model_times(results));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("64x64, threads 1: flash 200.0"));
  EXPECT_THAT(lines[1], HasSubstr("64x64, threads 16: flash 400.0"));
  EXPECT_THAT(lines[1], HasSubstr("flash is 2.00x"));
}

}  // namespace
}  // namespace flashbench::report
