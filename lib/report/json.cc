#include "report/json.h"

#include <cmath>
#include <variant>

#include "report/fields.h"

namespace flashbench::report {
namespace {

using Json = nlohmann::ordered_json;

Json value_of(double v) { return finite_or_null(v); }
Json value_of(bool v) { return v; }
Json value_of(int v) { return v; }
Json value_of(std::int64_t v) { return v; }
Json value_of(std::uint64_t v) { return v; }
Json value_of(const std::string& v) { return v; }
Json value_of(Status v) { return name(v); }
Json value_of(Rejection::Kind v) { return name(v); }
Json value_of(measure::StoppedBy v) { return name(v); }
Json value_of(std::monostate) { return nullptr; }

void add_recorded(Json& out, const sweep::CaseRecord& record, sweep::Place place,
                  std::span<const sweep::Field> table) {
  for (const sweep::Field* f : sweep::recorded_fields(table))
    if (f->recorded.place == place)
      out[std::string(sweep::recorded_name(*f))] =
          std::visit([](const auto& v) { return value_of(v); }, sweep::get(*f, record));
}

Json value_of(const Workload& w) { return workload_json(w); }
template <HasFields T>
Json value_of(const T& record);
template <typename T>
Json value_of(const std::optional<T>& v);
template <typename T>
Json value_of(const std::vector<T>& list);
template <typename T, std::size_t n>
Json value_of(const std::array<T, n>& list);
template <typename T>
Json value_of(const std::map<std::string, T>& map);

/// Of a record that is not there.
struct Nulls {
  Json* out;
  template <typename T>
  void operator()(const char* name, const T&) {
    (*out)[name] = nullptr;
  }
  template <typename T>
  void added(const char* name, const T& v) {
    (*this)(name, v);
  }
};

class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& v) {
    out_[name] = value_of(v);
  }
  template <typename T>
  void added(const char* name, const T& v) {
    (*this)(name, v);
  }
  void recorded(const sweep::CaseRecord& record) {
    add_recorded(out_, record, sweep::Place::kResult, sweep::fields());
  }
  void flattened(const std::optional<Timing>& timing) {
    if (timing) return fields(*timing, *this);
    const Timing absent;
    fields(absent, Nulls{&out_});
  }
  /// hyperfine's scripts read an exit code per sample. A call that fails leaves no sample here.
  void exit_codes(const std::optional<Timing>& timing) {
    out_["exit_codes"] = timing ? Json(std::vector<int>(timing->times.size(), 0)) : Json();
  }
  Json take() { return std::move(out_); }

 private:
  Json out_ = Json::object();
};

template <HasFields T>
Json value_of(const T& record) {
  Writer writer;
  fields(record, writer);
  if constexpr (std::same_as<T, Result>) writer.exit_codes(record.timing);
  return writer.take();
}
template <typename T>
Json value_of(const std::optional<T>& v) {
  return v ? value_of(*v) : Json();
}
template <typename T>
Json value_of(const std::vector<T>& list) {
  Json out = Json::array();
  for (const T& v : list) out.push_back(value_of(v));
  return out;
}
template <typename T, std::size_t n>
Json value_of(const std::array<T, n>& list) {
  Json out = Json::array();
  for (const T& v : list) out.push_back(value_of(v));
  return out;
}
template <typename T>
Json value_of(const std::map<std::string, T>& map) {
  Json out = Json::object();
  for (const auto& [key, v] : map) out[key] = value_of(v);
  return out;
}

}  // namespace

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json workload_json(const Workload& w, std::span<const sweep::Field> table) {
  Json out = Json::object();
  add_recorded(out, sweep::record_of(w), sweep::Place::kWorkload, table);
  return out;
}

Json to_json(const Result& result) { return value_of(published(result)); }

Json to_json(const Report& report) {
  Report shown = report;
  for (Result& r : shown.results) r = published(std::move(r));
  return value_of(shown);
}

std::string to_json_text(const Report& report) {
  return to_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace flashbench::report
