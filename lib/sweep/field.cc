#include "sweep/field.h"

#include <fmt/format.h>

#include <algorithm>

#include "sweep/expand.h"
#include "sweep/rows.h"
#include "sweep/shown.h"
#include "sweep/text.h"
#include "system/quote.h"

namespace flashbench::sweep {
namespace {

template <typename Keep>
std::string line_of(const Case& c, std::span<const Field> table, Keep&& keep) {
  std::vector<const Field*> rows;
  for (const Field& f : table)
    if (f.parse != nullptr && f.said(c) && keep(f)) rows.push_back(&f);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Field* a, const Field* b) { return a->rank.line < b->rank.line; });
  std::string line;
  for (const Field* f : rows) {
    line += fmt::format("{}--{}", line.empty() ? "" : " ", f->name);
    if (!f->value.empty()) line += fmt::format(" {}", shell_word(f->text(c)));
  }
  return line;
}

std::string key_of(const CaseRecord& record, std::span<const Field> table, Place place) {
  const char separator = place == Place::kWorkload ? ',' : '|';
  std::string key;
  for (const Field* f : recorded_fields(table)) {
    if (f->recorded.place != place || !f->recorded.tells_apart) continue;
    if (!key.empty()) key += separator;
    key += text_of(get(*f, record));
  }
  return key;
}

}  // namespace

std::string text_of(const Value& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return "";
        else if constexpr (std::is_same_v<T, std::string>)
          return v;
        else if constexpr (std::is_same_v<T, bool>)
          return v ? "true" : "false";
        else
          return fmt::format("{}", v);
      },
      value);
}

std::span<const Field> fields() {
  static const std::vector<Field> table = [] {
    std::vector<Field> all;
    for (const std::span<const Field> rows :
         {problem_rows(), score_rows(), tensor_rows(), execution_rows()})
      all.insert(all.end(), rows.begin(), rows.end());
    return all;
  }();
  return table;
}

std::string help_text(const Field& f, const Defaults& defaults) {
  if (f.words == nullptr) return std::string(f.help);
  return fmt::format(fmt::runtime(f.help), alternatives(f.words(defaults)));
}

std::string label(const Field& f, const Case& c) {
  if (f.label != nullptr) return f.label(c);
  return std::string(f.shown.abbreviation.empty() ? f.name : f.shown.abbreviation) + f.text(c);
}

const Field* find_field(std::span<const Field> table, std::string_view name) {
  for (const Field& f : table)
    if (f.name == name && f.parse != nullptr) return &f;
  return nullptr;
}

std::vector<const Field*> recorded_fields(std::span<const Field> table) {
  std::vector<const Field*> rows;
  for (const Field& f : table)
    if (f.recorded.place != Place::kNowhere) rows.push_back(&f);
  std::stable_sort(rows.begin(), rows.end(), [](const Field* a, const Field* b) {
    if (a->recorded.place != b->recorded.place) return a->recorded.place == Place::kWorkload;
    return a->rank.column < b->rank.column;
  });
  return rows;
}

std::string_view recorded_name(const Field& f) {
  return f.recorded.name.empty() ? f.name : f.recorded.name;
}

std::string meant_value(const std::string& text, const std::vector<std::string>& words) {
  if (std::string near = did_you_mean(text, words); !near.empty()) return near;
  for (const Field& f : fields()) {
    if (f.words == nullptr) continue;
    if (const std::string word = closest(text, f.words(Defaults{})); !word.empty())
      return fmt::format("; did you mean '--{} {}'?", f.name, word);
  }
  return "";
}

Value usual(const Field& f) {
  return f.recorded.value == nullptr ? Value() : f.recorded.value(Case{});
}

Value get(const Field& f, const CaseRecord& record) {
  if (f.recorded.get != nullptr) return f.recorded.get(record);
  const auto& others = record.workload.others;
  const auto it = others.find(recorded_name(f));
  return it == others.end() ? usual(f) : it->second;
}

void put(const Field& f, CaseRecord& record, const Value& value) {
  if (f.recorded.put != nullptr) return f.recorded.put(record, value);
  const bool is_null = std::holds_alternative<std::monostate>(value);
  record.workload.others.insert_or_assign(std::string(recorded_name(f)),
                                          is_null ? usual(f) : value);
}

CaseRecord record_of(const Case& c, std::span<const Field> table) {
  CaseRecord record;
  for (const Field* f : recorded_fields(table))
    if (f->recorded.value != nullptr) put(*f, record, f->recorded.value(c));
  return record;
}

Features needed(const Case& c, std::span<const Field> table) {
  Features all;
  const auto is_usual = [&](const Field& f) {
    return f.follows != nullptr ? f.follows(c) : f.text(c) == f.text(Case{});
  };
  for (const Field& f : table)
    if (f.needs && !is_usual(f)) all.add(*f.needs);
  return all;
}

CaseRecord record_of(const Workload& w) {
  CaseRecord record;
  record.workload = w;
  return record;
}

std::string flags(const Case& c, std::span<const Field> table) {
  return line_of(c, table, [](const Field&) { return true; });
}

std::string flags(const Problem& p, std::span<const Field> table) {
  Case c;
  c.problem = p;
  return line_of(c, table, poses_the_problem);
}

std::string workload_key(const Workload& w, std::span<const Field> table) {
  return key_of(record_of(w), table, Place::kWorkload);
}

std::string case_key(const CaseRecord& record, std::span<const Field> table) {
  return workload_key(record.workload, table) + "|" + key_of(record, table, Place::kResult);
}

}  // namespace flashbench::sweep
