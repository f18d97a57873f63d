#include "app/check/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string_view>

#include "app/check/repetition.h"
#include "app/terminal/streams.h"
#include "core/features.h"
#include "report/layout.h"
#include "report/markdown.h"
#include "report/table.h"
#include "report/units.h"
#include "report/verdict_line.h"

namespace flashbench::app {
namespace {

using report::Status;

constexpr std::string_view kTensors[] = {"o", "lse", "dq", "dk", "dv", "dsinks", "dbias"};
/// Those that few cases have.
constexpr std::string_view kRareTensors[] = {"dsinks", "dbias"};

/// A row of the table: the cases whose names begin alike.
struct Row {
  std::string name;
  int passed = 0, failed = 0, skipped = 0, other = 0;
  std::map<std::string, double> worst;  ///< error over noise, by tensor

  int cases() const { return passed + failed + skipped + other; }
};

void count(Row& row, const report::Result& r) {
  if (r.status == Status::kFailed)
    ++row.failed;
  else if (r.status == Status::kSkipped)
    ++row.skipped;
  else if (r.status == Status::kOk && r.check.verdict == "pass")
    ++row.passed;
  else
    ++row.other;
  for (const report::Worst& w : r.check.worst) {
    const double error = w.error_over_noise.value_or(std::numeric_limits<double>::infinity());
    double& worst = row.worst[w.tensor];
    worst = std::max(worst, error);
  }
}

std::vector<Row> rows_of(const std::vector<Checked>& checked) {
  std::vector<Row> rows;
  for (const Checked& c : checked) {
    auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == c.row; });
    if (row == rows.end()) row = rows.insert(row, Row{c.row, 0, 0, 0, 0, {}});
    count(*row, c.result);
  }
  return rows;
}

std::string worst_text(const Row& row, std::string_view tensor) {
  const auto it = row.worst.find(std::string(tensor));
  if (it == row.worst.end()) return "-";
  return std::isinf(it->second) ? "NaN" : report::human_ratio(it->second) + "x";
}

/// Each has a column but where no case has it.
std::vector<std::string_view> tensors_of(const std::vector<Row>& rows) {
  std::vector<std::string_view> tensors(std::begin(kTensors), std::end(kTensors));
  for (const std::string_view rare : kRareTensors)
    if (std::none_of(rows.begin(), rows.end(),
                     [&](const Row& row) { return row.worst.contains(std::string(rare)); }))
      std::erase(tensors, rare);
  return tensors;
}

std::string verdict_text(const Row& row) {
  if (row.failed > 0) return fmt::format("FAIL ({} of {})", row.failed, row.cases());
  if (row.passed == row.cases()) return "pass";
  if (row.passed > 0) return fmt::format("pass ({} not run)", row.cases() - row.passed);
  return row.skipped > 0 ? "skipped" : "not verified";
}

/// The cases that were skipped stand below, under their reasons: rows of nothing else would only
/// part those that say something.
std::string table(std::vector<Row> rows) {
  const auto skipped = [](const Row& row) { return row.skipped == row.cases(); };
  if (!std::all_of(rows.begin(), rows.end(), skipped)) std::erase_if(rows, skipped);
  using report::Grid;
  constexpr std::size_t kCases = 1;  // the column at which wide rows fold
  const std::vector<std::string_view> tensors = tensors_of(rows);
  std::vector<Grid::Column> columns = {{"case", Grid::Align::kLeft},
                                       {"cases", Grid::Align::kRight}};
  for (const std::string_view tensor : tensors)
    columns.push_back({fmt::format("{:>6}", report::tensor_label(tensor)), Grid::Align::kRight});
  columns.push_back({"verdict", Grid::Align::kLeft});
  std::vector<Grid::Row> all;
  for (const Row& row : rows) {
    Grid::Row& next = all.emplace_back();
    next.cells = {row.name, fmt::format("{}", row.cases())};
    for (const std::string_view tensor : tensors) next.cells.push_back(worst_text(row, tensor));
    next.cells.push_back(verdict_text(row));
  }
  return report::aligned_text(columns, all, {table_width(), kCases});
}

/// Every tensor that is wrong, a line each; where none is, why the case failed.
std::vector<std::string> what_failed(const Checked& c) {
  std::vector<std::string> lines;
  for (const report::Worst& w : c.result.check.worst)
    if (!w.error_over_noise || *w.error_over_noise > w.limit)
      lines.push_back(report::verdict_line(w, c.rounding));
  if (lines.empty()) lines.push_back(c.result.reason.value_or("failed"));
  return lines;
}

std::string failures(const std::vector<Checked>& checked) {
  std::string text;
  for (const Checked& c : checked) {
    if (c.result.status != Status::kFailed) continue;
    text += fmt::format("\nFAIL {}\n", c.name);
    for (const std::string& line : what_failed(c)) text += fmt::format("  {}\n", line);
    text += fmt::format("  reproduce: {}\n", c.result.command);
  }
  return text;
}

/// Each reason once, with the number of cases that it held for.
std::string skips(const std::vector<Checked>& checked) {
  std::map<std::string, int> reasons;
  for (const Checked& c : checked)
    if (c.result.status == Status::kSkipped) ++reasons[c.result.reason.value_or("")];
  std::string text;
  for (const auto& [reason, cases] : reasons)
    text += fmt::format("skipped {} case{}: {}\n", cases, cases == 1 ? "" : "s", reason);
  return text;
}

/// With --repeat: of how many cases all launches gave the same bits, and what others did.
std::string repeated(const std::vector<Checked>& checked) {
  int cases = 0, same = 0, launches = 0;
  std::string others;
  for (const Checked& c : checked) {
    if (!c.result.repeats) continue;
    ++cases;
    launches = std::max(launches, c.result.repeats->launches);
    const auto differs = difference(*c.result.repeats, Promise::kAll);
    if (!differs)
      ++same;
    else if (c.result.status != Status::kFailed)
      others += fmt::format("  {}: {}; --deterministic promises equal bits\n", c.name, *differs);
  }
  if (cases == 0) return "";
  return fmt::format("{} launches of each: the same bits in {} of {} case{}\n{}", launches, same,
                     cases, cases == 1 ? "" : "s", others);
}

/// "pass: 12 cases, 10 passed, 0 failed, 2 skipped, in 1.2 s".
std::string count_text(const std::vector<Checked>& checked, double seconds, bool fail_on_skipped) {
  Row all;
  for (const Checked& c : checked) count(all, c.result);
  std::string text =
      fmt::format("{}: {} case{}, {} passed, {} failed, {} skipped",
                  all.failed > 0                                ? "FAIL"
                  : all.passed == 0 || only_the_oracle(checked) ? "nothing was checked"
                  : fail_on_skipped && all.skipped > 0          ? "FAIL (--fail_on skipped)"
                                                                : "pass",
                  all.cases(), all.cases() == 1 ? "" : "s", all.passed, all.failed, all.skipped);
  if (all.other > 0) text += fmt::format(", {} not verified", all.other);
  return text + fmt::format(", in {}", report::human_seconds(seconds));
}

std::string phases(const std::vector<Checked>& checked) {
  std::string text;
  for (const Checked& c : checked)
    if (c.result.phases)
      text +=
          fmt::format("\nphases of {}\n{}", c.name, report::phases_text(c.result, table_width()));
  return text;
}

}  // namespace

bool only_the_oracle(const std::vector<Checked>& checked) {
  const auto of_a_kernel = [](const Checked& c) { return c.rounding != "fp64"; };
  const auto skipped = [&](const Checked& c) {
    return !of_a_kernel(c) || c.result.status == Status::kSkipped;
  };
  return std::any_of(checked.begin(), checked.end(), of_a_kernel) &&
         std::all_of(checked.begin(), checked.end(), skipped);
}

bool any_skipped(const std::vector<Checked>& checked) {
  return std::any_of(checked.begin(), checked.end(),
                     [](const Checked& c) { return c.result.status == Status::kSkipped; });
}

std::string check_text(const std::vector<Checked>& checked, double seconds, bool fail_on_skipped) {
  std::string text = "worst error of each output, in units of expected rounding (limit 2x)\n";
  if (std::any_of(checked.begin(), checked.end(),
                  [](const Checked& c) { return c.rounding == "fp64"; }))
    text += "against the closed form: in units of the rounding of fp64\n";
  text += "\n";
  text += table(rows_of(checked)) + phases(checked) + failures(checked) + "\n" + skips(checked) +
          repeated(checked);
  return text + count_text(checked, seconds, fail_on_skipped) + "\n";
}

std::string check_markdown(const std::vector<Checked>& checked, double seconds,
                           bool fail_on_skipped) {
  constexpr std::size_t kMostFailures = 10, kMostReasons = 5, kMostWords = 400;
  const auto shown = [](const std::string& text) {
    const bool cut = text.size() > kMostWords;
    return report::markdown_escaped(cut ? text.substr(0, kMostWords) + " ..." : text);
  };
  std::string text =
      fmt::format("**flashbench check: {}**\n", count_text(checked, seconds, fail_on_skipped));
  std::size_t failed = 0;
  std::map<std::string, int> reasons;
  for (const Checked& c : checked) {
    if (c.result.status == Status::kSkipped) ++reasons[c.result.reason.value_or("")];
    if (c.result.status != Status::kFailed || ++failed > kMostFailures) continue;
    text += fmt::format("\n**FAIL {}**\n\n", shown(c.name));
    for (const std::string& line : what_failed(c)) text += fmt::format("- {}\n", shown(line));
    text += fmt::format("- reproduce: {}\n", shown(c.result.command));
  }
  if (failed > kMostFailures)
    text +=
        fmt::format("\n{} more failed; --junit and --json name them all\n", failed - kMostFailures);
  std::vector<std::pair<int, std::string>> most;
  for (const auto& [reason, cases] : reasons) most.emplace_back(-cases, reason);
  std::sort(most.begin(), most.end());
  if (!most.empty()) text += "\n";
  for (std::size_t i = 0; i < std::min(most.size(), kMostReasons); ++i)
    text += fmt::format("- skipped {}: {}\n", -most[i].first, shown(most[i].second));
  if (most.size() > kMostReasons)
    text += fmt::format("- skipped for {} more reasons\n", most.size() - kMostReasons);
  return text;
}

std::string pass_preface(const CheckRequest& request, const std::vector<RoutedGroup>& groups) {
  const auto& given = request.run.given;
  const bool none = std::none_of(groups.begin(), groups.end(), [](const RoutedGroup& group) {
    return !group.problem.needs_gradients() && !can_have_gradients(group.problem);
  });
  if (request.suite || none || std::find(given.begin(), given.end(), "pass") != given.end())
    return "";
  return "pass: forward alone where K and V are in pages or of 8 bits, or V in K: these have no "
         "gradients\n";
}

std::vector<report::JunitCase> junit_cases(const std::vector<Checked>& checked) {
  std::vector<report::JunitCase> cases;
  for (const Checked& c : checked) {
    const report::Result& r = c.result;
    report::JunitCase out;
    out.name = c.name;
    out.classname = fmt::format("{}.{}", r.type, r.pass);
    out.time_s = c.seconds;
    if (r.status == Status::kFailed)
      out.failure = fmt::format("{}\nreproduce: {}", fmt::join(what_failed(c), "\n"), r.command);
    else if (r.status != Status::kOk || r.check.verdict != "pass")
      out.skipped = r.reason.value_or(r.check.verdict);
    cases.push_back(std::move(out));
  }
  return cases;
}

}  // namespace flashbench::app
