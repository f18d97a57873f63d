// A flag of the workload is one row of the field table and a member of Problem or Case. Here a row
// is added to a copy of the table, and everything that is made from the table knows it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "compare/match.h"
#include "report/csv.h"
#include "report/json.h"
#include "sweep/config.h"
#include "sweep/expand.h"
#include "sweep/parse.h"
#include "sweep/shown.h"

namespace flashbench {
namespace {

using sweep::Case;
using sweep::Field;
using testing::HasSubstr;

/// Stands in for the member that a real row would add.
constexpr auto kWindow = [](auto& c) -> auto& { return c.problem.seed; };

constexpr Field kWindowRow = {
    .name = "window",
    .value = "N",
    .help = "keys that a query sees on its left",
    .parse = sweep::parse_sizes<kWindow>,
    .text = sweep::print<kWindow>,
    .said = sweep::is_set<kWindow>,
    .recorded = {.place = sweep::Place::kWorkload,
                 .type = sweep::ValueType::kSeed,
                 .value = sweep::recorded_as<kWindow>},
};

std::vector<Field> table_with_window() {
  std::vector<Field> table(sweep::fields().begin(), sweep::fields().end());
  std::erase_if(table, [](const Field& f) { return f.name == "seed"; });  // its member is lent
  table.push_back(kWindowRow);
  return table;
}

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

}  // namespace
}  // namespace flashbench
