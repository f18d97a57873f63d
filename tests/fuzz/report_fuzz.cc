// A report as compare and --resume read it, and what they do with it.
#include "compare/comparison.h"
#include "compare/render.h"
#include "report/json.h"
#include "report/table.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flashbench;
  fuzz::expect_refusals<UsageError>([&] {
    const report::Report read = report::from_json_text(fuzz::text_of(data, size), "fuzzed");
    report::from_json_text(report::to_json_text(read), "what was written");
    const compare::Comparison same = compare::compare_reports("a", read, "b", read, {});
    compare::table_text(same);
    report::table_text(read);
  });
  return 0;
}
