// g++ 12 sees an overlapping copy in std::string::replace where there is none (GCC bug 105329),
// when valijson is inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wrestrict"
#endif

#include "report/schema.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "report/environment.h"
#include "report/fields.h"
#include "report/json.h"
#include "report/version.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

const std::string kSchemaFolder = FLASHBENCH_SOURCE_DIR "/lib/report/schema/";

const json& schema_json() {
  static const json schema =
      json::parse(std::ifstream(kSchemaFolder + "flashbench-report.schema.json"));
  return schema;
}

bool valid(const json& document, std::string* why = nullptr) {
  static const auto schema = [] {
    auto s = std::make_unique<valijson::Schema>();
    valijson::SchemaParser(valijson::SchemaParser::kDraft7)
        .populateSchema(NlohmannJsonAdapter(schema_json()), *s);
    return s;
  }();
  valijson::ValidationResults results;
  const bool ok = valijson::Validator().validate(*schema, NlohmannJsonAdapter(document), &results);
  valijson::ValidationResults::Error error;
  while (why != nullptr && results.popError(error))
    *why += error.description + " at " + ::testing::PrintToString(error.context) + "\n";
  return ok;
}

json parsed(const Report& report) { return json::parse(to_json_text(report)); }

TEST(Schema, AcceptsEveryReportThatIsWritten) {
  Report here = fixed_report();
  here.tool = tool();
  here.context = capture_context("avx2");
  here.started_at = utc_now();
  Report gpu = fixed_report();
  gpu.context.gpu = fixed_gpu();
  gpu.peaks[0].backend = "cuda";
  gpu.peaks[0].isa = "mma.sync";
  gpu.peaks[0].device = "0";
  gpu.results[0].isa.reset();
  gpu.results[0].threads.reset();
  gpu.results[0].device = "H100";
  gpu.results[0].backend = "cuda";
  gpu.results[0].phases = {{"scores", 0.1, 12, 4096, 1e9, 3e7, {{0.04, 5, 4e8, 1e7}, {0.06, 7}}}};
  gpu.results[0].phase_timer_s = 5e-8;
  gpu.results[0].parameters = {{"q_len", "1k"}};
  gpu.results[0].calibration = calibration_of(std::vector{0.25, 0.26});
  gpu.summary = summarize(gpu.results);
  gpu.summary.crossover = {
      {"forward", "f32", "q_len", 181.0, "normal", "flash", "forward, f32", {128, 256}}};
  gpu.summary.lead = {
      {"forward, bf16", "flash", "normal", "q_len", 256, 4096, {1.1, 1.8}, {1.0, 2}}};
  gpu.summary.memory_limit = {{"forward", "f32", "normal", "q_len", 4096.0, 8192.0,
                               "needs 2 GB, 1 GB available", "forward, f32", true}};
  Report empty = fixed_report();
  empty.results.clear();
  empty.peaks.clear();
  empty.tool.git_sha.reset();
  empty.tool.dirty.reset();
  for (const Report& report : {fixed_report(), troubled_report(), here, gpu, empty}) {
    std::string why;
    EXPECT_TRUE(valid(parsed(report), &why)) << why;
  }
}

TEST(Schema, KnowsEveryReasonWhySamplingStops) {
  Report report = fixed_report();
  for (const auto why : kEnumerators<measure::StoppedBy>) {
    report.results[0].stopped_by = why;
    EXPECT_TRUE(valid(parsed(report))) << name(why);
  }
}

TEST(Schema, RejectsWhatNoReportMayHold) {
  const std::pair<const char*, json> mutations[] = {
      {"/schema_version", 2},
      {"/tool/git_sha", "not a sha"},
      {"/started_at", "yesterday"},
      {"/context/cpu/cores", 0},
      {"/context/cpu/isa", "avx9"},
      {"/context/gpu", "none"},
      {"/context/gpu/throttle_reasons", "power limit"},
      {"/context/gpu/sm_clock_hz", -1},
      {"/context/gpu/extra", 1},
      {"/context/gpu/energy/source", 1},
      {"/peaks/0/gflops", nullptr},
      {"/peaks/0/read_gb_s", 3.0},
      {"/results/0/status", "fine"},
      {"/results/0/refusal", "tired"},
      {"/results/0/stopped_by", "boredom"},
      {"/results/0/refusal", "memory"},  // nothing that ran was refused
      {"/results/0/workload/q_len", 0},
      {"/results/0/workload/q_len", 1.5},
      {"/results/0/workload/q_len", "4096"},
      {"/results/0/workload/dtype", "f64"},
      {"/results/0/workload/mask_keep", 1.5},
      {"/results/0/times", json::array()},
      {"/results/0/times/0", nullptr},
      {"/results/0/ci95", json::array({1.0})},
      {"/results/0/median", -1.0},
      {"/results/0/bound", "cache"},
      {"/results/0/type", "fast"},
      {"/results/0/check/verdict", "maybe"},
      {"/results/0/check/worst/0/index", json::array({1, 2, 3})},
      {"/results/0/speedup_over/normal", 0},
      {"/results/0/speedup_ci95/normal", json::array({1.0})},
      {"/results/0/rises", "yes"},
      {"/summary/noise", "low"},
      {"/summary/between_run_spread", -1},
      {"/results/0/calibration", json::object({{"medians", json::array({1.0})}, {"spread", 0}})},
      {"/extra", 1},
      {"/results/0/extra", 1},
      {"/results/0/workload/extra", 1},
      {"/results/0/check/extra", 1},
  };
  for (const auto& [pointer, value] : mutations) {
    Report report = fixed_report();
    report.context.gpu = fixed_gpu();
    json j = parsed(report);
    ASSERT_TRUE(valid(j));
    j[json::json_pointer(pointer)] = value;
    EXPECT_FALSE(valid(j)) << pointer << " = " << value;
  }
}

TEST(Schema, RejectsNumbersWithoutAPassedCheck) {
  for (const char* verdict : {"fail", "not verified"}) {
    json j = parsed(fixed_report());
    j["results"][0]["check"]["verdict"] = verdict;
    EXPECT_FALSE(valid(j)) << verdict;
  }
  json j = parsed(fixed_report());
  j["results"][0]["status"] = "failed";
  j["results"][0]["reason"] = "wrong";
  EXPECT_FALSE(valid(j));
  for (const char* key : {"tflops", "times", "peak_rss_bytes"}) {
    j = parsed(troubled_report());
    j["results"][0][key] = key == std::string("times") ? json::array({1.0}) : json(1);
    EXPECT_FALSE(valid(j)) << key;
  }
}

TEST(Schema, RejectsFailureWithoutAReason) {
  json j = parsed(troubled_report());
  j["results"][0]["reason"] = nullptr;
  EXPECT_FALSE(valid(j));
}

struct AddedNames {
  std::set<std::string>* out;
  void operator()(const char*, const auto&) {}
  void added(const char* name, const auto&) { out->insert(name); }
  void flattened(const std::optional<Timing>&) {
    const Timing empty;
    fields(empty, *this);
  }
  void recorded(const sweep::CaseRecord&) {}
};

/// Fields that came later: earlier reports lack them.
std::set<std::string> added_names() {
  std::set<std::string> names = {"exit_codes"};
  const Result result;
  const Phase phase;
  const Summary summary;
  const Context context;
  const Gpu gpu;
  fields(result, AddedNames{&names});
  fields(phase, AddedNames{&names});
  fields(summary, AddedNames{&names});
  fields(context, AddedNames{&names});
  fields(gpu, AddedNames{&names});
  for (const sweep::Field* f : sweep::recorded_fields())
    if (f->recorded.get == nullptr) names.insert(std::string(sweep::recorded_name(*f)));
  return names;
}

/// Removes every key of every object, one at a time: all are required, but those that came later.
void expect_all_required(json& document, json& object, const std::string& path) {
  if (object.is_array())
    for (std::size_t i = 0; i < object.size(); ++i)
      expect_all_required(document, object[i], fmt::format("{}/{}", path, i));
  if (!object.is_object()) return;
  const json before = object;
  const std::set<std::string> may_lack = added_names();
  for (const auto& item : before.items()) {
    if (may_lack.contains(item.key())) continue;
    if (path.starts_with("/peaks") && item.key() == "device") continue;  // a result's is required
    if (path.ends_with("speedup_over") || path.ends_with("speedup_ci95") ||
        path.ends_with("parameters"))  // open maps
      continue;
    object.erase(item.key());
    EXPECT_FALSE(valid(document)) << path << "/" << item.key() << " may be missing";
    object = before;
  }
  for (const auto& item : before.items())
    expect_all_required(document, object[item.key()], fmt::format("{}/{}", path, item.key()));
}

TEST(Schema, EveryFieldIsRequired) {
  Report report = fixed_report();
  report.context.gpu = fixed_gpu();
  report.results.resize(1);
  json j = parsed(report);
  expect_all_required(j, j, "");
}

TEST(Schema, CommittedFileIsWhatTheTableSays) {
  const auto outline = nlohmann::ordered_json::parse(std::ifstream(kSchemaFolder + "outline.json"));
  const std::string path = kSchemaFolder + "flashbench-report.schema.json";
  const std::string wanted = schema_text(outline);
  if (std::getenv("FLASHBENCH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << wanted;
  std::ostringstream committed;
  committed << std::ifstream(path).rdbuf();
  EXPECT_TRUE(committed.str() == wanted)
      << path
      << " differs from what schema/outline.json and the field table make: rewrite it with\n"
      << "  FLASHBENCH_UPDATE_GOLDEN=1 report_test --gtest_filter='Schema.*'\nand commit it";
}

TEST(Schema, AnOutlineThatAsksForWhatTheTableLacksIsRefused) {
  for (const char* outline : {R"({"@fields of nothing": true})", R"(["@fields of nothing"])",
                              R"({"type": "string", "enum": "@words of q_len"})"})
    EXPECT_THROW(schema_text(nlohmann::ordered_json::parse(outline)), std::runtime_error)
        << outline;
}

struct Names {
  std::vector<std::string>* out;
  void recorded(const sweep::CaseRecord&) {
    for (const sweep::Field* f : sweep::recorded_fields())
      if (f->recorded.place == sweep::Place::kResult) out->emplace_back(sweep::recorded_name(*f));
  }
  void operator()(const char* name, const auto&) { out->push_back(name); }
  void added(const char* name, const auto&) { out->push_back(name); }
  void flattened(const std::optional<Timing>&) {
    const Timing empty;
    fields(empty, *this);
  }
};

TEST(Schema, AddsNothingThatTheRecordLacks) {
  std::vector<std::string> names = {"exit_codes"};  // derived from the samples
  const Result result;
  fields(result, Names{&names});
  std::vector<std::string> in_schema;
  for (const auto& item : schema_json()["definitions"]["result"]["properties"].items())
    in_schema.push_back(item.key());
  EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(in_schema));
}

}  // namespace
}  // namespace flashbench::report
