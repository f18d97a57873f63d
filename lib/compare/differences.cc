#include "compare/differences.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/version.h"

namespace flashbench::compare {
namespace {

template <typename T>
std::string text(const T& v) {
  return fmt::format("{}", v);
}
template <typename T>
std::string text(const std::optional<T>& v) {
  return v ? fmt::format("{}", *v) : "none";
}

struct Trait {
  const char* name;
  std::string (*value)(const Side&);
};

const Trait kMachine[] = {
    {"host", [](const Side& s) { return s.context.host; }},
    {"processor", [](const Side& s) { return s.context.cpu.model; }},
    {"hardware threads", [](const Side& s) { return text(s.context.cpu.threads); }},
    {"usable threads", [](const Side& s) { return text(s.context.cpu.usable_threads); }},
    {"best isa", [](const Side& s) { return s.context.cpu.isa; }},
    {"cgroup processors", [](const Side& s) { return text(s.context.cpu.cgroup.cpus); }},
    {"governor", [](const Side& s) { return text(s.context.cpu.governor); }},
    {"memory", [](const Side& s) { return text(s.context.memory_bytes); }},
    {"gpu", [](const Side& s) { return s.context.gpu ? s.context.gpu->model : "none"; }},
    {"gpu driver", [](const Side& s) { return s.context.gpu ? s.context.gpu->driver : "none"; }},
    {"operating system", [](const Side& s) { return s.context.os; }},
};

const Trait kSettings[] = {
    {"OMP threads", [](const Side& s) { return text(s.context.omp.max_threads); }},
    {"OMP_PROC_BIND", [](const Side& s) { return s.context.omp.proc_bind; }},
    {"OMP_PLACES", [](const Side& s) { return text(s.context.omp.places); }},
    {"OMP_WAIT_POLICY", [](const Side& s) { return text(s.context.omp.wait_policy); }},
};

const Trait kBuild[] = {
    {"compiler", [](const Side& s) { return s.context.compiler; }},
    {"compiler flags", [](const Side& s) { return s.context.flags; }},
};

const Trait kGuests[] = {
    {"called", [](const Side& s) { return fmt::format("{}", fmt::join(s.guests, ", ")); }},
};

template <std::size_t n>
void add(std::vector<std::string>& lines, const char* what, const Trait (&traits)[n],
         const Side& base, const Side& fresh) {
  std::string line;
  for (const Trait& t : traits) {
    const std::string before = t.value(base), after = t.value(fresh);
    if (before != after)
      line +=
          fmt::format("{}{} '{}' against '{}'", line.empty() ? "" : ", ", t.name, before, after);
  }
  if (!line.empty()) lines.push_back(fmt::format("different {}: {}", what, line));
}

}  // namespace

std::vector<std::string> differences(const Side& base, const Side& fresh) {
  std::vector<std::string> lines;
  add(lines, "machine", kMachine, base, fresh);
  add(lines, "settings", kSettings, base, fresh);
  add(lines, "build", kBuild, base, fresh);
  add(lines, "guests", kGuests, base, fresh);
  const bool clean = !base.tool.dirty.value_or(true) && !fresh.tool.dirty.value_or(true);
  if (lines.empty() && clean && base.tool.git_sha && base.tool.git_sha == fresh.tool.git_sha)
    lines.push_back("the same build on the same machine: whatever differs is noise");
  return lines;
}

std::string build_text(const Side& side) {
  return fmt::format("{}, {}", report::tool_text(side.tool), side.context.compiler);
}

}  // namespace flashbench::compare
