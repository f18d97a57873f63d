#include "report/writer.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <vector>

#include "report/csv.h"
#include "report/json.h"
#include "report/markdown.h"
#include "system/atomic_file.h"
#include "system/error.h"

namespace flashbench::report {
namespace {

namespace fs = std::filesystem;

struct Output {
  const char* flag;
  const std::string* path;
};

std::vector<Output> requested(const Outputs& o) {
  std::vector<Output> list;
  for (const Output& output : {Output{"--json", &o.json}, {"--csv", &o.csv}, {"--md", &o.md}})
    if (!output.path->empty()) list.push_back(output);
  return list;
}

void put(const std::string& path, const std::string& text) {
  if (path != "-") return write_file_atomically(path, text);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw DeviceError("writing to stdout failed");
}

/// Devices and FIFOs are written to once, at the end.
bool can_have_partial(const std::string& path) {
  std::error_code ignored;
  return !path.empty() && path != "-" &&
         (!fs::exists(path, ignored) || fs::is_regular_file(path, ignored));
}

}  // namespace

ReportWriter::ReportWriter(Outputs outputs) : outputs_(std::move(outputs)) {
  const std::vector<Output> list = requested(outputs_);
  for (std::size_t i = 0; i < list.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      if (*list[i].path == *list[j].path && *list[i].path != "/dev/null")
        throw UsageError(fmt::format("{} and {} both write to {}; give one of them another file",
                                     list[j].flag, list[i].flag,
                                     *list[i].path == "-" ? "stdout ('-')" : *list[i].path));
    if (*list[i].path != "-") require_writable(*list[i].path);
  }
  if (!can_have_partial(outputs_.json)) return;
  partial_ = outputs_.json + ".partial";
  require_writable(partial_);
}

bool ReportWriter::stdout_taken() const {
  return outputs_.json == "-" || outputs_.csv == "-" || outputs_.md == "-";
}

void ReportWriter::update(const Report& report) const {
  if (!partial_.empty()) write_file_atomically(partial_, to_json_text(report));
}

void ReportWriter::finish(const Report& report) const {
  if (!outputs_.json.empty()) put(outputs_.json, to_json_text(report));
  if (!outputs_.csv.empty()) put(outputs_.csv, csv_text(report));
  if (!outputs_.md.empty()) put(outputs_.md, markdown_text(report));
  std::error_code ignored;
  if (!partial_.empty()) fs::remove(partial_, ignored);
}

}  // namespace flashbench::report
