#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/enumerators.h"
#include "sweep/field.h"
#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

/// How a row of the field table reads and prints its member of a case. `at` names the member:
/// FB_MEMBER(problem.seed)
#define FB_MEMBER(member) \
  [](auto& c) -> auto& { return c.member; }

namespace flashbench::sweep {

template <auto at>
using MemberOf = std::remove_cvref_t<decltype(at(std::declval<Case&>()))>;

/// Calls `f(item)` for every element of every comma-separated list of a setting.
template <typename F>
void for_each_item(const Setting& setting, F&& f) {
  for (const std::string& value : setting.values)
    for (const std::string& item : split_list(value, setting.where)) f(item);
}

/// Words or files: a value that names an existing file is one, commas and all.
template <typename F>
void for_each_word_or_file(const Setting& setting, F&& f) {
  for (const std::string& value : setting.values) {
    std::error_code ignored;
    if (value.find(',') != std::string::npos && std::filesystem::exists(value, ignored))
      f(value);
    else
      for (const std::string& item : split_list(value, setting.where)) f(item);
  }
}

inline constexpr Limits kAnySize{};

template <auto at, Limits limits = kAnySize>
Axis parse_sizes(const Asked& a) {
  Axis axis;
  for (const std::string& value : a.setting.values)
    for (const std::int64_t n : parse_counts(value, a.setting.where, limits))
      axis.push_back([n](Case& c) { at(c) = static_cast<MemberOf<at>>(n); });
  return axis;
}

/// What flags call a member that is absent.
inline constexpr const char* kNone = "none";

/// The same from 0 on, of a member that may be absent.
template <auto at>
Axis parse_sizes_or_none(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    if (item == kNone) {
      axis.push_back([](Case& c) { at(c).reset(); });
      return;
    }
    for (const std::int64_t n : parse_counts(item, a.setting.where, {.least = 0, .or_word = kNone}))
      axis.push_back([n](Case& c) { at(c) = n; });
  });
  return axis;
}
template <auto at>
std::string print_or_none(const Case& c) {
  return at(c) ? fmt::format("{}", *at(c)) : kNone;
}

template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;

template <typename T>
T choose(const std::string& text, const std::string& where, const Choices<T>& from) {
  std::vector<std::string> words;
  for (const auto& choice : from) {
    if (choice.first == text) return choice.second;
    words.push_back(choice.first);
  }
  throw UsageError(fmt::format("{} must be {}, got {}{}", where, alternatives(words), quote(text),
                               meant_value(text, words)));
}

template <typename T>
struct EnumOf {
  using type = T;
};
template <typename T>
struct EnumOf<std::optional<T>> {
  using type = T;
};

/// The enumerators that rows offer: all, but for the dtypes that K and V alone may be of.
template <typename T>
constexpr const auto& offered() {
  if constexpr (std::is_same_v<T, Dtype>)
    return kDtypes;
  else
    return kEnumerators<T>;
}

/// Those of the member's type, by name.
template <typename T>
Choices<T> enumerators() {
  Choices<T> all;
  for (const auto e : offered<typename EnumOf<T>::type>())
    all.emplace_back(std::string(name(e)), e);
  return all;
}

/// Their names.
template <typename T>
std::vector<std::string> words_of() {
  std::vector<std::string> words;
  for (const T e : offered<T>()) words.emplace_back(name(e));
  return words;
}

/// The same for a row.
template <typename T>
std::vector<std::string> choices_of(const Defaults&) {
  return words_of<T>();
}

template <auto at>
Axis parse_enumerators(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const auto value = choose(item, a.setting.where, enumerators<MemberOf<at>>());
    axis.push_back([value](Case& c) { at(c) = value; });
  });
  return axis;
}

template <auto at>
Axis parse_switch(const Asked& a) {
  Axis axis;
  for (const std::string& value : a.setting.values)
    // A bare flag arrives as "".
    for (const std::string& item : split_list(value.empty() ? "true" : value, a.setting.where)) {
      const bool on = parse_bool(item, a.setting.where);
      axis.push_back([on](Case& c) { at(c) = on; });
    }
  return axis;
}

struct RealLimits {
  double least = std::numeric_limits<double>::lowest(), most = std::numeric_limits<double>::max();
};
inline constexpr RealLimits kAnyReal{};
inline constexpr RealLimits kProbability{0, 1};
inline constexpr RealLimits kNotNegative{.least = 0};

template <auto at, const RealLimits& limits>
Axis parse_reals(const Asked& a) {
  Axis axis;
  for_each_item(a.setting, [&](const std::string& item) {
    const double value = parse_real(item, a.setting.where, limits.least, limits.most);
    axis.push_back([value](Case& c) { at(c) = value; });
  });
  return axis;
}

/// The one value of a setting that does not sweep, whole: a file's name may hold a comma.
inline const std::string& single_value(const Asked& a) {
  if (a.setting.values.size() != 1)
    throw UsageError(fmt::format("{} takes one value", a.setting.where));
  if (a.setting.values[0].empty())
    throw UsageError(fmt::format("{} needs a value, got an empty one", a.setting.where));
  return a.setting.values[0];
}

template <auto at>
Axis parse_single(const Asked& a) {
  if constexpr (std::is_enum_v<MemberOf<at>>) {
    const auto value = choose(single_value(a), a.setting.where, enumerators<MemberOf<at>>());
    return {[value](Case& c) { at(c) = value; }};
  } else {
    return {[value = single_value(a)](Case& c) { at(c) = value; }};
  }
}

template <typename T>
std::string plain_text(const T& v) {
  if constexpr (requires { name(v); })
    return std::string(name(v));
  else
    return fmt::format("{}", v);
}
template <typename T>
std::string plain_text(const std::optional<T>& v) {
  return v ? plain_text(*v) : "auto";
}

template <auto at>
std::string print(const Case& c) {
  return plain_text(at(c));
}

inline std::string no_label(const Case&) { return ""; }

inline std::string nothing(const CaseRecord&) { return ""; }

inline bool always(const Case&) { return true; }

/// A case of which nothing was asked.
inline const Case& usual_case() {
  static const Case usual;
  return usual;
}

template <auto at>
bool is_set(const Case& c) {
  return at(c) != at(usual_case());
}

template <auto at>
void reset_to_default(Case& c) {
  at(c) = at(usual_case());
}

template <auto at>
Value recorded_as(const Case& c) {
  if constexpr (std::is_enum_v<MemberOf<at>>)
    return std::string(name(at(c)));
  else
    return at(c);
}

// ---- members of a record ----

template <typename T>
Value value_of(const T& v) {
  return v;
}
template <typename T>
Value value_of(const std::optional<T>& v) {
  return v ? Value(*v) : Value();
}

template <typename T>
void assign(T& member, const Value& value) {
  const T* v = std::get_if<T>(&value);
  member = v != nullptr ? *v : T();
}
template <typename T>
void assign(std::optional<T>& member, const Value& value) {
  const T* v = std::get_if<T>(&value);
  member = v != nullptr ? std::optional<T>(*v) : std::nullopt;
}

template <typename T>
constexpr ValueType type_of() {
  if constexpr (std::is_same_v<T, bool>)
    return ValueType::kBoolean;
  else if constexpr (std::is_same_v<T, int>)
    return ValueType::kInt;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return ValueType::kInteger;
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return ValueType::kSeed;
  else if constexpr (std::is_same_v<T, double>)
    return ValueType::kNumber;
  else
    return ValueType::kText;
}

/// The recorded part of a row, for a member of Workload or of CaseRecord.
template <auto member>
constexpr Recorded recorded(Value (*value)(const Case&), std::string_view name = {}) {
  constexpr bool of_workload = requires(Workload w) { w.*member; };
  const auto at = [](auto& record) -> auto& {
    if constexpr (of_workload)
      return record.workload.*member;
    else
      return record.*member;
  };
  using Held = std::remove_cvref_t<decltype(at(std::declval<CaseRecord&>()))>;
  using Plain = typename EnumOf<Held>::type;  // without its optional
  Recorded r;
  r.place = of_workload ? Place::kWorkload : Place::kResult;
  r.name = name;
  r.type = type_of<Plain>();
  r.nullable = !std::is_same_v<Held, Plain>;
  r.value = value;
  r.get = [](const CaseRecord& record) { return value_of(decltype(at){}(record)); };
  r.put = [](CaseRecord& record, const Value& v) { assign(decltype(at){}(record), v); };
  return r;
}

/// The recorded part of a row for whose value Workload has no member: no arithmetic needs it. Of
/// enumerators: `words`.
template <auto at>
constexpr Recorded in_workload(Words words = nullptr) {
  Recorded r;
  r.place = Place::kWorkload;
  r.type = type_of<MemberOf<at>>();
  r.words = words;
  r.value = recorded_as<at>;
  return r;
}

constexpr Recorded erasing(Recorded r, void (*followers)(CaseRecord&)) {
  r.erase_followers = followers;
  return r;
}
constexpr Recorded between(Recorded r, double least, std::optional<double> most = {}) {
  r.least = least;
  r.most = most;
  return r;
}
constexpr Recorded one_of(Recorded r, Words words) {
  r.words = words;
  return r;
}
constexpr Recorded noted(Recorded r, std::string_view note) {
  r.note = note;
  return r;
}
constexpr Recorded not_in_key(Recorded r) {
  r.tells_apart = false;
  return r;
}

}  // namespace flashbench::sweep
