// A flag of the workload is one row of the field table and a member of Problem or Case. Here a row
// is added to a copy of the table, and everything that is made from the table knows it.
#include "tests/open_field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
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
  const std::vector<Field> table = table_with_dropout();
  const sweep::SweepPlan plan =
      sweep::parse_config(R"({"dropout": "64:256:x2", "d": 32})", "c.json", {"dropout", "d"});
  const auto groups = sweep::expand(plan, {}, table);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_THAT(sweep::flags(groups[1].cases[0], table), HasSubstr("--dropout 128"));
  EXPECT_THROW(
      sweep::expand(sweep::parse_config(R"({"dropout": 0})", "c.json", {"dropout"}), {}, table),
      UsageError);
}

TEST(OpenField, StandsInTheReportAndIsReadBack) {
  const std::vector<Field> table = table_with_dropout();
  Case c;
  kDropout(c) = 128;
  const report::Workload w = sweep::record_of(c, table).workload;
  const std::string text = report::workload_json(w, table).dump();
  EXPECT_THAT(text, HasSubstr(R"("dropout":128)"));
  EXPECT_EQ(sweep::workload_key(report::workload_from_json_text(text, "w", table), table),
            sweep::workload_key(w, table));
  EXPECT_EQ(sweep::others_text(sweep::record_of(w), table), ", dropout 128");

  report::Report report;
  report.results.emplace_back().workload = w;
  EXPECT_THAT(report::csv_text(report, table), HasSubstr("dropout"));
  EXPECT_THAT(report::csv_text(report, table), HasSubstr("128"));
}

TEST(OpenField, MayBeMissingFromAnEarlierReport) {
  const std::vector<Field> table = table_with_dropout();
  std::vector<Field> earlier = table;
  earlier.pop_back();
  const report::Workload w = sweep::record_of(Case{}, earlier).workload;
  const std::string text = report::workload_json(w, earlier).dump();
  EXPECT_EQ(sweep::workload_key(report::workload_from_json_text(text, "w", table), table),
            sweep::workload_key(sweep::record_of(Case{}, table).workload, table));
}

TEST(OpenField, TellsCasesApartForCompare) {
  const std::vector<Field> table = table_with_dropout();
  report::Report report;
  for (const std::uint64_t dropout : {64u, 128u}) {
    Case c;
    kDropout(c) = dropout;
    static_cast<sweep::CaseRecord&>(report.results.emplace_back()) = sweep::record_of(c, table);
  }
  EXPECT_NE(sweep::case_key(report.results[0], table), sweep::case_key(report.results[1], table));
  EXPECT_EQ(compare::match_by(report, "dropout", {}, table).size(), 1u);
}

report::Report of_dropouts(const std::vector<std::uint64_t>& dropouts,
                           const std::vector<Field>& table) {
  report::Report report;
  for (const std::uint64_t dropout : dropouts) {
    Case c;
    kDropout(c) = dropout;
    static_cast<sweep::CaseRecord&>(report.results.emplace_back()) = sweep::record_of(c, table);
  }
  return report;
}

TEST(OpenField, HeadsAColumnWhereItVariesAndStandsInTheCaptionWhereItDoesNot) {
  const std::vector<Field> table = table_with_dropout();
  using Fields = std::span<const Field>;
  const auto text = [](const report::Report& r, Fields f) { return report::table_text(r, f); };
  for (const std::function<std::string(const report::Report&, Fields)>& render :
       {std::function(text), std::function(report::markdown_text)}) {
    const std::string varies = render(of_dropouts({64, 128}, table), table);
    EXPECT_THAT(varies, AllOf(HasSubstr("dropout"), HasSubstr("64"), HasSubstr("128")));
    EXPECT_THAT(varies, Not(HasSubstr("dropout 64"))) << "a heading says what it is";
    EXPECT_THAT(render(of_dropouts({128}, table), table), HasSubstr("no mask, dropout 128"));
    EXPECT_THAT(render(of_dropouts({0}, table), table), Not(HasSubstr("dropout")));
  }
}

TEST(OpenField, IsNamedWhereALineNamesACase) {
  const std::vector<Field> table = table_with_dropout();
  const report::Report report = of_dropouts({0, 128}, table);
  EXPECT_EQ(sweep::described(report.results[1], nullptr, table),
            sweep::described(report.results[0], nullptr, table) + ", dropout 128");
}

TEST(OpenField, IsInTheSchemaAndNotRequired) {
  const auto outline = nlohmann::ordered_json::parse(
      R"({"required": ["@fields of workload"], "properties": {"@fields of workload": true}})");
  const auto schema = nlohmann::json::parse(report::schema_text(outline, table_with_dropout()));
  EXPECT_EQ(schema["properties"]["dropout"]["type"], "integer");
  EXPECT_EQ(schema["properties"]["dropout"]["default"], 0);
  EXPECT_THAT(schema["required"].dump(), AllOf(HasSubstr("kv_len"), Not(HasSubstr("dropout"))));
}

TEST(OpenField, ThatNeedsWhatNoKernelIsAskedForIsRefused) {
  std::vector<Field> table = table_with_dropout();
  table.back().needs = Feature::kValueDim;
  const auto dropouts = [&](const char* values) {
    return sweep::expand(sweep::parse_config(values, "c.json", {"dropout"}), {}, table);
  };
  EXPECT_NO_THROW(dropouts(R"({})"));
  EXPECT_THROW(dropouts(R"({"dropout": 64})"), std::logic_error);
}

}  // namespace
}  // namespace flashbench
