// simt_f32 as compiled, on the emulated device: head dimensions whose sums are computed in parts.
#include "cuda/simt_f32/simt_f32.h"

#include <gtest/gtest.h>

#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

class SimtF32 : public NeedsKernels, public testing::WithParamInterface<int> {};

TEST_P(SimtF32, PartsOfAWideHeadAreRightAndExecuteWhatIsCounted) {
  const AttentionCase c = {"parts_without_columns", {1, 2, 1, 20, 70, GetParam()}, true};
  const EmulatedRun run(simt_f32::kFamily, c.problem(Dtype::kF32), 1);
  EXPECT_EQ(run.findings_text(), "");
  EXPECT_EQ(run.wrong(), "");
  EXPECT_GE(run.ordinary_flop(), run.flop_executed());
  EXPECT_LE(run.ordinary_flop(), 1.05 * run.flop_executed()) << "softmax takes little";
}

// The last part may be narrow, of one column only, or whole.
INSTANTIATE_TEST_SUITE_P(HeadDim, SimtF32, testing::Values(257, 513, 600, 768, 769),
                         [](const auto& d) { return "d" + std::to_string(d.param); });

// One query of one head and one key: blocks are parts.
TEST(SimtF32Launch, HasNoPartWithoutColumns) {
  const struct {
    std::int64_t d, of_queries, of_keys;
  } kParts[] = {{1, 1, 1},   {256, 1, 1}, {257, 1, 2}, {512, 1, 2}, {513, 2, 3},
                {600, 2, 3}, {768, 2, 3}, {769, 2, 4}, {1024, 2, 4}};
  for (const auto& [d, of_queries, of_keys] : kParts) {
    const Extent e{{1, 1, 1, 1, 1, d}, Dtype::kF32, 1};
    EXPECT_EQ(simt_f32::forward(e)[0].grid_x, of_queries) << d;
    for (const Launch& launch : simt_f32::backward(e)) {
      if (launch.phase == "delta") continue;
      EXPECT_EQ(launch.grid_x, launch.phase == "dq" ? of_queries : of_keys) << d;
    }
  }
}

}  // namespace
}  // namespace flashbench::cuda
