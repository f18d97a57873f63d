#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "distributed/arrangement.h"
#include "kernel/backend.h"
#include "sweep/case.h"
#include "sweep/settings.h"

namespace flashbench::app {

/// One case of the suite, with a name that is unique in it.
struct NamedCase {
  std::string row;   ///< what the table shows in one line: "ragged_both_tiles"
  std::string name;  ///< "ragged_both_tiles/causal/padded/bf16/flash"
  sweep::Case request;
  std::optional<distributed::Arrangement> over = {};  ///< its ranks
  std::string more_flags = {};  ///< that reproduce it, beside those of the request: " --x 1"
};

/// Cases that share a problem, hence inputs and reference.
struct NamedGroup {
  std::vector<NamedCase> cases;
};

/// The cases that `check` runs without a workload. `narrow` holds flags that say how to compute
/// (type, isa, kernel, threads, ...): types are intersected with those of the suite, the others
/// take the place of what the suite says. Throws UsageError where a value of `narrow` is bad.
std::vector<NamedGroup> suite(const sweep::Settings& narrow, const Backends& backends);

/// The same for `check --context_parallel`, before anybody has ranks.
std::vector<NamedGroup> suite_over_ranks(const sweep::Settings& narrow, const Backends& backends);

/// The cases of a workload from the command line, where the user gave the flags `given`, by the
/// names of what their files make of them: lengths, and the pass. Throws UsageError as
/// data::resolve().
std::vector<NamedGroup> named(const std::vector<sweep::Group>& groups,
                              const std::vector<std::string>& given);

/// Whether `filter` selects a name: a glob over all of it where it has * or ?, else a part of it;
/// "" selects all.
bool selects(std::string_view filter, std::string_view name);

}  // namespace flashbench::app
