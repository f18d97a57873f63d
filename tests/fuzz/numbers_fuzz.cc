// Counts, ranges, lists, and words for ragged batches.
#include "sweep/number.h"
#include "sweep/ragged.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flashbench;
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::expect_refusals<UsageError>([&] { sweep::parse_counts(text, "here", {.least = 0}); });
  fuzz::expect_refusals<UsageError>([&] { sweep::parse_seed(text, "here"); });
  fuzz::expect_refusals<UsageError>([&] { sweep::parse_real(text, "here"); });
  fuzz::expect_refusals<UsageError>([&] { sweep::split_list(text, "here"); });
  fuzz::expect_refusals<UsageError>([&] { sweep::parse_ragged(text, "here"); });
  return 0;
}
