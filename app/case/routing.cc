#include "app/case/routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/input_files.h"
#include "data/inputs.h"
#include "sweep/field.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

registry::Request registry_request(const sweep::Case& c) {
  return {.type = c.type,
          .backend = c.backend,
          .kernel = c.kernel,
          .execution = {.isa = c.isa,
                        .threads = c.threads,
                        .device = c.device,
                        .deterministic = c.deterministic,
                        .q_block = c.q_block,
                        .kv_block = c.kv_block}};
}

/// Where a case without a kernel would have run, as far as it says.
Place place_asked_for(const sweep::Case& c, const BackendInfo& of) {
  Place place;
  if (c.isa) place.isa = name(*c.isa);
  if (c.threads > 0) place.threads = c.threads;
  if (of.takes_device()) place.device = device_text(c.device.value_or(0));  // as routing would
  return place;
}

RoutedCase route_case(const sweep::Case& c, const Problem& resolved, const Backends& backends) {
  RoutedCase routed;
  routed.request = c;
  routed.request.problem = resolved;
  auto found = registry::route(resolved, registry_request(c), backends);
  if (auto* rejection = std::get_if<Rejection>(&found)) {
    const BackendInfo& answered = registry::backend_of(registry_request(c), backends).info();
    routed.backend = answered.id;
    routed.place = place_asked_for(c, answered);
    routed.skipped = std::move(*rejection);
    return routed;
  }
  routed.route = std::get<registry::Route>(std::move(found));
  routed.backend = routed.route->backend->info().id;
  routed.place = routed.route->backend->place(routed.route->execution);
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

bool RoutedGroup::any_runs() const {
  return std::any_of(cases.begin(), cases.end(), [](const RoutedCase& c) { return c.runs(); });
}

RoutedGroup route_group(const sweep::Group& group, const std::vector<std::string>& given,
                        const Backends& backends) {
  RoutedGroup routed;
  data::OpenFiles open;
  routed.problem = data::resolve(group.problem(), given, open);
  const std::vector<std::string> warnings = data::unused_tensors(routed.problem, open);
  for (const sweep::Case& c : group.cases) {
    routed.cases.push_back(route_case(c, routed.problem, backends));
    routed.cases.back().warnings = warnings;
  }
  return routed;
}

std::string reproduce(std::string_view command, const sweep::Case& c) {
  sweep::Case shown = c;
  if (command != "bench") shown.cache = sweep::CacheState::kWarm;  // no other command has --cache
  return fmt::format("flashbench {} {}", command, sweep::flags(shown));
}

}  // namespace flashbench::app
