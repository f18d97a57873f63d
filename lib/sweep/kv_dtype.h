#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "sweep/parse.h"

/// How rows parse, print and record the dtype of K and V, which is that of Q unless it was given.
namespace flashbench::sweep {

inline bool has_one_dtype(const Case& c) { return c.problem.kv_dtype() == c.problem.dtype; }

/// Those that K and V alone may be of, and the others, of which --dtype is the same.
inline Axis parse_kv_dtypes(const Asked& a) {
  Choices<Dtype> all;
  for (const Dtype t : kStoredDtypes) all.emplace_back(name(t), t);
  for (const Dtype t : kDtypes) all.emplace_back(name(t), t);
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const Dtype t = choose(item, a.setting.where, all);
    axis.push_back([t](Case& c) { c.problem.own_kv_dtype = t; });
  });
  return axis;
}
inline std::string kv_dtype_text(const Case& c) { return std::string(name(c.problem.kv_dtype())); }

inline std::vector<std::string> stored_dtype_words() {
  std::vector<std::string> words;
  for (const Dtype t : kStoredDtypes) words.emplace_back(name(t));
  return words;
}

/// Reports of before the field was there lack it.
constexpr Recorded recorded_kv_dtype() {
  Recorded r;
  r.place = Place::kWorkload;
  r.type = ValueType::kText;
  r.nullable = true;
  r.words = stored_dtype_words;
  r.note = "null or absent: as dtype";
  r.value = [](const Case& c) { return has_one_dtype(c) ? Value() : Value(kv_dtype_text(c)); };
  return r;
}

}  // namespace flashbench::sweep
