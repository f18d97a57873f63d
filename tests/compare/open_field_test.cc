// A flag of the workload is one row of the field table and a member of Problem or Case. Here a row
// is added to a copy of the table, and everything that is made from the table knows it.
#include "tests/open_field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "compare/match.h"
#include "report/csv.h"
#include "report/json.h"
#include "report/lengths.h"
#include "report/markdown.h"
#include "report/schema.h"
#include "report/table.h"
#include "sweep/config.h"
#include "sweep/expand.h"
#include "sweep/shown.h"

namespace flashbench {
namespace {

using sweep::Case;
using sweep::Field;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(OpenField, SweepsLikeTheOthersAndIsReproduced) {
  const std::vector<Field> table = table_with_window();
  const sweep::SweepPlan plan =
      sweep::parse_config(R"({"window": "64:256:x2", "d": 32})", "c.json", {"window", "d"});
  const auto groups = sweep::expand(plan, {}, table);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_THAT(sweep::flags(groups[1].cases[0], table), HasSubstr("--window 128"));
  EXPECT_THROW(
      sweep::expand(sweep::parse_config(R"({"window": 0})", "c.json", {"window"}), {}, table),
      UsageError);
}

TEST(OpenField, StandsInTheReportAndIsReadBack) {
  const std::vector<Field> table = table_with_window();
  Case c;
  kWindow(c) = 128;
  const report::Workload w = sweep::record_of(c, table).workload;
  const std::string text = report::workload_json(w, table).dump();
  EXPECT_THAT(text, HasSubstr(R"("window":128)"));
  EXPECT_EQ(sweep::workload_key(report::workload_from_json_text(text, "w", table), table),
            sweep::workload_key(w, table));
  EXPECT_EQ(sweep::others_text(sweep::record_of(w), table), ", window 128");

  report::Report report;
  report.results.emplace_back().workload = w;
  EXPECT_THAT(report::csv_text(report, table), HasSubstr("window"));
  EXPECT_THAT(report::csv_text(report, table), HasSubstr("128"));
}

TEST(OpenField, MayBeMissingFromAnEarlierReport) {
  const std::vector<Field> table = table_with_window();
  std::vector<Field> earlier = table;
  earlier.pop_back();
  const report::Workload w = sweep::record_of(Case{}, earlier).workload;
  const std::string text = report::workload_json(w, earlier).dump();
  EXPECT_EQ(sweep::workload_key(report::workload_from_json_text(text, "w", table), table),
            sweep::workload_key(sweep::record_of(Case{}, table).workload, table));
}

TEST(OpenField, TellsCasesApartForCompare) {
  const std::vector<Field> table = table_with_window();
  report::Report report;
  for (const std::uint64_t window : {64u, 128u}) {
    Case c;
    kWindow(c) = window;
    static_cast<sweep::CaseRecord&>(report.results.emplace_back()) = sweep::record_of(c, table);
  }
  EXPECT_NE(sweep::case_key(report.results[0], table), sweep::case_key(report.results[1], table));
  EXPECT_EQ(compare::match_by(report, "window", table).size(), 1u);
}

report::Report of_windows(const std::vector<std::uint64_t>& windows,
                          const std::vector<Field>& table) {
  report::Report report;
  for (const std::uint64_t window : windows) {
    Case c;
    kWindow(c) = window;
    static_cast<sweep::CaseRecord&>(report.results.emplace_back()) = sweep::record_of(c, table);
  }
  return report;
}

TEST(OpenField, HeadsAColumnWhereItVariesAndStandsInTheCaptionWhereItDoesNot) {
  const std::vector<Field> table = table_with_window();
  for (const auto& render : {report::table_text, report::markdown_text}) {
    const std::string varies = render(of_windows({64, 128}, table), table);
    EXPECT_THAT(varies, AllOf(HasSubstr("window"), HasSubstr("64"), HasSubstr("128")));
    EXPECT_THAT(varies, Not(HasSubstr("window 64"))) << "a heading says what it is";
    EXPECT_THAT(render(of_windows({128}, table), table), HasSubstr("no mask, window 128"));
    EXPECT_THAT(render(of_windows({0}, table), table), Not(HasSubstr("window")));
  }
}

TEST(OpenField, IsNamedWhereALineNamesACase) {
  const std::vector<Field> table = table_with_window();
  const report::Report report = of_windows({0, 128}, table);
  EXPECT_EQ(sweep::described(report.results[1], nullptr, table),
            sweep::described(report.results[0], nullptr, table) + ", window 128");
}

TEST(OpenField, IsInTheSchemaAndNotRequired) {
  const auto outline = nlohmann::ordered_json::parse(
      R"({"required": ["@fields of workload"], "properties": {"@fields of workload": true}})");
  const auto schema = nlohmann::json::parse(report::schema_text(outline, table_with_window()));
  EXPECT_EQ(schema["properties"]["window"]["type"], "integer");
  EXPECT_EQ(schema["properties"]["window"]["default"], 0);
  EXPECT_THAT(schema["required"].dump(), AllOf(HasSubstr("kv_len"), Not(HasSubstr("window"))));
}

TEST(OpenField, ThatNeedsWhatNoKernelIsAskedForIsRefused) {
  std::vector<Field> table = table_with_window();
  table.back().needs = Feature::kValueDim;
  const auto windows = [&](const char* values) {
    return sweep::expand(sweep::parse_config(values, "c.json", {"window"}), {}, table);
  };
  EXPECT_NO_THROW(windows(R"({})"));
  EXPECT_THROW(windows(R"({"window": 64})"), std::logic_error);
}

}  // namespace
}  // namespace flashbench
