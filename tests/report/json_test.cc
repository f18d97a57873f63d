#include "report/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "system/error.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string error_of(const std::string& text) {
  try {
    from_json_text(text, "r.json");
  } catch (const UsageError& e) {
    return e.what();
  }
  return "accepted";
}

json parsed(const Report& report) { return json::parse(to_json_text(report)); }

TEST(Json, EveryReportSurvivesTheRoundTrip) {
  for (const Report& report : {fixed_report(), troubled_report(), Report{}}) {
    const std::string text = to_json_text(report);
    EXPECT_EQ(to_json_text(from_json_text(text, "r.json")), text);
  }
}

TEST(Json, RoundTripKeepsValuesNotOnlyText) {
  const Report report = from_json_text(to_json_text(fixed_report()), "r.json");
  const Report want = fixed_report();
  ASSERT_EQ(report.results.size(), 2u);
  EXPECT_EQ(report.results[0].timing->times, want.results[0].timing->times) << "bit for bit";
  EXPECT_EQ(case_key(report.results[1]), case_key(want.results[1]));
  EXPECT_EQ(report.context.cpu.caches[1].bytes, 33554432u);
  EXPECT_EQ(report.results[0].check.worst[0].index, want.results[0].check.worst[0].index);
  EXPECT_FALSE(report.context.gpu);
}

TEST(Json, FieldsStandWhereTheProductSaysThem) {
  const json j = parsed(fixed_report());
  EXPECT_EQ(j["schema_version"], 1);
  EXPECT_EQ(j["tool"]["name"], "flashbench");
  const json& r = j["results"][0];
  EXPECT_EQ(r["workload"]["q_len"], 4096);
  EXPECT_NEAR(r["median"].get<double>(), 0.2513, 1e-12)
      << "timing is flat, as in hyperfine's export";
  EXPECT_EQ(r["times"].size(), 11u);
  EXPECT_EQ(r["ci95"].size(), 2u);
  EXPECT_FALSE(r.contains("timing"));
  EXPECT_TRUE(r["energy_j"].is_null());
  EXPECT_EQ(r["check"]["worst"][0]["tensor"], "o");
  EXPECT_NEAR(r["speedup_over"]["normal"].get<double>(), 0.7802 / 0.2513, 1e-12);
  EXPECT_TRUE(r["bytes"].is_number_integer());
}

TEST(Json, UnverifiedNumbersAreNullInTheFile) {
  const json document = parsed(troubled_report());
  int unverified = 0;
  for (const json& r : document["results"]) {
    if (r["check"]["verdict"] == "pass") continue;
    ++unverified;
    for (const char* key :
         {"times", "iterations_per_sample", "min", "median", "mean", "ci95", "user", "tflops",
          "gb_s", "pct_peak", "bound", "peak_rss_bytes", "phases"})
      EXPECT_TRUE(r[key].is_null()) << key;
    EXPECT_TRUE(r["flop_dense"].is_number()) << "the work is known without measuring";
  }
  EXPECT_EQ(unverified, 4);
}

TEST(Json, NumbersThatAreNotFiniteAreNull) {
  EXPECT_TRUE(finite_or_null(std::nan("")).is_null());
  EXPECT_TRUE(finite_or_null(-std::numeric_limits<double>::infinity()).is_null());
  EXPECT_EQ(finite_or_null(0.1).dump(), "0.1");
  Report report = fixed_report();
  report.results[0].pct_peak = std::nan("");
  EXPECT_THAT(to_json_text(report), Not(HasSubstr("nan")));
  EXPECT_TRUE(parsed(report)["results"][0]["pct_peak"].is_null());
}

TEST(Json, InvalidUtf8IsReplacedAndNotThrown) {
  Report report = fixed_report();
  report.results[0].workload.input = "bad\xff.npy";
  EXPECT_THAT(to_json_text(report), HasSubstr("bad\xEF\xBF\xBD.npy"));
}

TEST(Json, LargestSeedSurvives) {
  Report report = fixed_report();
  report.results[0].workload.seed = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(from_json_text(to_json_text(report), "r").results[0].workload.seed,
            std::numeric_limits<std::uint64_t>::max());
}

TEST(Json, HyperfinesExitCodesAreOnePerSample) {
  const json results = parsed(fixed_report())["results"];
  for (const json& r : results)
    EXPECT_EQ(r["exit_codes"], json(std::vector<int>(r["times"].size(), 0)));
  EXPECT_TRUE(parsed(troubled_report())["results"].back()["exit_codes"].is_null() ||
              !parsed(troubled_report())["results"].back()["times"].is_null());
}

TEST(JsonRead, FieldsThatCameLaterMayBeMissing) {
  json document = parsed(fixed_report());
  document["summary"].erase("memory_limit");
  for (json& r : document["results"]) {
    r.erase("phase_timer_s");
    r.erase("exit_codes");
  }
  const Report report = from_json_text(document.dump(), "r.json");
  EXPECT_EQ(report.results.size(), fixed_report().results.size());
  EXPECT_TRUE(report.summary.memory_limit.empty());
}

TEST(JsonRead, NoJsonIsNamedWithItsPlace) {
  EXPECT_THAT(error_of(""), HasSubstr("r.json: is not valid JSON at byte 1"));
  EXPECT_THAT(error_of("{\"a\":"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(error_of("[1]"), HasSubstr("the report must be a JSON object, got [1]"));
}

TEST(JsonRead, DeepNestingIsRefusedBeforeItOverflowsTheStack) {
  const std::string deep(2'000'000, '[');
  EXPECT_THAT(error_of(deep), HasSubstr("nests deeper"));
}

TEST(JsonRead, AKeyThatAppearsTwiceIsRefused) {
  EXPECT_THAT(error_of(R"({"schema_version": 1, "schema_version": 1})"),
              HasSubstr("names 'schema_version' twice"));
}

TEST(JsonRead, OtherVersionsAreNotGuessedAt) {
  EXPECT_THAT(error_of(R"({"schema_version": 2})"), HasSubstr("schema_version 2 is not 1"));
  EXPECT_THAT(error_of("{}"), HasSubstr("'schema_version' is missing"));
}

TEST(JsonRead, EveryFieldIsVetted) {
  struct Mutation {
    const char* pointer;
    json value;
    const char* message;
  };
  const Mutation mutations[] = {
      {"/results/0/workload/q_len", 2.7, "'results[0].workload.q_len' must be an integer, got 2.7"},
      {"/results/1/workload/d", "64", "'results[1].workload.d' must be an integer, got \"64\""},
      {"/results/0/threads", 1099511627776, "must be an integer of 32 bits"},
      {"/results/0/workload/seed", -1, "must be an integer from 0 to 2^64 - 1, got -1"},
      {"/results/0/status", "fine", "must be ok, skipped, failed or interrupted, got \"fine\""},
      {"/results/0/times", 3, "'results[0].times' must be an array"},
      {"/results/0/times/3", "x", "'results[0].times[3]' must be a number"},
      {"/results/0/ci95", json::array({1}), "must be an array of 2"},
      {"/results/0/check", json::array(), "'results[0].check' must be an object"},
      {"/results/0/deterministic", 0, "must be true or false, got 0"},
      {"/context/cpu/model", nullptr, "'context.cpu.model' must be a string, got null"},
      {"/results/0/parameters", json::array({1}), "must be an object"},
      // What the schema refuses, too.
      {"/results/0/workload/q_len", -5, "'results[0].workload.q_len' must be at least 1, got -5"},
      {"/results/0/workload/mask_keep", 1.5, "must be at most 1, got 1.5"},
      {"/results/0/workload/dtype", "fp8", "must be f32, bf16 or f16, got \"fp8\""},
      {"/results/0/type", "sparse",
       "must be flash, normal, paper, plugin or worker, got \"sparse\""},
      {"/results/0/threads", 0, "'results[0].threads' must be at least 1, got 0"},
  };
  for (const Mutation& m : mutations) {
    json j = parsed(fixed_report());
    j[json::json_pointer(m.pointer)] = m.value;
    EXPECT_THAT(error_of(j.dump()), HasSubstr(m.message)) << m.pointer;
    EXPECT_THAT(error_of(j.dump()), Not(HasSubstr("\n")));
  }
  json j = parsed(fixed_report());
  j["results"][0].erase("median");
  EXPECT_THAT(error_of(j.dump()), HasSubstr("'results[0].median' is missing"));
}

TEST(JsonRead, UnknownKeysOfLaterVersionsAreSkipped) {
  json j = parsed(fixed_report());
  j["results"][0]["watts"] = 3;
  EXPECT_EQ(error_of(j.dump()), "accepted");
}

// compare and --resume would take two workloads that differ in it for one.
TEST(JsonRead, AFieldOfTheWorkloadThatIsNotKnownIsRefusedUnlessItSaysNothing) {
  json j = parsed(fixed_report());
  j["results"][0]["workload"]["chunk"] = nullptr;
  EXPECT_EQ(error_of(j.dump()), "accepted");
  j["results"][0]["workload"]["chunk"] = 128;
  EXPECT_THAT(error_of(j.dump()), HasSubstr("'results[0].workload.chunk' is no field that this"));
}

TEST(JsonRead, FieldsOfLaterVersionsMayBeMissing) {
  json j = parsed(fixed_report());
  j["results"][0].erase("calibration");
  j["summary"].erase("between_run_spread");
  EXPECT_EQ(error_of(j.dump()), "accepted");
}

TEST(JsonRead, ACalibrationSurvives) {
  Report report = fixed_report();
  report.results[0].calibration = calibration_of(std::vector{1.0, 1.1, 1.2});
  const auto read = from_json_text(to_json_text(report), "r").results[0].calibration;
  ASSERT_TRUE(read);
  EXPECT_EQ(read->medians, (std::vector{1.0, 1.1, 1.2}));
  EXPECT_NEAR(read->spread, 0.0912, 1e-4);
}

TEST(JsonRead, ALongValueIsCutInTheMessage) {
  json j = parsed(fixed_report());
  j["results"][0]["threads"] = std::string(10000, 'x');
  EXPECT_LT(error_of(j.dump()).size(), 200u);
}

TEST(JsonRead, FilesThatCannotBeReadAreNamed) {
  EXPECT_THROW(read_report("/nowhere/r.json"), UsageError);
  EXPECT_THROW(read_report(std::filesystem::temp_directory_path().string()), UsageError);
}

}  // namespace
}  // namespace flashbench::report
