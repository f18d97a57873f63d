#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/rejection.h"
#include "registry/registry.h"
#include "sweep/case.h"

namespace flashbench::app {

/// A case with the kernel that computes it, or why none here does.
struct RoutedCase {
  sweep::Case request;                   ///< its problem resolved
  BackendId backend = kProcessor;        ///< that computes it; without a route, that refused
  Place place;                           ///< where it runs; without a route, what was asked for
  std::optional<registry::Route> route;  ///< absent: see skipped
  std::optional<Rejection> skipped;      ///< why it does not run; absent when it does
  std::vector<std::string> warnings;     ///< of its result, about its files and its threads

  bool runs() const { return route && !skipped; }
  /// Of a case with a route.
  ExecutionTraits traits() const { return route->backend->traits(route->execution); }
};

/// Cases of one resolved problem.
struct RoutedGroup {
  Problem problem;
  std::vector<RoutedCase> cases;

  bool any_runs() const;
};

/// Reads what the files say about every problem and finds a kernel among `backends` for every case.
/// `given`: the names of the workload flags that the user gave. Throws UsageError for bad files and
/// for flags that contradict them.
RoutedGroup route_group(const sweep::Group& group, const std::vector<std::string>& given,
                        const Backends& backends);

/// A file fixes the lengths of the problem: there are no versions of it with other ones.
bool has_fixed_lengths(const Problem& p);

/// What is not measured (inputs, the oracle) takes as many threads as the largest team of these
/// cases, at most the processors that this process may use: with --threads 1, none is started.
/// Throws UnavailableError where none of the teams can be had and all cases need one.
void size_host_team(const std::vector<sweep::Group>& groups, const Backends& backends);

/// Ends a command that has nothing else to do: UsageError for what nobody could compute,
/// UnavailableError for what cannot be computed here.
[[noreturn]] void throw_refusal(const Rejection& why);

/// The line that reproduces a case with a command: "flashbench check --b 1 ...", its guest kept as
/// it was.
std::string reproduce(std::string_view command, const RoutedCase& c);

}  // namespace flashbench::app
