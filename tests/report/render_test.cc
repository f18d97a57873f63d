#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "report/csv.h"
#include "report/grid.h"
#include "report/layout.h"
#include "report/markdown.h"
#include "report/table.h"
#include "report/units.h"
#include "report/verdict_line.h"
#include "report/warning_lines.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Compares with tests/golden/<name>; with FLASHBENCH_UPDATE_GOLDEN set, writes it.
void expect_golden(const std::string& text, const std::string& name) {
  const std::string path = std::string(FLASHBENCH_SOURCE_DIR) + "/tests/golden/" + name;
  if (std::getenv("FLASHBENCH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ostringstream want;
  want << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, want.str()) << "run with FLASHBENCH_UPDATE_GOLDEN=1 if the change is meant";
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Report with_phases() {
  Report report = fixed_report();
  report.results.resize(1);
  report.results[0].speedup_over.reset();
  report.results[0].phases = {
      {"pack", 0.0123, 64, 1 << 20, std::nullopt, std::nullopt, {{0.0061, 30}, {0.0062, 34}}},
      {"scores",
       0.31,
       4096,
       0,
       34.4e9,
       1.2e9,
       {{0.155, 2048, 17e9, 6e8}, {0.155, 2048, 17.4e9, 6e8}}},
      {"softmax", 0.0877, 4096, 0}};
  report.results[0].phase_timer_s = 48e-9;
  return report;
}

TEST(Table, Golden) { expect_golden(table_text(fixed_report()), "table.txt"); }
TEST(Table, GoldenTroubled) { expect_golden(table_text(troubled_report()), "table_troubled.txt"); }
TEST(Table, GoldenPhases) { expect_golden(table_text(with_phases()), "table_phases.txt"); }
TEST(Markdown, Golden) { expect_golden(markdown_text(troubled_report()), "table.md"); }

TEST(Table, UnverifiedNumbersAreNotShown) {
  Report report = fixed_report();
  for (Result& r : report.results) r.check = {};
  const std::string text = table_text(report);
  EXPECT_THAT(text, Not(HasSubstr("251.3")));
  EXPECT_THAT(text, Not(HasSubstr("as fast as")));
  EXPECT_THAT(text, HasSubstr("not verified"));
}

TEST(Table, ColumnsAlignBeyondAscii) {
  // "±" is two bytes and one character.
  const std::vector<std::string> lines = lines_of(table_text(fixed_report()));
  std::vector<std::size_t> ends;
  for (const std::string& line : lines)
    if (const std::size_t at = line.find("pass 0.4x"); at != std::string::npos)
      ends.push_back(display_width(line.substr(0, at)));
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[0], ends[1]);
}

// A table of 150 characters a line was broken by the terminal, wherever its lines ended.
TEST(Table, RowsFoldWhereATerminalHas80Columns) {
  for (const Report& report : {fixed_report(), troubled_report(), with_phases()}) {
    const std::string text = table_text(report);
    const std::size_t rows = text.find("\n\n"), summary = text.find("\n\n", rows + 2);
    for (const std::string& line : lines_of(text.substr(rows, summary - rows)))
      EXPECT_LE(display_width(line), kTableWidth) << line;
  }
  const std::vector<std::string> wide =
      lines_of(table_text(troubled_report(), sweep::fields(), 200));
  EXPECT_THAT(wide,
              ::testing::Contains(::testing::AllOf(HasSubstr("normal"), HasSubstr("68.7 GB"))))
      << "a wider terminal keeps a row in one line";
}

TEST(Layout, FoldedCellsStandBelowTheirTitles) {
  const std::vector<Grid::Column> columns = {
      {"name", Grid::Align::kLeft}, {"time", Grid::Align::kRight}, {"verdict", Grid::Align::kLeft}};
  const std::vector<Grid::Row> rows = {{{"one", "12.5", "a long word more"}, ""}, {{"two"}, "no"}};
  EXPECT_EQ(aligned_text(columns, rows, {40, 1}),
            "name  time  verdict\n"
            "one   12.5  a long word more\n"
            "two   no\n");
  EXPECT_EQ(aligned_text(columns, rows, {22, 1}),
            "name\n"
            "    time  verdict\n"
            "one\n"
            "    12.5\n"
            "    a long word more\n"
            "two   no\n");
  EXPECT_EQ(aligned_text(columns, {{{"one"}, "needs more than there is"}}, {21, 1}),
            "name  time  verdict\n"
            "one\n"
            "    needs more than\n"
            "    there is\n")
      << "a sentence goes on below";
}

TEST(Table, ARowHasTheFastestAndTheSlowestSampleInTheUnitOfItsTime) {
  Report report = fixed_report();
  report.results[0].timing->min = 0.2489;
  report.results[0].timing->max = 1.2620;
  EXPECT_THAT(table_text(report), HasSubstr("251.3 ± 2.0 ms  248.9–1262.0 "));
}

TEST(Table, AnEmptyReportIsNoCrash) {
  Report report = fixed_report();
  report.results.clear();
  EXPECT_THAT(table_text(report), HasSubstr("AMD EPYC"));
  EXPECT_THAT(markdown_text(report), HasSubstr("AMD EPYC"));
}

TEST(Table, SlowerIsSaidPlainly) {
  Report report = fixed_report();
  report.results = {fixed_result("flash", 1.0), fixed_result("normal", 0.95)};
  derive_speedups(report.results);
  EXPECT_THAT(table_text(report),
              HasSubstr("flash is slower than normal: 0.95x [0.93, 0.97] as fast"));
}

TEST(Table, AGpuShowsItsMemoryAndWhatItsPeakIsOf) {
  Report report = fixed_report();
  report.context.gpu = fixed_gpu();
  for (Peak& p : report.peaks) p.device = "0";
  for (Result& r : report.results) {
    r.peak_rss_bytes.reset();
    r.device_bytes = 123'000'000;
  }
  EXPECT_THAT(table_text(report), HasSubstr("123 MB"));
  report.peaks[0].isa = "wgmma";
  EXPECT_THAT(table_text(report), HasSubstr("peaks measured here: f32 wgmma "));
}

TEST(Markdown, PipesInNamesDoNotSplitCells) {
  Report report = fixed_report();
  report.results[0].workload.input = "a|b.npy";
  EXPECT_THAT(markdown_text(report), HasSubstr("a\\|b.npy"));
}

TEST(Markdown, EveryRowHasTheSameNumberOfCells) {
  std::vector<std::string> rows;
  for (const std::string& line : lines_of(markdown_text(troubled_report())))
    if (line.starts_with("|")) rows.push_back(line);
  ASSERT_EQ(rows.size(), 7u);
  for (const std::string& row : rows)
    EXPECT_EQ(std::count(row.begin(), row.end(), '|'),
              std::count(rows[0].begin(), rows[0].end(), '|'));
}

TEST(Csv, OneRowAResultWithAsManyFieldsAsTheHeader) {
  Report report = troubled_report();
  for (Result& r : report.results) {  // without commas of their own, a line can be counted
    r.reason = "plain";
    r.flop_convention = "plain";
  }
  const std::vector<std::string> lines = lines_of(csv_text(report));
  ASSERT_EQ(lines.size(), 6u);
  for (const std::string& line : lines)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','),
              std::count(lines[0].begin(), lines[0].end(), ','))
        << line;
}

// `median` was in seconds, which only the schema of another file said.
TEST(Csv, ColumnsOfTimesSayTheirUnit) {
  const std::string head = lines_of(csv_text(fixed_report())).at(0);
  for (const char* name : {"min", "max", "median", "mean", "stddev", "mad", "p25", "p75",
                           "ci95_low", "ci95_high", "user", "system"}) {
    EXPECT_THAT(head, HasSubstr(std::string(",") + name + "_s,"));
    EXPECT_THAT(head, Not(HasSubstr(std::string(",") + name + ",")));
  }
}

TEST(Csv, QuotesAsRfc4180) {
  Report report = fixed_report();
  report.results.resize(1);
  report.results[0].workload.input = "a \"b\", c\nd";
  EXPECT_THAT(csv_text(report), HasSubstr(",\"a \"\"b\"\", c\nd\","));
}

TEST(Csv, UnverifiedNumbersAreEmpty) {
  Report report = fixed_report();
  report.results.resize(1);
  EXPECT_THAT(csv_text(report), HasSubstr("0.2513"));
  report.results[0].check = {};
  EXPECT_THAT(csv_text(report), Not(HasSubstr("0.2513")));
}

TEST(Warnings, AreLinesOfTheirOwnAndNotRepeated) {
  Report report = troubled_report();
  report.results.push_back(report.results.back());
  EXPECT_THAT(warning_lines(report),
              ::testing::ElementsAre(
                  HasSubstr("warning: flash forward f32 b1 h2/1 4096x4096 d512: noisy")));
}

TEST(Warnings, OfOneKindAreOneLineOfTheNoisiest) {
  Report report = fixed_report();
  Result& full = report.results[0];
  full.warnings = {"throttled: held down in 7 of 10 readings; raise the limit",
                   "outliers: 1 of 168 samples; read the median"};
  Result causal = full;
  causal.workload.causal = true;
  causal.timing->ci95 = {0.2, 0.3};
  causal.warnings = {"throttled: held down in 3 of 9 readings; raise the limit",
                     "throttled: 2 thermal events; let the machine cool"};
  report.results.push_back(causal);
  EXPECT_THAT(
      warning_lines(report),
      ::testing::ElementsAre(
          "warning: throttled in 2 of 3 results, the worst flash forward f32 b1 h2 4096x4096 d512 "
          "causal: held down in 3 of 9 readings; raise the limit",
          "warning: flash forward f32 b1 h2 4096x4096 d512: outliers: 1 of 168 samples; read the "
          "median"));
}

TEST(Warnings, AreThreeAtMostTheWorstFirst) {
  Report report = fixed_report();
  report.results[0].warnings = {"outliers: a; b", "slow first run: a; b", "odd: a; b",
                                "noisy: a; b"};
  report.results[1].warnings = {"load from others: a; b", "outliers: c; b"};
  const std::vector<std::string> lines = warning_lines(report);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_THAT(lines[0], HasSubstr("load from others"));
  EXPECT_THAT(lines[1], HasSubstr("noisy"));
  EXPECT_THAT(lines[2], HasSubstr("odd"));
  EXPECT_EQ(lines[3], "3 more warnings (outliers, slow first run), which --json FILE writes down");
}

TEST(VerdictLine, SaysWhatTheProductSays) {
  Worst w;
  w.tensor = "dq";
  w.error_over_noise = 0.8;
  w.index = {0, 1, 17, 3};
  EXPECT_EQ(verdict_line(w, "bf16"),
            "dQ 0.8x of expected bf16 rounding (limit 2x), worst at [0,1,17,3]");
  w.scope = "channel";
  EXPECT_EQ(verdict_line(w, "bf16"),
            "dQ 0.8x of expected bf16 rounding in the mean of a channel (limit 2x), worst at "
            "[0,1,17,3]");
  w.tensor = "lse";
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("worst at [0,1,17]")) << "it has no fourth axis";
  w.tensor = "dsinks";
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("worst at [1]")) << "a head";
  w.tensor = "lse";
  w.scope = "element";
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("LSE 0.8x of expected f32 rounding"));
  w.error_over_noise.reset();
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("LSE NaN"));
  w.expected = 0.1f;  // all nine digits, by which it differs from the next one
  EXPECT_THAT(verdict_line(w, "bf16"),
              HasSubstr("worst at [0,1,17]: got NaN or an infinity, expected 0.100000001"));
  w.got = 0.25;
  w.hint = "as if it were another";
  EXPECT_THAT(verdict_line(w, "bf16"),
              HasSubstr("]: got 0.25, expected 0.100000001; as if it were another"));
  w.expected.reset();  // it only had to be finite
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("]: got 0.25; as"));
  w.got = 3;
  w.expected = -std::numeric_limits<double>::infinity();  // LSE of a row that sees nothing
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("]: got 3, expected -inf; as"));
  w.got = std::numeric_limits<double>::infinity();
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("]: got inf, expected -inf; as"));
  w.got = -std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("]: got NaN, expected -inf; as"));
  w.tensor = "dbias";  // which is of the bias's dtype
  w.error_over_noise = 0.8;
  EXPECT_THAT(verdict_line(w, "bf16"), HasSubstr("dbias 0.8x of expected rounding (limit"));
  EXPECT_THAT(verdict_line(w, "fp64"), HasSubstr("dbias 0.8x of expected fp64 rounding"));
}

TEST(VerdictCell, ShowsTheTensorNearestToItsLimit) {
  Check check = fixed_result("flash", 1).check;
  EXPECT_EQ(verdict_cell(check), "pass 0.4x");
  check.level = "sample";
  EXPECT_EQ(verdict_cell(check), "pass 0.4x of a sample");
  EXPECT_EQ(verdict_cell(check, "sample"), "pass 0.4x") << "the caption says it";
  check.verdict = "fail";
  check.worst[1].error_over_noise.reset();
  EXPECT_EQ(verdict_cell(check), "FAIL LSE NaN of a sample");
  EXPECT_EQ(verdict_cell(Check{}), "not verified");
}

TEST(Text, WorkloadAndMask) {
  Workload w = workload_of(Problem{});
  EXPECT_EQ(workload_text(w), "b1 h2 4096x4096 d512");
  EXPECT_EQ(mask_text(w), "none");
  w.h = 8;
  w.causal = true;
  EXPECT_EQ(workload_text(w), "b1 h8/2 4096x4096 d512");
  EXPECT_EQ(mask_text(w), "causal");
  w.mask = "random";
  w.mask_keep = 0.25;
  EXPECT_EQ(mask_text(w), "causal+random 0.25");
}

TEST(Layout, SentencesGoOnBelow) {
  EXPECT_EQ(folded("one two three four\nfive\n", 10), "one two\n  three\n  four\nfive\n");
  EXPECT_EQ(folded("label     one two three", 18), "label     one two\n          three");
  EXPECT_EQ(folded("  label  one two three", 14), "  label  one\n         two\n         three");
  EXPECT_EQ(folded("reproduce: flashbench check --b 1", 10), "reproduce: flashbench check --b 1")
      << "to be copied";
  EXPECT_EQ(folded("a b", 80), "a b");
}

TEST(Units, ThreeOrFourDigits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(68.72e9), "68.7 GB");
  EXPECT_EQ(human_bytes(999.9e6), "1.00 GB") << "not 1000 MB";
  EXPECT_EQ(human_seconds(0.2513), "251.3 ms");
  EXPECT_EQ(human_seconds(12.3456), "12.35 s");
  EXPECT_EQ(human_seconds(0.99996), "1.000 s");
  EXPECT_EQ(human_seconds(3.2e-6), "3.200 us");
  EXPECT_EQ(human_seconds(4200), "4200 s");
  EXPECT_EQ(human_seconds(0), "0 s");
  EXPECT_EQ(human_seconds(0.2513, 0.0009), "251.3 ± 0.9 ms");
  EXPECT_EQ(human_seconds(1.5, 0.0009), "1.500 ± 0.001 s");
  EXPECT_EQ(human_seconds(0.0354, 0.0349), "35 ± 35 ms") << "not 35.40 ± 34.90";
  EXPECT_EQ(human_seconds(1.4e-3, 0.01), "1 ± 10 ms") << "not 1.400 ± 10.000";
  EXPECT_EQ(human_seconds(0.1432, 0.0012), "143.2 ± 1.2 ms");
  EXPECT_EQ(human_seconds(0.1432, 0.00996), "143 ± 10 ms");
  EXPECT_EQ(human_seconds(0.1432, 0), "143.2 ± 0.0 ms");
  EXPECT_EQ(human_flop_rate(273.5e9), "273.5 GFLOP/s");
  EXPECT_EQ(human_range(0.2489, 0.262, 0.2513), "248.9–262.0");
  const double rates[] = {3.1e9, 1.25e12};
  EXPECT_EQ(rate_unit(rates).name, "GFLOP/s") << "none is below 1";
  EXPECT_EQ(human_flop_rate(1.25e12, rate_unit(rates)), "1250");
  EXPECT_EQ(human_flop_rate(1.2345e12), "1.234 TFLOP/s");
  EXPECT_EQ(human_ratio(0.8), "0.8");
  EXPECT_EQ(human_ratio(0.0412), "0.04");
  EXPECT_EQ(human_ratio(3.14), "3.1");
  EXPECT_EQ(human_ratio(35.2), "35");
}

}  // namespace
}  // namespace flashbench::report
