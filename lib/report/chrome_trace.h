#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace flashbench::report {

/// Events in the format that chrome://tracing and ui.perfetto.dev read ("Trace Event Format",
/// Google). Times are in seconds from the start of a process of the trace; a case is a process, so
/// that cases lie below each other and all begin at 0.
class ChromeTrace {
 public:
  /// A new process; returns its number.
  int process(const std::string& name);

  /// Names a track of a process.
  void track(int process, int track, const std::string& name);

  /// Something that took time.
  void span(int process, int track, const std::string& name, double start_s, double end_s,
            nlohmann::ordered_json about = nullptr);

  /// A value over time.
  void counter(int process, const std::string& name, double time_s, double value);

  /// The whole file; `about` says where it comes from.
  std::string text(nlohmann::ordered_json about) const;

 private:
  nlohmann::ordered_json events_ = nlohmann::ordered_json::array();
  int processes_ = 0;
};

}  // namespace flashbench::report
