// A report as compare and --resume read it, and what they make of it: verdicts, conclusions, and
// each form in which it is shown.
#include "compare/comparison.h"
#include "compare/render.h"
#include "report/csv.h"
#include "report/derive.h"
#include "report/json.h"
#include "report/markdown.h"
#include "report/table.h"
#include "report/trend.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

void compare_with_itself(const report::Report& read) {
  const auto show = [](const compare::Comparison& c) {
    compare::table_text(c);
    compare::markdown_text(c);
    compare::json_text(c, {"flashbench"});
  };
  show(compare::compare_reports("a", read, "b", read, {}));
  for (const char* field : {"type", "isa", "q_len"})
    fuzz::expect_refusals<UsageError>([&] { show(compare::compare_by("a", read, field, {})); });
}

void show(const report::Report& read) {
  report::table_text(read);
  report::explained_table_text(read);
  report::markdown_text(read);
  report::csv_text(read);
  report::bmf_text(read);
  report::github_benchmark_text(read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::optional<report::Report> read;
  fuzz::expect_refusals<UsageError>(
      [&] { read = report::from_json_text(fuzz::text_of(data, size), "fuzzed"); });
  if (!read) return 0;
  report::from_json_text(report::to_json_text(*read), "what was written");
  compare_with_itself(*read);
  show(*read);
  report::conclude(*read);  // as a run does that has resumed it
  show(*read);
  return 0;
}
