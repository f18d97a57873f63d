#include "sweep/expand.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "sweep/axes.h"
#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"

namespace flashbench::sweep {
namespace {

/// Calls `f` with a copy of `start` for every combination; the last axis varies fastest.
template <typename F>
void for_each_combination(const std::vector<Axis>& axes, const Case& start, F&& f) {
  std::vector<std::size_t> at(axes.size(), 0);
  while (true) {
    Case c = start;
    for (std::size_t i = 0; i < axes.size(); ++i) axes[i][at[i]](c);
    f(c);
    std::size_t i = axes.size();
    while (i > 0 && ++at[i - 1] == axes[i - 1].size()) at[--i] = 0;
    if (i == 0) return;
  }
}

std::size_t combinations(const std::vector<Axis>& axes) {
  std::size_t count = 1;
  for (const Axis& axis : axes) {
    count *= axis.size();
    if (count > kMaxCases)
      throw UsageError(
          fmt::format("the sweep has more than {} cases; use shorter lists", kMaxCases));
  }
  return count;
}

/// What was left out follows what was given; what has no effect here does not tell cases apart.
void settle_problem(Problem& p) {
  if (p.shape.h_kv == 0) p.shape.h_kv = p.shape.h;
  if (p.shape.kv_len == 0) p.shape.kv_len = p.shape.q_len;
  if (p.padding != PaddingMask::kRandom) p.mask_keep = Problem{}.mask_keep;
  if (!p.needs_gradients()) {
    p.d_o = Problem{}.d_o;
    p.files.d_o.clear();
  }
  if (p.files.any()) return;  // the shape comes from the files
  if (const auto rejection = invalid(p)) throw UsageError(rejection->reason);
}

void settle_execution(Case& c) {
  if (c.type == AttentionType::kPaper) return;
  c.q_block = Case{}.q_block;
  c.kv_block = Case{}.kv_block;
}

/// A flag that changes nothing is a mistake worth a word.
void refuse_idle(const Settings& settings, const std::vector<Group>& groups) {
  const auto given = [&](std::string_view name) { return settings.find(name) != settings.end(); };
  const auto any = [&](auto&& holds) {
    return std::any_of(groups.begin(), groups.end(), [&](const Group& g) {
      return std::any_of(g.cases.begin(), g.cases.end(), holds);
    });
  };
  if (given("mask_keep") &&
      !any([](const Case& c) { return c.problem.padding == PaddingMask::kRandom; }))
    throw UsageError(fmt::format("{} needs --mask random", settings.at("mask_keep").where));
  for (const char* block : {"q_block", "kv_block"})
    if (given(block) && !any([](const Case& c) { return c.type == AttentionType::kPaper; }))
      throw UsageError(fmt::format("{} is for --type paper", settings.find(block)->second.where));
}

void refuse_device_without_use(const Case& c, const Defaults& defaults) {
  for (const BackendInfo& b : defaults.backends)
    if (c.device && c.backend == b.id && !b.takes_device())
      throw UsageError(
          fmt::format("--device {} selects a GPU and --backend {} has none; leave one of them out",
                      device_text(*c.device), name(b.id)));
}

std::vector<Group> expand_point(const Settings& settings, const Defaults& defaults) {
  const std::vector<Axis> problems = problem_axes(settings, defaults);
  const std::vector<Axis> executions = execution_axes(settings, defaults);
  if (combinations(problems) * combinations(executions) > kMaxCases)
    throw UsageError(fmt::format("the sweep has more than {} cases; use shorter lists", kMaxCases));
  std::vector<Group> groups;
  for_each_combination(problems, base_case(settings, defaults), [&](Case c) {
    settle_problem(c.problem);
    Group group;
    for_each_combination(executions, c, [&](Case how) {
      settle_execution(how);
      refuse_device_without_use(how, defaults);
      group.cases.push_back(std::move(how));
    });
    groups.push_back(std::move(group));
  });
  refuse_idle(settings, groups);
  return groups;
}

}  // namespace

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = {
      "b",      "h",       "h_kv",      "q_len",    "kv_len",        "d",
      "type",   "pass",    "causal",    "mask",     "mask_keep",     "dtype",
      "scale",  "seed",    "do",        "backend",  "threads",       "isa",
      "device", "kernel",  "q_block",   "kv_block", "deterministic", "cache",
      "input",  "q",       "k",         "v",        "q_name",        "k_name",
      "v_name", "do_name", "mask_name", "layout"};
  return names;
}

std::vector<Group> expand(const SweepPlan& plan, const Defaults& defaults) {
  std::vector<Group> groups;
  std::set<std::string> seen;
  std::size_t count = 0;
  const auto add = [&](const Settings& settings) {
    for (Group& group : expand_point(settings, defaults)) {
      std::erase_if(group.cases, [&](const Case& c) { return !seen.insert(c.flags()).second; });
      count += group.cases.size();
      if (count > kMaxCases)
        throw UsageError(
            fmt::format("the sweep has more than {} cases; use shorter lists", kMaxCases));
      if (!group.cases.empty()) groups.push_back(std::move(group));
    }
  };
  if (plan.zip.empty()) add(plan.base);
  for (const Settings& point : plan.zip) {
    Settings settings = plan.base;
    for (const auto& [name, setting] : point) settings.insert_or_assign(name, setting);
    add(settings);
  }
  return groups;
}

void require_single(const SweepPlan& plan, std::string_view command) {
  if (plan.zip.size() > 1)
    throw UsageError(
        fmt::format("{} computes one case, but the config's 'zip' has {} points; bench and check "
                    "take them",
                    command, plan.zip.size()));
  const auto vet = [&](const Settings& settings) {
    for (const std::string& name : workload_names()) {
      const auto it = settings.find(name);
      if (it == settings.end()) continue;
      SweepPlan alone;
      alone.base.emplace(name, it->second);
      const Defaults defaults;
      std::size_t count = 1;
      for (const Axis& axis : problem_axes(alone.base, defaults)) count *= axis.size();
      for (const Axis& axis : execution_axes(alone.base, defaults)) count *= axis.size();
      if (count > 1)
        throw UsageError(
            fmt::format("{} takes one value in {}, got {} of them; bench and check "
                        "take lists",
                        it->second.where, command, count));
    }
  };
  vet(plan.base);
  for (const Settings& point : plan.zip) vet(point);
}

}  // namespace flashbench::sweep
