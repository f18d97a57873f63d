#include "sweep/shown.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "system/quote.h"

namespace flashbench::sweep {
namespace {

/// How a column says several fields at once.
struct Joint {
  std::string_view title;
  std::string_view separator;
  std::string_view none;  ///< where every field is as usual
  std::string (*phrase)(const std::string& cell);
};

std::string as_it_is(const std::string& cell) { return cell; }
std::string mask_phrase(const std::string& cell) {
  if (cell == "none") return "no mask";
  constexpr std::string_view kRandom = "random ", kFile = "file";
  std::string text;
  for (std::size_t begin = 0; begin < cell.size();) {  // "causal+random 0.5"
    const std::size_t end = std::min(cell.find('+', begin), cell.size());
    const std::string part = cell.substr(begin, end - begin);
    text += text.empty() ? "" : "+";
    if (part.starts_with(kRandom))
      text += fmt::format("random key-padding mask (keeps {})", part.substr(kRandom.size()));
    else
      text += part == kFile ? "key-padding mask of a file" : part;
    begin = end + 1;
  }
  return text;
}

constexpr Joint kJoint[] = {
    {"workload", " ", "", as_it_is},
    {"mask", "+", "none", mask_phrase},
};

const Joint* joint_of(std::string_view title) {
  for (const Joint& j : kJoint)
    if (j.title == title) return &j;
  return nullptr;
}

std::string_view column_of(const Field& f) {
  return f.shown.column.empty() ? recorded_name(f) : f.shown.column;
}

bool is_switch(const Field& f) { return f.recorded.type == ValueType::kBoolean; }

/// "2 threads", "1 thread", "1 query", "cold cache", "window left 127"; of a switch its name.
std::string phrase_of(const Field& f, const std::string& text) {
  if (text.empty()) return "";
  if (is_switch(f)) return std::string(recorded_name(f));
  if (f.shown.phrase.empty()) return fmt::format("{} {}", recorded_name(f), text);
  std::string phrase = fmt::format(fmt::runtime(f.shown.phrase), text);
  if (text != "1" || !phrase.ends_with('s')) return phrase;
  if (phrase.ends_with("ies")) return phrase.replace(phrase.size() - 3, 3, "y");
  phrase.pop_back();
  return phrase;
}

std::string own_text(const Field& f, const CaseRecord& record) {
  if (f.shown.cell != nullptr) return f.shown.cell(record);
  const Value value = get(f, record);
  if (!f.shown.always && value == usual(f)) return "";
  return is_switch(f) ? "yes" : text_of(value);
}

}  // namespace

bool poses_the_problem(const Field& f) {
  return f.heading == Heading::kWorkload || f.heading == Heading::kTensors;
}

std::string Column::cell(const CaseRecord& record) const {
  const Joint* joint = joint_of(title);
  if (joint == nullptr) return escape(own_text(*fields.front(), record));
  std::vector<std::string> parts;
  for (const Field* f : fields) {
    std::string text = own_text(*f, record);
    if (f->shown.cell == nullptr) text = phrase_of(*f, text);
    if (!text.empty()) parts.push_back(std::move(text));
  }
  return parts.empty() ? std::string(joint->none)
                       : fmt::format("{}", fmt::join(parts, joint->separator));
}

std::string Column::phrase(const std::string& cell) const {
  const Joint* joint = joint_of(title);
  return joint != nullptr ? joint->phrase(cell) : phrase_of(*fields.front(), cell);
}

bool Column::is_usual(const std::string& cell) const {
  const Joint* joint = joint_of(title);
  return cell.empty() || (joint != nullptr && cell == joint->none);
}

std::string Column::brief(const std::string& cell) const {
  return joint_of(title) != nullptr ? cell : phrase(cell);
}

bool Column::is_number() const {
  if (joint_of(title) != nullptr) return false;
  const ValueType type = fields.front()->recorded.type;
  return type != ValueType::kText && type != ValueType::kBoolean;
}

std::vector<Column> columns(std::span<const Field> table) {
  std::vector<const Field*> rows;
  for (const Field& f : table)
    if (f.recorded.place != Place::kNowhere && f.shown.column != kNoColumn) rows.push_back(&f);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Field* a, const Field* b) { return a->rank.shown < b->rank.shown; });
  std::vector<Column> all;
  for (const Field* f : rows) {
    auto column = std::find_if(all.begin(), all.end(),
                               [&](const Column& c) { return c.title == column_of(*f); });
    if (column == all.end()) column = all.insert(column, {std::string(column_of(*f)), {}});
    column->fields.push_back(f);
  }
  return all;
}

std::string column_text(std::string_view title, const CaseRecord& record,
                        std::span<const Field> table) {
  for (const Column& c : columns(table))
    if (c.title == title) return c.cell(record);
  return "";
}

std::string column_phrase(std::string_view title, const CaseRecord& record,
                          std::span<const Field> table) {
  for (const Column& c : columns(table))
    if (c.title == title) return c.phrase(c.cell(record));
  return "";
}

std::string described(const CaseRecord& record, bool (*keep)(const Field&),
                      std::span<const Field> table) {
  std::vector<std::string> parts;
  for (Column& c : columns(table)) {
    if (keep != nullptr) std::erase_if(c.fields, [&](const Field* f) { return !keep(*f); });
    if (c.fields.empty()) continue;
    if (const std::string cell = c.cell(record); !c.is_usual(cell)) parts.push_back(c.brief(cell));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string others_text(const CaseRecord& record, std::span<const Field> table) {
  const auto carried = [](const Field& f) {
    return f.recorded.get == nullptr && joint_of(column_of(f)) == nullptr;
  };
  const std::string text = described(record, carried, table);
  return text.empty() ? "" : ", " + text;
}

}  // namespace flashbench::sweep
