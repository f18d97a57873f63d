#include "report/trend.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using nlohmann::json;

TEST(Trend, BencherGetsTheMedianAndItsIntervalInNanoseconds) {
  const json all = json::parse(bmf_text(fixed_report()));
  ASSERT_EQ(all.size(), 2u);
  const json& latency =
      all.at("flash forward, f32, b1 h2 4096x4096 d512, avx2, 2 threads").at("latency");
  EXPECT_NEAR(latency.at("value"), 251.3e6, 1);
  EXPECT_LT(latency.at("lower_value"), latency.at("value"));
  EXPECT_GT(latency.at("upper_value"), latency.at("value"));
}

TEST(Trend, GithubActionBenchmarkGetsAListWithUnits) {
  const json all = json::parse(github_benchmark_text(fixed_report()));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].at("unit"), "ns");
  EXPECT_NEAR(all[0].at("value"), 251.3e6, 1);
  EXPECT_TRUE(all[0].at("range").get<std::string>().starts_with("± "));
  EXPECT_TRUE(all[0].at("extra").get<std::string>().starts_with("flashbench bench"));
}

// A curve would have shown the time of a wrong result, or of one beside another program.
TEST(Trend, OnlyTimesFromWhichSomethingFollowsAreInIt) {
  Report report = fixed_report();
  report.results[0].check = {};
  report.results[1].timing->disturbed = true;
  EXPECT_EQ(bmf_text(report), "{}\n");
  EXPECT_EQ(github_benchmark_text(report), "[]\n");
}

// Two cases of one name are one point of a curve.
TEST(Trend, EveryCaseHasANameOfItsOwn) {
  Report report = fixed_report();
  Result other = report.results[0];
  other.workload.causal = true;
  report.results.push_back(other);
  other.threads = 1;
  report.results.push_back(other);
  other.isa = "avx512";
  report.results.push_back(other);
  std::set<std::string> names;
  for (const json& one : json::parse(github_benchmark_text(report))) names.insert(one.at("name"));
  EXPECT_EQ(names.size(), report.results.size());
  EXPECT_EQ(json::parse(bmf_text(report)).size(), report.results.size());
}

}  // namespace
}  // namespace flashbench::report
