// The description of --launch, and what problems make of its formulas.
#include <limits>

#include "core/problem.h"
#include "guest/launch.h"
#include "guest/launch_description.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

Problem problem(std::int64_t heads, std::int64_t rows, std::int64_t d) {
  Problem p;
  p.shape = {.b = heads, .h = heads, .h_kv = 1, .q_len = rows, .kv_len = rows, .d = d};
  p.causal = d > 64;
  return p;
}

void pose(const guest::LaunchDescription& d, const Problem& p) {
  const guest::Variables v = guest::variables_of(p);
  for (const guest::Condition& c : d.conditions) c.holds(v);
  d.workspace_bytes(v);
  const auto no_address = [](const std::string&) { return ptx::Address{0}; };
  guest::launches(d.forward, v, no_address);
  guest::launches(d.backward, v, no_address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Problem problems[] = {
      problem(1, 1, 1), problem(6, 1000, 128),
      problem(1 << 15, std::numeric_limits<std::int32_t>::max(), 64)};
  std::optional<guest::LaunchDescription> description;
  fuzz::expect_refusals<UsageError>(
      [&] { description = guest::read_launch_description(fuzz::text_of(data, size), "fuzzed"); });
  if (!description) return 0;
  for (const Problem& p : problems)
    fuzz::expect_refusals<UsageError>([&] { pose(*description, p); });
  return 0;
}
