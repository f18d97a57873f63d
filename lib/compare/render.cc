#include "compare/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compare/differences.h"
#include "report/grid.h"
#include "report/json.h"
#include "report/layout.h"
#include "report/markdown.h"
#include "report/units.h"
#include "system/digits.h"

namespace flashbench::compare {
namespace {

using report::Grid;

constexpr std::array<std::string_view, 9> kVerdicts = {
    "WRONG", "FAILED", "SLOWER", "AMBIGUOUS", "MISSING", "FASTER", "SAME", "ADDED", "NONE"};

/// What the verdicts mean with this threshold.
std::string meaning(std::string_view verdict, const Rule& rule) {
  const double percent = 100 * rule.threshold;
  if (verdict == "SLOWER")
    return fmt::format("takes over {:g} % longer: the whole interval is above {:.4g}", percent,
                       1 + rule.threshold);
  if (verdict == "FASTER")
    return fmt::format("base takes over {:g} % longer: the whole interval is below {:.4g}", percent,
                       1 / (1 + rule.threshold));
  if (verdict == "SAME")
    return fmt::format("equal within {:g} %: the whole interval is between {:.4g} and {:.4g}",
                       percent, 1 / (1 + rule.threshold), 1 + rule.threshold);
  if (verdict == "AMBIGUOUS") return "too much noise to tell: the interval crosses a threshold";
  if (verdict == "WRONG") return "the result failed its check: no speed counts";
  if (verdict == "FAILED") return "the new case failed at run time";
  if (verdict == "MISSING") return "a number in base, none in new";
  if (verdict == "ADDED") return "a number in new, none in base";
  return "no number on either side";
}

std::string interval_text(const Interval& i) {
  if (!std::isfinite(i.high))
    return i.low > 0 ? fmt::format("at least {}", digits(i.low, 4)) : "unknown";
  if (!(i.low > 0)) return fmt::format("at most {}", digits(i.high, 4));
  return fmt::format("{:.3f} .. {:.3f}", i.low, i.high);
}

/// The rows of the cases that `wanted` takes, under what tells them apart.
Grid make_grid(const Comparison& c, const std::vector<const ComparedCase*>& wanted) {
  report::Report cases;
  for (const ComparedCase* one : wanted) cases.results.push_back(one->result);
  Grid grid = report::make_grid(cases);
  grid.columns.resize(grid.measured);
  for (const char* title : {"base", "new", "ratio", "interval", "verdict"})
    grid.columns.push_back({title, Grid::Align::kRight});
  grid.columns.back().align = Grid::Align::kLeft;
  if (!c.by.empty()) grid.columns.insert(grid.columns.begin(), {c.by, Grid::Align::kLeft});
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const ComparedCase& one = *wanted[i];
    std::vector<std::string>& cells = grid.rows[i].cells;
    cells.resize(grid.measured);
    if (!c.by.empty()) cells.insert(cells.begin(), one.change);
    const bool compared = one.outcome == Outcome::kCompared;
    cells.push_back(compared ? report::human_seconds(one.base_s) : "-");
    cells.push_back(compared ? report::human_seconds(one.new_s) : "-");
    cells.push_back(judged(one) ? fmt::format("{:.3f}", one.ratio) : "-");
    cells.push_back(compared ? interval_text(one.decision.interval) : "-");
    cells.emplace_back(verdict_name(one));
    grid.rows[i].note.clear();
    if (!one.reason.empty()) cells.back() += fmt::format(": {}", one.reason);
  }
  if (c.by == "type") {  // named in the first column
    grid.columns.erase(grid.columns.begin() + 1);
    for (Grid::Row& row : grid.rows) row.cells.erase(row.cells.begin() + 1);
  } else if (!c.by.empty()) {
    ++grid.measured;
  }
  return grid;
}

std::vector<const ComparedCase*> all_cases(const Comparison& c) {
  std::vector<const ComparedCase*> list;
  for (const ComparedCase& one : c.cases) list.push_back(&one);
  return list;
}

std::string side_text(const char* which, const Side& s) {
  return fmt::format("{:<5}{}: {}, {}", which, s.name, build_text(s), s.started_at);
}

std::string interval_note(const Comparison& c) {
  return fmt::format(
      "ratio: time of new / time of base{}; the intervals hold all ratios together with {:g} %",
      c.aa_spread || !c.by.empty() ? ", the median over rounds" : "", 100 * (1 - c.rule.alpha));
}

/// Two runs differ by more than their samples show.
std::string spread_note(const Comparison& c) {
  double most = 0;
  for (const ComparedCase& one : c.cases)
    if (one.between) most = std::max(most, one.between->sigma);
  if (most > 0)
    return fmt::format(
        "from run to run the ratio is taken to vary by up to {} % (one standard "
        "deviation); the intervals hold that",
        digits(100 * most, 2));
  if (c.aa_spread)
    return fmt::format(
        "base against itself: the ratio varies by {} % from round to round (one "
        "standard deviation)",
        digits(100 * *c.aa_spread, 2));
  return "";
}

std::vector<std::string> notes_of(const Comparison& c) {
  std::vector<std::string> notes = c.notes;
  if (std::string spread = spread_note(c); !spread.empty()) notes.push_back(std::move(spread));
  return notes;
}

std::string remedy(const Comparison& c) {
  if (count(c, "AMBIGUOUS") == 0) return "";
  if (c.spread_is_assumed && !c.by.empty())
    return "for AMBIGUOUS: `bench --calibrate` measures what is assumed here of runs\n";
  return c.aa_spread || c.by.empty()
             ? "for AMBIGUOUS: `compare --run OLD NEW` interleaves both programs and goes on while "
               "it is unclear; give it a longer --timeout, or stop other programs\n"
             : "for AMBIGUOUS: more samples (bench --min_time, --min_samples), or stop other "
               "programs\n";
}

nlohmann::ordered_json interval_json(const Interval& i) {
  return nlohmann::ordered_json::array(
      {report::finite_or_null(i.low), report::finite_or_null(i.high)});
}

nlohmann::ordered_json case_json(const ComparedCase& one) {
  using Json = nlohmann::ordered_json;
  const Json full = report::to_json(one.result);
  Json j;
  for (const char* key : {"command", "workload"}) j[key] = full[key];
  for (const sweep::Field* f : sweep::recorded_fields())  // what was asked for, not what ran
    if (const std::string key(sweep::recorded_name(*f));
        f->recorded.place == sweep::Place::kResult && f->parse != nullptr)
      j[key] = full[key];
  j["change"] = one.change.empty() ? Json() : Json(one.change);
  j["verdict"] = verdict_name(one);
  j["reason"] = one.reason.empty() ? Json() : Json(one.reason);
  const bool compared = one.outcome == Outcome::kCompared;
  const auto number = [&](double v) { return compared ? report::finite_or_null(v) : Json(); };
  j["base_median"] = number(one.base_s);
  j["new_median"] = number(one.new_s);
  j["ratio"] = judged(one) ? report::finite_or_null(one.ratio) : Json();
  j["interval"] = compared ? interval_json(one.decision.interval) : Json();
  j["alpha"] = number(one.decision.alpha);
  j["rounds"] = compared ? Json(one.rounds) : Json();
  j["drift"] = one.drift ? Json::array({report::finite_or_null(std::exp(one.drift->shift.low)),
                                        report::finite_or_null(std::exp(one.drift->shift.high))})
                         : Json();
  j["between_run_spread"] = one.between ? report::finite_or_null(one.between->sigma) : Json();
  return j;
}

nlohmann::ordered_json side_json(const Side& s) {
  report::Report about;
  about.tool = s.tool;
  about.context = s.context;
  nlohmann::ordered_json full = report::to_json(about);
  return {{"name", s.name},
          {"started_at", s.started_at},
          {"tool", std::move(full["tool"])},
          {"context", std::move(full["context"])}};
}

}  // namespace

std::string summary_line(const Comparison& c) {
  std::string verdicts;
  for (const std::string_view v : kVerdicts)
    if (const std::size_t n = count(c, v); n > 0)
      verdicts += fmt::format("{}{} {}", verdicts.empty() ? "" : ", ", n, v);
  std::string text =
      fmt::format("{} case{}: {}", c.cases.size(), c.cases.size() == 1 ? "" : "s", verdicts);
  if (!c.geometric_mean) return text;
  const Interval& i = c.geometric_mean_interval;
  text += fmt::format("; geometric mean of the ratios {:.3f} [{}]", *c.geometric_mean,
                      interval_text(i));
  if (i.low <= 1 && i.high >= 1) return text + ": cannot tell which is faster on the whole";
  const double percent = 100 * (*c.geometric_mean - 1);
  return text +
         fmt::format(", new takes {:.1f} % {}", std::abs(percent), percent < 0 ? "less" : "longer");
}

std::string table_text(const Comparison& c, std::size_t width) {
  const Grid grid = make_grid(c, all_cases(c));
  std::string text = side_text(c.by.empty() ? "base" : "in", c.base) + "\n";
  if (c.by.empty()) text += side_text("new", c.fresh) + "\n";
  for (const std::string& note : notes_of(c)) text += note + "\n";
  if (!grid.caption.empty()) text += grid.caption + "\n";
  text += interval_note(c) + "\n\n" +
          report::aligned_text(grid.columns, grid.rows, {width, grid.measured}) + "\n";
  for (const std::string_view v : kVerdicts)
    if (count(c, v) > 0) text += fmt::format("{:<11}{}\n", v, meaning(v, c.rule));
  return text + "\n" + summary_line(c) + "\n" + remedy(c);
}

std::string markdown_text(const Comparison& c) {
  std::vector<const ComparedCase*> changed, same;
  for (const ComparedCase& one : c.cases)
    (verdict_name(one) == "SAME" || verdict_name(one) == "NONE" ? same : changed).push_back(&one);
  std::string text = fmt::format("**{}**\n\n", summary_line(c));
  for (const Side* s : {&c.base, &c.fresh})
    if (s == &c.base || c.by.empty())
      text += fmt::format("{}  \n", report::markdown_escaped(side_text(!c.by.empty()  ? "in"
                                                                       : s == &c.base ? "base"
                                                                                      : "new",
                                                                       *s)));
  for (const std::string& note : notes_of(c)) text += report::markdown_escaped(note) + "  \n";
  text += report::markdown_escaped(interval_note(c)) + "\n";
  const auto table = [&](const std::vector<const ComparedCase*>& cases) {
    const Grid grid = make_grid(c, cases);
    return fmt::format("{}\n\n{}", report::markdown_escaped(grid.caption),
                       report::markdown_table(grid.columns, grid.rows));
  };
  if (!changed.empty()) text += fmt::format("\n{}", table(changed));
  if (!same.empty())
    text += fmt::format("\n<details><summary>{} without a change</summary>\n\n{}\n</details>\n",
                        same.size(), table(same));
  text += "\n";
  for (const std::string_view v : kVerdicts)
    if (count(c, v) > 0) text += fmt::format("- {}: {}\n", v, meaning(v, c.rule));
  return text;
}

std::string json_text(const Comparison& c, const std::vector<std::string>& argv) {
  using Json = nlohmann::ordered_json;
  Json j;
  j["kind"] = "comparison";
  j["schema_version"] = 1;
  j["argv"] = argv;
  j["base"] = side_json(c.base);
  j["new"] = side_json(c.fresh);
  j["by"] = c.by.empty() ? Json() : Json(c.by);
  j["threshold"] = c.rule.threshold;
  j["alpha"] = c.rule.alpha;
  j["notes"] = notes_of(c);
  j["aa_spread"] = c.aa_spread ? report::finite_or_null(*c.aa_spread) : Json();
  j["cases"] = Json::array();
  for (const ComparedCase& one : c.cases) j["cases"].push_back(case_json(one));
  Json counts = Json::object();
  for (const std::string_view v : kVerdicts) counts[std::string(v)] = count(c, v);
  j["counts"] = std::move(counts);
  j["geometric_mean"] = c.geometric_mean ? report::finite_or_null(*c.geometric_mean) : Json();
  j["geometric_mean_interval"] =
      c.geometric_mean ? interval_json(c.geometric_mean_interval) : Json();
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace flashbench::compare
