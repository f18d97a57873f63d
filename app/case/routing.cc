#include "app/case/routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "app/case/memory.h"
#include "data/input_files.h"
#include "data/inputs.h"
#include "data/other_layout.h"
#include "sweep/field.h"
#include "system/error.h"
#include "system/machine.h"
#include "system/team.h"

namespace flashbench::app {
namespace {

std::optional<GuestSource> guest_of(const sweep::Case& c) {
  if (c.type == AttentionType::kPlugin)
    return GuestSource{GuestSource::Kind::kPlugin, c.plugin, c.abi, c.device == kEmulatedDevice};
  if (c.type == AttentionType::kWorker)
    return GuestSource{.kind = GuestSource::Kind::kWorker, .text = c.worker};
  return std::nullopt;
}

std::optional<PtxSource> ptx_of(const sweep::Case& c) {
  if (c.type != AttentionType::kPlugin) return std::nullopt;
  if (!sweep::is_ptx(c) && !c.launch.empty()) throw UsageError("--launch is for --ptx");
  if (!sweep::is_ptx(c)) return std::nullopt;
  if (c.abi != PluginAbi::kFlashbenchKernel) throw UsageError("--abi is for --plugin");
  return PtxSource{c.plugin, sweep::launch_of(c)};
}

registry::Request registry_request(const sweep::Case& c) {
  return {.type = c.type,
          .backend = c.backend,
          .kernel = c.kernel,
          .guest = guest_of(c),
          .ptx = ptx_of(c),
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

int threads_asked(const sweep::Case& c) {
  return c.threads > 0 ? c.threads : team::default_threads();
}

/// Fewer threads than a flag or the environment asked for, and why.
std::vector<std::string> team_warnings(const sweep::Case& c, const Place& place) {
  if (!place.threads) return {};
  const int asked = threads_asked(c);
  if (*place.threads >= asked) return {};
  return {fmt::format("threads: {} of the {} asked for: {}; raise or unset it, or use --threads {}",
                      *place.threads, asked, team::limit_text(asked), *place.threads)};
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
  routed.warnings = team_warnings(c, routed.place);
  routed.skipped = tensors_do_not_fit(resolved);
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

void size_host_team(const std::vector<sweep::Group>& groups, const Backends& backends) {
  std::set<int, std::greater<>> teams;  // the largest first: its threads serve the smaller ones
  bool elsewhere = false;
  for (const sweep::Group& group : groups)
    for (const sweep::Case& c : group.cases) {
      if (teams.contains(threads_asked(c))) continue;
      if (registry::backend_of(registry_request(c), backends).info().takes_threads)
        teams.insert(threads_asked(c));
      else
        elsewhere = true;
    }
  if (teams.empty()) teams.insert(team::default_threads());
  int most = 0;
  std::optional<UnavailableError> why;
  for (const int threads : teams) try {
      most = std::max(most, team::granted(threads));
    } catch (const UnavailableError& e) {
      why = e;
    }
  if (most == 0 && !elsewhere) throw *why;
  team::set_default(std::clamp(most, 1, machine::usable_cpus()));
}

RoutedGroup route_group(const sweep::Group& group, const std::vector<std::string>& given,
                        const Backends& backends) {
  RoutedGroup routed;
  data::OpenFiles open;
  routed.problem = data::resolve(group.problem(), given, open);
  const std::vector<std::string> warnings = data::input_warnings(routed.problem, open);
  for (const sweep::Case& c : group.cases) {
    routed.cases.push_back(route_case(c, routed.problem, backends));
    std::vector<std::string>& own = routed.cases.back().warnings;
    own.insert(own.begin(), warnings.begin(), warnings.end());
  }
  return routed;
}

bool has_fixed_lengths(const Problem& p) {
  return p.files.any() || p.ragged != Ragged::kNone || p.padding == PaddingMask::kFile ||
         p.bias == Bias::kFile || (p.needs_gradients() && p.d_o == GradSource::kFile);
}

std::string reproduce(std::string_view command, const RoutedCase& c) {
  sweep::Case shown = c.request;
  if (command != "bench") shown.cache = sweep::CacheState::kWarm;  // no other command has --cache
  const auto guest = c.route ? c.route->kernel->guest() : std::nullopt;
  return fmt::format("flashbench {} {}{}", command, sweep::flags(shown), guest ? guest->flags : "");
}

}  // namespace flashbench::app
