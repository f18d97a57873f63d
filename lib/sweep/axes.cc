#include "sweep/axes.h"

#include <algorithm>

namespace flashbench::sweep {

std::vector<Axis> axes(const Settings& settings, const Defaults& defaults, Varies varies,
                       std::span<const Field> table) {
  std::vector<const Field*> rows;
  for (const Field& f : table)
    if (f.parse != nullptr && f.varies == varies) rows.push_back(&f);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Field* a, const Field* b) { return a->rank.nest < b->rank.nest; });
  std::vector<Axis> all;
  for (const Field* f : rows) {
    Axis axis;
    if (const auto setting = settings.find(f->name); setting != settings.end())
      axis = f->parse({setting->second, settings, defaults});
    else if (f->unset != nullptr)
      axis = f->unset(defaults);
    if (!axis.empty()) all.push_back(std::move(axis));
  }
  return all;
}

Case base_case(const Settings& settings, const Defaults& defaults, std::span<const Field> table) {
  Case c;
  Problem& p = c.problem;
  p.shape = defaults.shape;
  p.shape.h_kv = p.shape.kv_len = 0;
  p.pass = defaults.pass;
  for (const Field& f : table)
    if (f.parse != nullptr && f.varies == Varies::kNever)
      if (const auto setting = settings.find(f.name); setting != settings.end())
        for (const auto& set : f.parse({setting->second, settings, defaults})) set(c);
  return c;
}

}  // namespace flashbench::sweep
