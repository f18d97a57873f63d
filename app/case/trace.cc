#include "app/case/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "app/case/prepared_case.h"
#include "measure/memory_log.h"
#include "report/grid.h"
#include "report/version.h"
#include "system/atomic_file.h"

namespace flashbench::app {
namespace {

constexpr std::size_t kEventsOfFile = 400'000;  // some 50 MB
constexpr std::size_t kEventsOfCase = 40'000;   // what a viewer scrolls through without a hitch
constexpr std::size_t kEventsOfThread = 64;     // fewer show nothing

double now_s() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::string title(const RoutedCase& c) {
  const report::Workload w = report::workload_of(c.request.problem);
  return fmt::format("{} {}, {} {}, {}, {}", name(c.request.type), name(c.request.problem.pass),
                     w.dtype, report::workload_text(w), report::mask_phrase(w),
                     c.place.isa.value_or(std::string(name(c.backend))));
}

void add_threads(report::ChromeTrace& trace, int process, const PhaseProfile& pass, double zero_s) {
  for (int thread = 0; thread < pass.threads(); ++thread) {
    trace.track(process, thread + 1, fmt::format("thread {}", thread));
    for (const EventLog::Event& e : pass.events(thread)) {
      const bool several = e.phase == EventLog::kSeveral;
      trace.span(process, thread + 1, several ? "several phases" : pass.phases()[e.phase],
                 e.start_s - zero_s, e.end_s - zero_s,
                 e.calls > 1 ? nlohmann::ordered_json{{"calls", e.calls}} : nullptr);
    }
  }
}

}  // namespace

TraceFile::TraceFile(std::string path, int cases)
    : path_(std::move(path)),
      events_(
          std::min(kEventsOfCase, kEventsOfFile / static_cast<std::size_t>(std::max(cases, 1)))) {
  claim_output(path_, claimed_);
}

std::string TraceFile::add(const RoutedCase& c, const Inputs& in) {
  const auto threads = static_cast<std::size_t>(c.route->execution.threads);
  const std::size_t events = std::max(events_ / threads, kEventsOfThread);
  measure::MemoryLog memory;
  const double zero_s = now_s();
  PreparedCase prepared(c, in);
  const double planned_s = now_s();
  prepared.launch();
  const double called_s = now_s();
  const std::vector<PhaseProfile> passes = prepared.trace(events);
  const double end_s = now_s();
  memory.stop();
  if (passes.empty()) return fmt::format("kernel {} has no trace", c.route->kernel->info().name);

  const int process = trace_.process(title(c));
  trace_.track(process, 0, "program");
  trace_.span(process, 0, "allocate and plan", 0, planned_s - zero_s);
  trace_.span(process, 0, "first call", planned_s - zero_s, called_s - zero_s);
  trace_.span(process, 0, "traced call", called_s - zero_s, end_s - zero_s);
  for (const PhaseProfile& pass : passes) add_threads(trace_, process, pass, zero_s);
  if (memory.points().empty()) return "";
  const std::size_t before = memory.points().front().bytes;
  for (const measure::MemoryLog::Point& p : memory.points())
    trace_.counter(process, "memory of this case (bytes)", std::max(p.time_s - zero_s, 0.0),
                   static_cast<double>(p.bytes > before ? p.bytes - before : 0));
  return "";
}

void TraceFile::write(const std::vector<std::string>& argv) const {
  write_file_atomically(
      path_, trace_.text({{"program", report::version_line()},
                          {"command", fmt::format("{}", fmt::join(argv, " "))},
                          {"times", "of a run of its own, slower than what bench measures"}}));
}

}  // namespace flashbench::app
