#include "report/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <variant>

#include "sweep/expand.h"

namespace flashbench::report {
namespace {

using Json = nlohmann::ordered_json;
using sweep::Field;
using Table = std::span<const Field>;

constexpr std::string_view kFieldsOf = "@fields of ", kWordsOf = "@words of ";

std::optional<std::string> after(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return std::string(text.substr(prefix.size()));
}

sweep::Place place_named(const std::string& name) {
  if (name == "workload") return sweep::Place::kWorkload;
  if (name == "result") return sweep::Place::kResult;
  throw std::runtime_error(fmt::format("the schema's outline asks for the fields of '{}'", name));
}

std::vector<const Field*> rows_of(const std::string& place, Table table) {
  std::vector<const Field*> rows = sweep::recorded_fields(table);
  std::erase_if(rows, [&](const Field* f) { return f->recorded.place != place_named(place); });
  return rows;
}

const char* type_name(sweep::ValueType type) {
  switch (type) {
    case sweep::ValueType::kBoolean:
      return "boolean";
    case sweep::ValueType::kInt:
    case sweep::ValueType::kInteger:
    case sweep::ValueType::kSeed:
      return "integer";
    case sweep::ValueType::kNumber:
      return "number";
    case sweep::ValueType::kText:
      return "string";
  }
  no_such_enumerator();
}

/// "x-of": what the field belongs to.
const char* owner_text(const Field& f) {
  switch (f.heading) {
    case sweep::Heading::kWorkload:
    case sweep::Heading::kTensors:
      return "problem";
    case sweep::Heading::kExecution:
      return "execution";
    case sweep::Heading::kTiming:
      return "timing";
  }
  no_such_enumerator();
}

/// A whole number without its fraction.
Json number(double value) {
  const auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

/// The place of a row where fields are listed for people.
std::size_t order_of(const Field& f, Table table) {
  std::vector<const Field*> rows;
  for (const Field& row : table)
    if (row.recorded.place != sweep::Place::kNowhere) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Field* a, const Field* b) { return a->rank.shown < b->rank.shown; });
  return static_cast<std::size_t>(std::find(rows.begin(), rows.end(), &f) - rows.begin());
}

void add_remarks(Json& out, const Field& f, Table table) {
  const sweep::Shown& shown = f.shown;
  if (!shown.title.empty()) out["title"] = shown.title;
  if (f.recorded.value != nullptr && f.follows == nullptr)
    out["default"] = std::visit(
        [](const auto& v) -> Json {
          if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::monostate>)
            return nullptr;
          else
            return v;
        },
        sweep::usual(f));
  out["x-of"] = owner_text(f);
  if (f.parse == nullptr)
    out["x-flag"] = nullptr;
  else if (f.name != sweep::recorded_name(f))
    out["x-flag"] = f.name;
  out["x-key"] = f.recorded.tells_apart;
  out["x-order"] = order_of(f, table);
  if (!shown.phrase.empty()) out["x-phrase"] = shown.phrase;
  if (shown.axis > 0) {
    out["x-short"] =
        fmt::format("{}{{}}", shown.abbreviation.empty() ? f.name : shown.abbreviation);
    out["x-axis"] = shown.axis;
  } else if (!shown.column.empty() && shown.column != sweep::kNoColumn) {
    out["x-column"] = shown.column;
  }
  if (shown.always) out["x-always"] = true;
  if (!shown.follows.empty()) out["x-follows"] = shown.follows;
}

Json property(const Field& f, Table table) {
  const sweep::Recorded& r = f.recorded;
  Json out = Json::object();
  out["type"] = type_name(r.type);
  if (r.nullable) out["type"] = Json::array({out["type"], "null"});
  if (r.least) out["minimum"] = number(*r.least);
  if (r.most) out["maximum"] = number(*r.most);
  if (r.words != nullptr) {
    out["enum"] = r.words();
    if (r.nullable) out["enum"].push_back(nullptr);
  }
  if (!r.note.empty()) out["description"] = r.note;
  add_remarks(out, f, table);
  return out;
}

/// The words of a row, and null where the property may be null.
Json words(const std::string& name, const Json& type, Table table) {
  const Field* f = sweep::find_field(table, name);
  if (f == nullptr || f->words == nullptr)
    throw std::runtime_error(fmt::format("the schema's outline asks for the words of '{}'", name));
  Json all = f->words({});
  if (type.is_array() && std::find(type.begin(), type.end(), "null") != type.end())
    all.push_back(nullptr);
  return all;
}

Json filled(const Json& outline, Table table);

Json filled_object(const Json& outline, Table table) {
  Json out = Json::object();
  for (const auto& [key, value] : outline.items()) {
    if (const auto place = after(kFieldsOf, key)) {
      for (const Field* f : rows_of(*place, table))
        out[std::string(sweep::recorded_name(*f))] = property(*f, table);
    } else if (const auto row =
                   value.is_string() ? after(kWordsOf, value.get<std::string>()) : std::nullopt) {
      out[key] = words(*row, outline.value("type", Json()), table);
    } else {
      out[key] = filled(value, table);
    }
  }
  return out;
}

/// Reports may lack what no member holds: it came later.
Json filled_array(const Json& outline, Table table) {
  Json out = Json::array();
  for (const Json& value : outline) {
    const auto place =
        value.is_string() ? after(kFieldsOf, value.get<std::string>()) : std::nullopt;
    if (!place) {
      out.push_back(filled(value, table));
      continue;
    }
    for (const Field* f : rows_of(*place, table))
      if (f->recorded.get != nullptr) out.push_back(sweep::recorded_name(*f));
  }
  return out;
}

Json filled(const Json& outline, Table table) {
  if (outline.is_object()) return filled_object(outline, table);
  if (outline.is_array()) return filled_array(outline, table);
  return outline;
}

// ---- text: on one line what fits there, lists of words filled ----

constexpr std::size_t kWidth = 100;

std::string on_one_line(const Json& j) {
  if (!j.is_structured()) return j.dump();
  std::vector<std::string> parts;
  for (const auto& [key, value] : j.items())
    parts.push_back((j.is_object() ? Json(key).dump() + ": " : "") + on_one_line(value));
  const std::string inside = fmt::format("{}", fmt::join(parts, ", "));
  return j.is_object() ? "{" + inside + "}" : "[" + inside + "]";
}

std::string filled_lines(const Json& list, const std::string& indent) {
  std::string text, line = indent;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string word = list[i].dump() + (i + 1 < list.size() ? "," : "");
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kWidth) {
      text += line + "\n";
      line = indent;
    }
    line += (line.size() > indent.size() ? " " : "") + word;
  }
  return text + line + "\n";
}

/// `used`: columns of the first line that stand before it, a comma behind it included.
std::string pretty(const Json& j, const std::string& indent, std::size_t used) {
  std::string line = on_one_line(j);
  if (!j.is_structured() || used + line.size() <= kWidth) return line;
  const std::string deeper = indent + "  ";
  const bool plain = std::none_of(j.begin(), j.end(), [](auto& v) { return v.is_structured(); });
  if (j.is_array() && plain) return "[\n" + filled_lines(j, deeper) + indent + "]";
  std::string text;
  for (const auto& [key, value] : j.items()) {
    const std::string name = j.is_object() ? Json(key).dump() + ": " : "";
    text += (text.empty() ? "" : ",\n") + deeper + name +
            pretty(value, deeper, deeper.size() + name.size() + 1);
  }
  text += "\n" + indent;
  return j.is_object() ? "{\n" + text + "}" : "[\n" + text + "]";
}

}  // namespace

std::string schema_text(const Json& outline, Table table) {
  return pretty(filled(outline, table), "", 0) + "\n";
}

}  // namespace flashbench::report
