#include "report/csv.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>

namespace flashbench::report {
namespace {

std::string text_of(const std::string& v) { return v; }
std::string text_of(bool v) { return v ? "true" : "false"; }
std::string text_of(double v) { return std::isfinite(v) ? fmt::format("{}", v) : ""; }
template <std::integral T>
std::string text_of(T v) {
  return fmt::format("{}", v);
}
template <typename T>
std::string text_of(const std::optional<T>& v) {
  return v ? text_of(*v) : "";
}

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (const char c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string parameters_text(const Result& r) {
  std::string text;
  for (const auto& [name, value] : r.parameters)
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", name, value);
  return text;
}

struct Column {
  std::string name;
  std::function<std::string(const Result&)> cell;
};

/// A column for a member of the result or of its timing.
template <typename T>
Column column(std::string name, T Result::*member) {
  return {std::move(name), [member](const Result& r) { return text_of(r.*member); }};
}
template <typename T>
Column column(std::string name, T Timing::*member) {
  return {std::move(name),
          [member](const Result& r) { return r.timing ? text_of((*r.timing).*member) : ""; }};
}

Column io_column(const std::string& type) {
  return {"io_bytes_" + type, [type](const Result& r) {
            return r.io_bytes && r.io_bytes->contains(type) ? text_of(r.io_bytes->at(type)) : "";
          }};
}

Column ratio_end(std::string name, std::size_t end) {
  return {std::move(name), [end](const Result& r) {
            if (!r.speedup_ci95 || !r.speedup_ci95->contains("normal")) return std::string();
            return text_of(r.speedup_ci95->at("normal")[end]);
          }};
}

std::vector<Column> identity_columns(std::span<const sweep::Field> table) {
  std::vector<Column> columns = {
      column("command", &Result::command),
      {"status", [](const Result& r) { return std::string(name(r.status)); }},
      column("reason", &Result::reason),
      {"refusal", [](const Result& r) { return std::string(r.refusal ? name(*r.refusal) : ""); }},
      {"parameters", parameters_text},
  };
  for (const sweep::Field* f : sweep::recorded_fields(table))
    columns.push_back({std::string(sweep::recorded_name(*f)),
                       [f](const Result& r) { return sweep::text_of(sweep::get(*f, r)); }});
  return columns;
}

/// Named as in the JSON, and where that name does not say the unit, with the unit behind it.
std::vector<Column> measured_columns() {
  const auto ci95 = [](std::size_t end) {
    return [end](const Result& r) { return r.timing ? text_of(r.timing->ci95[end]) : ""; };
  };
  return {
      {"samples", [](const Result& r) { return r.timing ? text_of(r.timing->times.size()) : ""; }},
      {"stopped_by",
       [](const Result& r) { return std::string(r.stopped_by ? name(*r.stopped_by) : ""); }},
      column("marked", &Timing::marked),
      column("disturbed", &Timing::disturbed),
      column("iterations_per_sample", &Timing::iterations_per_sample),
      column("min_s", &Timing::min),
      column("max_s", &Timing::max),
      column("median_s", &Timing::median),
      column("mean_s", &Timing::mean),
      column("stddev_s", &Timing::stddev),
      column("mad_s", &Timing::mad),
      column("p25_s", &Timing::p25),
      column("p75_s", &Timing::p75),
      {"ci95_low_s", ci95(0)},
      {"ci95_high_s", ci95(1)},
      column("user_s", &Timing::user),
      column("system_s", &Timing::system),
      {"between_run_spread",
       [](const Result& r) { return r.calibration ? text_of(r.calibration->spread) : ""; }},
      {"warnings", [](const Result& r) { return fmt::format("{}", fmt::join(r.warnings, "; ")); }},
      column("flop_convention", &Result::flop_convention),
      column("flop_dense", &Result::flop_dense),
      column("flop_visible", &Result::flop_visible),
      column("flop_executed", &Result::flop_executed),
      column("bytes", &Result::bytes),
      column("tflops", &Result::tflops),
      column("gb_s", &Result::gb_s),
      column("pct_peak", &Result::pct_peak),
      column("bound", &Result::bound),
      column("intensity_flop_per_byte", &Result::intensity),
      column("balance_flop_per_byte", &Result::balance),
      column("why", &Result::why),
      io_column("normal"),
      io_column("paper"),
      io_column("flash"),
      column("workspace_bytes", &Result::workspace_bytes),
      column("peak_rss_bytes", &Result::peak_rss_bytes),
      column("device_bytes", &Result::device_bytes),
      column("energy_j", &Result::energy_j),
      column("gflop_per_j", &Result::gflop_per_j),
      {"speedup_over_normal",
       [](const Result& r) {
         if (!r.speedup_over || !r.speedup_over->contains("normal")) return std::string();
         return text_of(r.speedup_over->at("normal"));
       }},
      ratio_end("speedup_over_normal_low", 0),
      ratio_end("speedup_over_normal_high", 1),
      column("rises", &Result::rises),
      {"verdict", [](const Result& r) { return r.check.verdict; }},
      {"level", [](const Result& r) { return r.check.level; }},
      {"worst_error_over_noise",
       [](const Result& r) {
         std::optional<double> worst;
         for (const Worst& w : r.check.worst) {
           if (!w.error_over_noise) return std::string("nan");
           worst = std::max(worst.value_or(0), *w.error_over_noise);
         }
         return text_of(worst);
       }},
      {"model", [](const Result& r) { return r.part ? r.part->model : ""; }},
      {"part", [](const Result& r) { return r.part ? r.part->name : ""; }},
      {"layers", [](const Result& r) { return r.part ? text_of(r.part->layers) : ""; }},
  };
}

}  // namespace

std::string csv_text(const Report& report, std::span<const sweep::Field> table) {
  std::vector<Column> columns = identity_columns(table);
  for (Column& c : measured_columns()) columns.push_back(std::move(c));
  std::string text;
  for (const Column& c : columns) text += (text.empty() ? "" : ",") + c.name;
  text += "\n";
  for (const Result& result : report.results) {
    const Result r = published(result);
    std::string row;
    for (const Column& c : columns) row += quoted(c.cell(r)) + ",";
    row.back() = '\n';
    text += row;
  }
  return text;
}

}  // namespace flashbench::report
