#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/backend.h"
#include "sweep/case.h"
#include "sweep/field.h"
#include "sweep/settings.h"

namespace flashbench::sweep {

/// What holds where neither a flag nor a config says otherwise.
struct Defaults {
  Shape shape;
  Pass pass = Pass::kForward;
  /// Whether --pass, where it was left out, is forward for cases that cannot have gradients.
  bool pass_follows = false;
  std::vector<AttentionType> types = {AttentionType::kFlash};

  /// Those that --backend may name; empty: it may name any.
  std::vector<BackendInfo> backends = {};

  /// The type that a kernel computes, so that --kernel alone selects it. Absent: --type decides.
  std::function<std::optional<AttentionType>(const std::string& kernel)> type_of_kernel = {};
};

/// The names of the fields, which expand() understands; everything else in a plan is ignored.
const std::vector<std::string>& workload_names();

/// The cartesian product of all lists and ranges, zip point by zip point. Problems vary in the
/// outer loops (q_len and kv_len innermost); what computes them (threads, isa, ..., and types
/// innermost) varies within a group. A missing kv_len follows q_len, a missing h_kv follows h, case
/// by case; window_right 0 is causal. Cases that come out twice are kept once. Shapes that come
/// from files are not vetted here. Throws UsageError for values that nothing accepts, for
/// combinations that contradict each other, and beyond kMaxCases.
std::vector<Group> expand(const SweepPlan& plan, const Defaults& defaults,
                          std::span<const Field> table = fields());

/// Whether settings name a guest of that type.
bool names_guest(const Settings& settings, AttentionType type);

/// Throws UsageError when `plan` says more than one thing about anything: for commands that compute
/// one case.
void require_single(const SweepPlan& plan, std::string_view command);

}  // namespace flashbench::sweep
