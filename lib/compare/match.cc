#include "compare/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <variant>

#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::compare {
namespace {

using report::Result;

/// The row of a report that a user calls `name`. A name that two rows have, such as that of the
/// kernel which ran and of the one that was asked for, is the first one's.
const sweep::Field& field_named(std::string_view name, std::span<const sweep::Field> table) {
  std::vector<std::string> names;
  for (const sweep::Field& f : table) {
    if (f.recorded.place == sweep::Place::kNowhere) continue;
    if (f.name == name) return f;
    if (std::find(names.begin(), names.end(), f.name) == names.end()) names.emplace_back(f.name);
  }
  const std::string hint = sweep::did_you_mean(name, names);
  throw UsageError(fmt::format("--by {} is no field of a case{}", quote(name),
                               hint.empty() ? "; use " + sweep::alternatives(names) : hint));
}

/// Takes it, and what follows from it by default, out of the record.
void erase(const sweep::Field& f, Result& r) {
  if (f.recorded.erase_followers != nullptr) f.recorded.erase_followers(r);
  if (f.recorded.get == nullptr)
    r.workload.others.erase(std::string(sweep::recorded_name(f)));
  else
    sweep::put(f, r, {});
}

std::string value_text(const sweep::Field& f, const Result& r) {
  const sweep::Value value = sweep::get(f, r);
  if (!std::holds_alternative<std::monostate>(value)) return sweep::text_of(value);
  return f.recorded.absent.empty() ? "-" : std::string(f.recorded.absent);
}

}  // namespace

Matching match(const report::Report& base, const report::Report& fresh) {
  std::map<std::string, std::deque<const Result*>> waiting;
  for (const Result& r : fresh.results) waiting[report::case_key(r)].push_back(&r);
  Matching m;
  std::vector<const Result*> taken;
  for (const Result& r : base.results) {
    std::deque<const Result*>& same = waiting[report::case_key(r)];
    if (same.empty()) {
      m.only_base.push_back(&r);
      continue;
    }
    m.both.push_back({&r, same.front()});
    taken.push_back(same.front());
    same.pop_front();
  }
  for (const Result& r : fresh.results)
    if (std::find(taken.begin(), taken.end(), &r) == taken.end()) m.only_new.push_back(&r);
  return m;
}

std::vector<Pair> match_by(const report::Report& report, std::string_view field, By by,
                           std::span<const sweep::Field> table) {
  const sweep::Field& f = field_named(field, table);
  std::map<std::string, std::vector<const Result*>> alike;
  std::vector<const std::vector<const Result*>*> in_order;
  for (const Result& r : report.results) {
    Result rest = r;
    erase(f, rest);
    if (by.and_isa) rest.isa.reset();
    auto& group = alike[fmt::format("{}|{}", sweep::case_key(rest, table), rest.deterministic)];
    if (group.empty()) in_order.push_back(&group);
    const auto same_value = [&](const Result* other) {
      return value_text(f, *other) == value_text(f, r);
    };
    if (std::none_of(group.begin(), group.end(), same_value)) group.push_back(&r);
  }
  std::vector<Pair> pairs;
  for (const auto* group : in_order)
    for (std::size_t i = 1; i < group->size(); ++i) pairs.push_back({group->front(), (*group)[i]});
  return pairs;
}

std::string nearest_text(const report::Report& report, std::string_view field,
                         std::span<const sweep::Field> table) {
  const sweep::Field& f = field_named(field, table);
  const std::size_t most = std::min<std::size_t>(report.results.size(), 200);
  std::vector<std::string> nearest;
  for (std::size_t i = 0; i < most; ++i)
    for (std::size_t j = i + 1; j < most; ++j) {
      const Result &a = report.results[i], &b = report.results[j];
      if (value_text(f, a) == value_text(f, b)) continue;
      Result one = a, other = b;
      erase(f, one);
      erase(f, other);
      std::vector<std::string> differ;
      for (const sweep::Field* row : sweep::recorded_fields(table))
        if (row->recorded.tells_apart && value_text(*row, one) != value_text(*row, other))
          differ.push_back(fmt::format("{} ({} and {})", sweep::recorded_name(*row),
                                       value_text(*row, one), value_text(*row, other)));
      if (!differ.empty() && (nearest.empty() || differ.size() < nearest.size())) nearest = differ;
    }
  return nearest.empty() ? ""
                         : fmt::format("; the nearest also differ in {}", fmt::join(nearest, ", "));
}

std::string field_value(const Result& r, std::string_view field) {
  return value_text(field_named(field, sweep::fields()), r);
}

report::Result without_field(Result r, std::string_view field) {
  const sweep::Field& f = field_named(field, sweep::fields());
  if (f.recorded.place == sweep::Place::kResult || f.recorded.get == nullptr) erase(f, r);
  return r;
}

bool interleaved(const Pair& pair) {
  return pair.base->timing && pair.fresh->timing && pair.base->pass == pair.fresh->pass &&
         report::workload_key(pair.base->workload) == report::workload_key(pair.fresh->workload) &&
         pair.base->timing->times.size() == pair.fresh->timing->times.size();
}

}  // namespace flashbench::compare
