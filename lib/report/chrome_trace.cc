#include "report/chrome_trace.h"

namespace flashbench::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMicroseconds = 1e6;

Json named(const char* what, int process, int track, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", track}, {"args", {{"name", name}}}};
}

}  // namespace

int ChromeTrace::process(const std::string& name) {
  ++processes_;
  events_.push_back(named("process_name", processes_, 0, name));
  return processes_;
}

void ChromeTrace::track(int process, int track, const std::string& name) {
  events_.push_back(named("thread_name", process, track, name));
}

void ChromeTrace::span(int process, int track, const std::string& name, double start_s,
                       double end_s, Json about) {
  Json event = {{"ph", "X"},
                {"name", name},
                {"pid", process},
                {"tid", track},
                {"ts", start_s * kMicroseconds},
                {"dur", (end_s - start_s) * kMicroseconds}};
  if (!about.is_null()) event["args"] = std::move(about);
  events_.push_back(std::move(event));
}

void ChromeTrace::counter(int process, const std::string& name, double time_s, double value) {
  events_.push_back({{"ph", "C"},
                     {"name", name},
                     {"pid", process},
                     {"ts", time_s * kMicroseconds},
                     {"args", {{name, value}}}});
}

std::string ChromeTrace::text(Json about) const {
  std::string text = "{\"displayTimeUnit\": \"ms\",\n\"otherData\": ";
  text += about.dump(-1, ' ', false, Json::error_handler_t::replace);
  text += ",\n\"traceEvents\": [";
  const char* separator = "\n";
  for (const Json& event : events_) {
    text += separator + event.dump(-1, ' ', false, Json::error_handler_t::replace);
    separator = ",\n";
  }
  return text + "\n]}\n";
}

}  // namespace flashbench::report
