#include "sweep/expand.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

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

/// What was left out follows what was given.
void fill_what_follows(Problem& p, const Settings& settings, const Defaults& defaults) {
  if (p.shape.h_kv == 0) p.shape.h_kv = p.shape.h;
  if (p.shape.kv_len == 0) p.shape.kv_len = p.shape.q_len;
  if (defaults.pass_follows && !settings.contains("pass") && !can_have_gradients(p))
    p.pass = Pass::kForward;
}

/// One problem has one name: to see no key after one's own is causal.
void name_as_causal(Problem& p) {
  if (p.window_right != 0) return;
  p.causal = true;
  p.window_right.reset();
}

/// What has no effect on a case does not tell cases apart.
void reset_what_has_no_effect(Case& c, Varies varies, std::span<const Field> table) {
  for (const Field& f : table)
    if (f.varies == varies && f.has_effect != nullptr && !f.has_effect(c)) f.reset(c);
}

void refuse_invalid(const Problem& p) {
  if (p.files.any() || p.ragged == Ragged::kFile) return;  // the shape comes from the files
  if (const auto rejection = invalid(p)) throw UsageError(rejection->reason);
}

/// A kernel is asked about what core/features.h sees in a problem. A row that needs more would have
/// it compute what it does not know.
void require_seen(const Case& c, std::span<const Field> table) {
  const Features unseen = needed(c, table) - used(c.problem);
  for (const Feature f : kEnumerators<Feature>)
    if (unseen.has(f))
      throw std::logic_error(
          fmt::format("a field needs {}, which uses() of core/features.h does not see", flag(f)));
}

/// A flag that changes nothing in any of the cases is a mistake worth a word.
void refuse_idle(const Settings& settings, const std::vector<Group>& groups,
                 std::span<const Field> table) {
  for (const Field& f : table) {
    const auto setting = settings.find(f.name);
    if (f.idle.empty() || setting == settings.end()) continue;
    const bool any = std::any_of(groups.begin(), groups.end(), [&](const Group& g) {
      return std::any_of(g.cases.begin(), g.cases.end(), f.has_effect);
    });
    if (!any) throw UsageError(fmt::format("{} {}", setting->second.where, f.idle));
  }
}

void refuse_device_without_use(const Case& c, const Defaults& defaults) {
  for (const BackendInfo& b : defaults.backends)
    if (c.device && c.backend == b.id && !b.takes_device())
      throw UsageError(
          fmt::format("--device {} selects a GPU and --backend {} has none; leave one of them out",
                      device_text(*c.device), name(b.id)));
}

std::vector<Group> expand_point(const Settings& settings, const Defaults& defaults,
                                std::span<const Field> table) {
  const std::vector<Axis> problems = axes(settings, defaults, Varies::kBetweenGroups, table);
  const std::vector<Axis> executions = axes(settings, defaults, Varies::kWithinGroup, table);
  if (combinations(problems) * combinations(executions) > kMaxCases)
    throw UsageError(fmt::format("the sweep has more than {} cases; use shorter lists", kMaxCases));
  std::vector<Group> groups;
  for_each_combination(problems, base_case(settings, defaults, table), [&](Case c) {
    fill_what_follows(c.problem, settings, defaults);
    name_as_causal(c.problem);
    reset_what_has_no_effect(c, Varies::kBetweenGroups, table);
    refuse_invalid(c.problem);
    require_seen(c, table);
    Group group;
    for_each_combination(executions, c, [&](Case how) {
      reset_what_has_no_effect(how, Varies::kWithinGroup, table);
      refuse_device_without_use(how, defaults);
      group.cases.push_back(std::move(how));
    });
    groups.push_back(std::move(group));
  });
  return groups;
}

}  // namespace

bool names_guest(const Settings& settings, AttentionType type) {
  if (!is_guest(type)) return false;
  return settings.contains(name(type)) ||
         (type == AttentionType::kPlugin && settings.contains("ptx"));
}

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Field& f : fields())
      if (f.parse != nullptr) all.emplace_back(f.name);
    return all;
  }();
  return names;
}

/// `again` is one of the group's cases, as another part of the model: its layers count there, too.
void join_parts(Group& group, const Case& again, std::span<const Field> table) {
  for (Case& c : group.cases) {
    if (c.part.name == again.part.name || !c.part.layers || !again.part.layers ||
        flags(c, table) != flags(again, table))
      continue;
    *c.part.layers += *again.part.layers;
    c.part.name += " + " + again.part.name;
  }
}

std::vector<Group> expand(const SweepPlan& plan, const Defaults& defaults,
                          std::span<const Field> table) {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> seen;  // flags, and the group that has them
  std::size_t count = 0;
  const auto add = [&](const Settings& settings, const Settings& own, const Part& part) {
    std::vector<Group> expanded = expand_point(settings, defaults, table);
    for (Group& group : expanded)
      for (Case& c : group.cases) c.part = part;
    refuse_idle(own, expanded, table);
    for (Group& group : expanded) {
      std::erase_if(group.cases, [&](const Case& c) {
        const auto [place, is_new] = seen.try_emplace(flags(c, table), groups.size());
        if (!is_new && place->second < groups.size()) join_parts(groups[place->second], c, table);
        return !is_new;
      });
      count += group.cases.size();
      if (count > kMaxCases)
        throw UsageError(
            fmt::format("the sweep has more than {} cases; use shorter lists", kMaxCases));
      if (!group.cases.empty()) groups.push_back(std::move(group));
    }
  };
  if (plan.zip.empty()) add(plan.base, {}, plan.part);
  for (std::size_t n = 0; n < plan.zip.size(); ++n) {
    Settings settings = plan.base;
    for (const auto& [name, setting] : plan.zip[n]) settings.insert_or_assign(name, setting);
    add(settings, plan.zip[n], plan.zip_parts.empty() ? plan.part : plan.zip_parts[n]);
  }
  refuse_idle(plan.base, groups, table);
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
      for (const Varies varies : {Varies::kBetweenGroups, Varies::kWithinGroup})
        for (const Axis& axis : axes(alone.base, defaults, varies, fields())) count *= axis.size();
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
