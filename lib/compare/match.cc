#include "compare/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::compare {
namespace {

using report::Result;

/// A field says what is computed, or how.
enum class Part { kWhat, kHow };

/// One way in which cases of a report may differ.
struct Field {
  std::string_view name;
  Part part;
  std::string (*value)(const Result&);
  void (*erase)(Result&);  ///< takes it, and what follows from it by default, out of the key
};

template <typename T>
std::string text(const T& v) {
  return fmt::format("{}", v);
}
template <typename T>
std::string text(const std::optional<T>& v) {
  return v ? fmt::format("{}", *v) : "-";
}

void erase_heads(Result& r) {
  if (r.workload.h_kv == r.workload.h) r.workload.h_kv = 0;
  r.workload.h = 0;
}
void erase_queries(Result& r) {
  if (r.workload.kv_len == r.workload.q_len) r.workload.kv_len = 0;
  r.workload.q_len = 0;
}
void erase_dim(Result& r) {
  const double usual = 1 / std::sqrt(static_cast<double>(r.workload.d));
  if (std::abs(r.workload.scale - usual) <= 1e-6 * usual) r.workload.scale = 0;
  r.workload.d = 0;
}
void erase_mask(Result& r) {
  r.workload.mask.clear();
  r.workload.mask_keep.reset();
}
void erase_backend(Result& r) {
  r.backend.clear();
  r.isa.reset();
  r.threads.reset();
  r.device.reset();
}
void erase_type(Result& r) {
  r.type.clear();
  r.kernel_request.reset();
}

const Field kFields[] = {
    {"type", Part::kHow, [](const Result& r) { return r.type; }, erase_type},
    {"isa", Part::kHow, [](const Result& r) { return text(r.isa); },
     [](Result& r) { r.isa.reset(); }},
    {"threads", Part::kHow, [](const Result& r) { return text(r.threads); },
     [](Result& r) { r.threads.reset(); }},
    {"dtype", Part::kWhat, [](const Result& r) { return r.workload.dtype; },
     [](Result& r) { r.workload.dtype.clear(); }},
    {"backend", Part::kHow, [](const Result& r) { return r.backend; }, erase_backend},
    {"device", Part::kHow, [](const Result& r) { return text(r.device); },
     [](Result& r) { r.device.reset(); }},
    {"kernel", Part::kHow, [](const Result& r) { return text(r.kernel); },
     [](Result& r) { r.kernel_request.reset(); }},
    {"cache", Part::kHow, [](const Result& r) { return r.cache; },
     [](Result& r) { r.cache.clear(); }},
    {"deterministic", Part::kHow, [](const Result& r) { return text(r.deterministic); },
     [](Result& r) { r.deterministic = false; }},
    {"pass", Part::kHow, [](const Result& r) { return r.pass; }, [](Result& r) { r.pass.clear(); }},
    {"causal", Part::kWhat, [](const Result& r) { return text(r.workload.causal); },
     [](Result& r) { r.workload.causal = false; }},
    {"mask", Part::kWhat, [](const Result& r) { return r.workload.mask; }, erase_mask},
    {"mask_keep", Part::kWhat, [](const Result& r) { return text(r.workload.mask_keep); },
     [](Result& r) { r.workload.mask_keep.reset(); }},
    {"b", Part::kWhat, [](const Result& r) { return text(r.workload.b); },
     [](Result& r) { r.workload.b = 0; }},
    {"h", Part::kWhat, [](const Result& r) { return text(r.workload.h); }, erase_heads},
    {"h_kv", Part::kWhat, [](const Result& r) { return text(r.workload.h_kv); },
     [](Result& r) { r.workload.h_kv = 0; }},
    {"q_len", Part::kWhat, [](const Result& r) { return text(r.workload.q_len); }, erase_queries},
    {"kv_len", Part::kWhat, [](const Result& r) { return text(r.workload.kv_len); },
     [](Result& r) { r.workload.kv_len = 0; }},
    {"d", Part::kWhat, [](const Result& r) { return text(r.workload.d); }, erase_dim},
    {"scale", Part::kWhat, [](const Result& r) { return text(r.workload.scale); },
     [](Result& r) { r.workload.scale = 0; }},
    {"seed", Part::kWhat, [](const Result& r) { return text(r.workload.seed); },
     [](Result& r) { r.workload.seed = 0; }},
    {"input", Part::kWhat, [](const Result& r) { return r.workload.input; },
     [](Result& r) { r.workload.input.clear(); }},
};

const Field& field_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Field& f : kFields) {
    if (f.name == name) return f;
    names.emplace_back(f.name);
  }
  throw UsageError(fmt::format("--by {} is no field of a case; use {}", quote(name),
                               sweep::alternatives(names)));
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

std::vector<Pair> match_by(const report::Report& report, std::string_view field) {
  const Field& f = field_named(field);
  std::map<std::string, std::vector<const Result*>> alike;
  std::vector<const std::vector<const Result*>*> in_order;
  for (const Result& r : report.results) {
    Result rest = r;
    f.erase(rest);
    auto& group = alike[fmt::format("{}|{}", report::case_key(rest), rest.deterministic)];
    if (group.empty()) in_order.push_back(&group);
    const auto same_value = [&](const Result* other) { return f.value(*other) == f.value(r); };
    if (std::none_of(group.begin(), group.end(), same_value)) group.push_back(&r);
  }
  std::vector<Pair> pairs;
  for (const auto* group : in_order)
    for (std::size_t i = 1; i < group->size(); ++i) pairs.push_back({group->front(), (*group)[i]});
  return pairs;
}

std::string field_value(const Result& r, std::string_view field) {
  return field_named(field).value(r);
}

report::Result without_field(Result r, std::string_view field) {
  const Field& f = field_named(field);
  if (f.part == Part::kHow) f.erase(r);
  return r;
}

bool interleaved(const Pair& pair) {
  return pair.base->timing && pair.fresh->timing && pair.base->pass == pair.fresh->pass &&
         report::workload_key(pair.base->workload) == report::workload_key(pair.fresh->workload) &&
         pair.base->timing->times.size() == pair.fresh->timing->times.size();
}

}  // namespace flashbench::compare
