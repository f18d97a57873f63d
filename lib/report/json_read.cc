#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "report/fields.h"
#include "report/json.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/strict_json.h"
#include "system/text_file.h"

namespace flashbench::report {
namespace {

using Json = nlohmann::json;

/// Where in the report a value stands, for messages: "results[3].workload.q_len".
struct At {
  std::string_view source;
  std::string path;

  At key(const std::string& name) const {
    return {source, path.empty() ? name : path + "." + name};
  }
  At item(std::size_t i) const { return {source, fmt::format("{}[{}]", path, i)}; }

  [[noreturn]] void fail(std::string_view wanted, const Json& got) const {
    std::string text = got.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() > 40) text = text.substr(0, 37) + "...";
    throw UsageError(fmt::format("{}: {} must be {}, got {}", source,
                                 path.empty() ? "the report" : "'" + path + "'", wanted, text));
  }
};

void read(const Json& j, double& out, const At& at) {
  if (!j.is_number()) at.fail("a number", j);
  out = j.get<double>();
}
void read(const Json& j, bool& out, const At& at) {
  if (!j.is_boolean()) at.fail("true or false", j);
  out = j.get<bool>();
}
void read(const Json& j, std::uint64_t& out, const At& at) {
  if (!j.is_number_unsigned()) at.fail("an integer from 0 to 2^64 - 1", j);
  out = j.get<std::uint64_t>();
}
void read(const Json& j, std::int64_t& out, const At& at) {
  const bool fits = j.is_number_unsigned()
                        ? j.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max()
                        : j.is_number_integer();
  if (!fits) at.fail("an integer", j);
  out = j.get<std::int64_t>();
}
void read(const Json& j, int& out, const At& at) {
  std::int64_t wide = 0;
  read(j, wide, at);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max())
    at.fail("an integer of 32 bits", j);
  out = static_cast<int>(wide);
}
void read(const Json& j, std::string& out, const At& at) {
  if (!j.is_string()) at.fail("a string", j);
  out = j.get<std::string>();
}
/// An enumerator by its name.
template <typename E>
requires std::is_enum_v<E>
void read(const Json& j, E& out, const At& at) {
  std::vector<std::string> names;
  for (const E e : kEnumerators<E>) {
    if (j == name(e)) {
      out = e;
      return;
    }
    names.emplace_back(name(e));
  }
  at.fail(sweep::alternatives(names), j);
}
void read(const Json& j, Workload& out, const At& at);
template <HasFields T>
void read(const Json& j, T& out, const At& at);
template <typename T>
void read(const Json& j, std::optional<T>& out, const At& at);
template <typename T>
void read(const Json& j, std::vector<T>& out, const At& at);
template <typename T, std::size_t n>
void read(const Json& j, std::array<T, n>& out, const At& at);
template <typename T>
void read(const Json& j, std::map<std::string, T>& out, const At& at);

template <typename T>
sweep::Value read_as(const Json& j, const At& at) {
  T v{};
  read(j, v, at);
  return v;
}

sweep::Value read_value(sweep::ValueType type, const Json& j, const At& at) {
  switch (type) {
    case sweep::ValueType::kBoolean:
      return read_as<bool>(j, at);
    case sweep::ValueType::kInt:
      return read_as<int>(j, at);
    case sweep::ValueType::kInteger:
      return read_as<std::int64_t>(j, at);
    case sweep::ValueType::kSeed:
      return read_as<std::uint64_t>(j, at);
    case sweep::ValueType::kNumber:
      return read_as<double>(j, at);
    case sweep::ValueType::kText:
      return read_as<std::string>(j, at);
  }
  no_such_enumerator();
}

/// What a row says of its values beside their type; the schema says it too.
void vet(const sweep::Recorded& recorded, const Json& j, const At& at) {
  if (recorded.words != nullptr) {
    const std::vector<std::string> words = recorded.words();
    if (std::find(words.begin(), words.end(), j) == words.end())
      at.fail(sweep::alternatives(words), j);
  }
  if (recorded.least && j.get<double>() < *recorded.least)
    at.fail(fmt::format("at least {}", *recorded.least), j);
  if (recorded.most && j.get<double>() > *recorded.most)
    at.fail(fmt::format("at most {}", *recorded.most), j);
}

[[noreturn]] void fail_missing(const std::string& name, const At& at) {
  throw UsageError(fmt::format("{}: '{}' is missing; was it written by flashbench --json?",
                               at.source, at.key(name).path));
}

/// A report of an earlier program lacks fields that came later, and has their defaults.
void read_recorded(const Json& object, sweep::CaseRecord& out, sweep::Place place, const At& at,
                   std::span<const sweep::Field> table) {
  for (const sweep::Field* f : sweep::recorded_fields(table)) {
    if (f->recorded.place != place) continue;
    const std::string name(sweep::recorded_name(*f));
    const auto found = object.find(name);
    const bool may_lack = f->recorded.nullable || f->recorded.get == nullptr;
    if (found == object.end() && !may_lack) fail_missing(name, at);
    if (found == object.end() || (found->is_null() && f->recorded.nullable))
      sweep::put(*f, out, {});
    else {
      sweep::put(*f, out, read_value(f->recorded.type, *found, at.key(name)));
      vet(f->recorded, *found, at.key(name));
    }
  }
}

/// Two workloads that differ in a field which this program does not know would pass for one.
void refuse_unknown(const Json& workload, const At& at, std::span<const sweep::Field> table) {
  const std::vector<const sweep::Field*> known = sweep::recorded_fields(table);
  for (const auto& [key, value] : workload.items())
    if (!value.is_null() && std::none_of(known.begin(), known.end(), [&](const sweep::Field* f) {
          return f->recorded.place == sweep::Place::kWorkload && sweep::recorded_name(*f) == key;
        }))
      throw UsageError(
          fmt::format("{}: {} is no field that this flashbench knows; read the report "
                      "with the one that wrote it",
                      at.source, quote(at.key(key).path)));
}

void read_workload(const Json& j, Workload& out, const At& at,
                   std::span<const sweep::Field> table) {
  if (!j.is_object()) at.fail("an object", j);
  sweep::CaseRecord record;
  read_recorded(j, record, sweep::Place::kWorkload, at, table);
  refuse_unknown(j, at, table);
  out = std::move(record.workload);
}

void read(const Json& j, Workload& out, const At& at) {
  read_workload(j, out, at, sweep::fields());
}

class Reader {
 public:
  Reader(const Json& object, const At& at) : object_(&object), at_(&at) {}

  template <typename T>
  void operator()(const char* name, T& out) {
    read(member(name), out, at_->key(name));
  }
  /// Reports of earlier minor versions lack what came later.
  template <typename T>
  void operator()(const char* name, std::optional<T>& out) {
    out.reset();
    if (object_->contains(name)) read(member(name), out, at_->key(name));
  }
  template <typename T>
  void added(const char* name, T& out) {
    if (object_->contains(name))
      (*this)(name, out);
    else
      out = T();
  }
  void recorded(sweep::CaseRecord& record) {
    read_recorded(*object_, record, sweep::Place::kResult, *at_, sweep::fields());
  }
  void flattened(std::optional<Timing>& timing) {
    timing.reset();
    if (member("median").is_null()) return;
    timing.emplace();
    fields(*timing, *this);
  }

 private:
  const Json& member(const char* name) const {
    const auto found = object_->find(name);
    if (found == object_->end()) fail_missing(name, *at_);
    return *found;
  }

  const Json* object_;
  const At* at_;
};

template <HasFields T>
void read(const Json& j, T& out, const At& at) {
  if (!j.is_object()) at.fail("an object", j);
  Reader reader(j, at);
  fields(out, reader);
}
template <typename T>
void read(const Json& j, std::optional<T>& out, const At& at) {
  out.reset();
  if (!j.is_null()) read(j, out.emplace(), at);
}
template <typename T>
void read(const Json& j, std::vector<T>& out, const At& at) {
  if (!j.is_array()) at.fail("an array", j);
  out.clear();
  for (const Json& item : j) {
    const At where = at.item(out.size());
    read(item, out.emplace_back(), where);
  }
}
template <typename T, std::size_t n>
void read(const Json& j, std::array<T, n>& out, const At& at) {
  if (!j.is_array() || j.size() != n) at.fail(fmt::format("an array of {}", n), j);
  for (std::size_t i = 0; i < n; ++i) read(j[i], out[i], at.item(i));
}
template <typename T>
void read(const Json& j, std::map<std::string, T>& out, const At& at) {
  if (!j.is_object()) at.fail("an object", j);
  out.clear();
  for (const auto& [key, value] : j.items()) read(value, out[key], at.key(key));
}

/// Raw samples make long arrays; a report of a million cases is none of ours.
constexpr JsonLimits kReportLimits{.array_items = 100'000'000, .values = 200'000'000};

constexpr std::size_t kMostReportBytes = std::size_t{1} << 30;

/// `hint`: the end of the message about what is no JSON.
Json parse(std::string_view text, std::string_view source, std::string_view hint = "") {
  try {
    return parse_strict_json(text, kReportLimits);
  } catch (const std::runtime_error& e) {
    throw UsageError(fmt::format("{}: {}{}", source, e.what(), hint));
  }
}

}  // namespace

Report from_json_text(std::string_view text, std::string_view source) {
  const Json j = parse(text, source, "; a report is what --json FILE writes");
  const At at{source, ""};
  if (!j.is_object()) at.fail("a JSON object", j);
  int version = 0;
  Reader(j, at)("schema_version", version);
  if (version != kSchemaVersion)
    throw UsageError(
        fmt::format("{}: schema_version {} is not {}, the one that this flashbench reads", source,
                    version, kSchemaVersion));
  Report report;
  read(j, report, at);
  return report;
}

Workload workload_from_json_text(std::string_view text, std::string_view source,
                                 std::span<const sweep::Field> table) {
  Workload w;
  read_workload(parse(text, source), w, {source, "workload"}, table);
  return w;
}

Report read_report(const std::string& path) {
  return from_json_text(read_text({path, "", "report", "a report, as --json FILE writes it",
                                   kMostReportBytes, Nul::kRefused}),
                        escape(path));
}

}  // namespace flashbench::report
