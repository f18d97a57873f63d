#include "app/case/routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "core/work.h"
#include "data/inputs.h"
#include "report/units.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::app {
namespace {

/// Left to the system and to the program itself: pages of code, stacks, allocator slack.
constexpr std::uint64_t kReserveBytes = std::uint64_t{64} << 20;

registry::Request registry_request(const sweep::Case& c) {
  registry::Request r;
  r.type = c.type;
  r.backend = c.backend;
  r.isa = c.isa;
  r.kernel = c.kernel;
  r.threads = c.threads;
  r.device = c.device;
  r.deterministic = c.deterministic;
  r.q_block = c.q_block;
  r.kv_block = c.kv_block;
  return r;
}

data::ExplicitFlags explicit_flags(const std::vector<std::string>& given) {
  const auto has = [&](std::string_view flag) {
    return std::find(given.begin(), given.end(), flag) != given.end();
  };
  return {has("b"), has("h"),     has("h_kv"), has("q_len"), has("kv_len"),
          has("d"), has("dtype"), has("mask"), has("do")};
}

RoutedCase route_case(const sweep::Case& c, const Problem& resolved) {
  RoutedCase routed;
  routed.request = c;
  routed.request.problem = resolved;
  auto found = registry::route(resolved, registry_request(c));
  if (const auto* rejection = std::get_if<Rejection>(&found))
    routed.skipped = *rejection;
  else
    routed.route = std::get<registry::Route>(found);
  return routed;
}

}  // namespace

void throw_refusal(const Rejection& why) {
  switch (why.kind) {
    case Rejection::Kind::kInvalid:
      throw UsageError(why.reason);
    case Rejection::Kind::kUnsupported:
    case Rejection::Kind::kMemory:
    case Rejection::Kind::kAbsent:
      throw UnavailableError(why.reason);
  }
  no_such_enumerator();
}

std::optional<double> bytes_for_cases(std::optional<std::uint64_t> available) {
  if (!available) return std::nullopt;
  return static_cast<double>(*available > kReserveBytes ? *available - kReserveBytes : 0);
}

Rejection does_not_fit(double needed, double available) {
  return {Rejection::Kind::kMemory,
          fmt::format("needs {}, {} available", report::human_bytes(needed),
                      report::human_bytes(available))};
}

namespace {

/// The cases of a group hold their memory at the same time: on a GPU, those that no longer fit
/// beside the others are skipped.
void skip_what_does_not_fit_on_devices(RoutedGroup& group) {
  std::map<int, double> left;  // by device
  for (RoutedCase& c : group.cases) {
    if (!c.runs() || !c.on_cuda()) continue;
    const Execution& e = c.route->execution;
    try {
      const auto needed = static_cast<double>(c.route->kernel->device_bytes(c.request.problem, e));
      const auto available = static_cast<double>(registry::device_free_bytes(e).value_or(0));
      double& free = left.try_emplace(e.device, available).first->second;
      if (needed > free) {
        c.skipped = does_not_fit(needed, free);
        c.skipped->reason +=
            " on device " + device_text(e.device) + " beside the cases that it is compared with";
      } else {
        free -= needed;
      }
    } catch (const std::runtime_error& error) {  // the device is lost
      c.skipped = {Rejection::Kind::kAbsent, error.what()};
    }
  }
}

}  // namespace

bool RoutedGroup::any_runs() const {
  return std::any_of(cases.begin(), cases.end(), [](const RoutedCase& c) { return c.runs(); });
}

RoutedGroup route_group(const sweep::Group& group, const std::vector<std::string>& given) {
  RoutedGroup routed;
  routed.problem = data::resolve(group.problem(), explicit_flags(given));
  for (const sweep::Case& c : group.cases) routed.cases.push_back(route_case(c, routed.problem));
  return routed;
}

MemoryNeed memory_need(const RoutedCase& c) {
  const Problem& p = c.request.problem;
  const Shape& s = p.shape;
  const auto q = static_cast<std::size_t>(s.q_dims().count()) * size_bytes(p.dtype);
  const auto kv = static_cast<std::size_t>(s.kv_dims().count()) * size_bytes(p.dtype);
  MemoryNeed need;
  need.inputs = q + 2 * kv + (p.needs_gradients() ? q : 0) +
                (p.padding == PaddingMask::kNone ? 0 : static_cast<std::size_t>(s.b * s.kv_len));
  need.outputs = operand_bytes(p) - need.inputs;
  if (c.route) need.workspace = c.route->kernel->host_bytes(p, c.route->execution);
  return need;
}

std::size_t reference_bytes(const Problem& p) {
  const Shape& s = p.shape;
  const auto q = static_cast<std::size_t>(s.q_dims().count()) * sizeof(double);
  const auto kv = static_cast<std::size_t>(s.kv_dims().count()) * sizeof(double);
  return p.needs_gradients() ? 3 * q + 4 * kv : q;
}

void skip_what_does_not_fit(RoutedGroup& group, const ExtraMemory& extra) {
  skip_what_does_not_fit_on_devices(group);
  const std::optional<double> available = bytes_for_cases(machine::available_memory_bytes());
  if (!available) return;
  double held = 0;
  for (RoutedCase& c : group.cases) {
    if (!c.runs()) continue;
    const MemoryNeed need = memory_need(c);
    const double shared = static_cast<double>(need.inputs + extra.shared);
    const double own =
        static_cast<double>(need.outputs + need.workspace) + static_cast<double>(extra.own(c));
    if (shared + held + own <= *available) {
      held += own;
      continue;
    }
    c.skipped = does_not_fit(shared + own, *available - (shared + own <= *available ? held : 0));
  }
}

std::string reproduce(std::string_view command, const sweep::Case& c) {
  sweep::Case shown = c;
  if (command != "bench") shown.cache = sweep::CacheState::kWarm;  // no other command has --cache
  return fmt::format("flashbench {} {}", command, shown.flags());
}

}  // namespace flashbench::app
