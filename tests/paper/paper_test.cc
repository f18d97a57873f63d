#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>

#include "core/work.h"
#include "oracle/verify.h"
#include "paper/paper_kernel.h"
#include "tests/oracle/host_attention.h"

namespace flashbench::paper {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
  const char* name;
  Shape shape;
  bool causal;
  double keep;  ///< 1: no padding mask
  std::int64_t q_block, kv_block;
};

constexpr Case kCases[] = {
    {"whole_blocks", {1, 2, 2, 128, 128, 32}, false, 1, 64, 64},
    {"causal", {1, 2, 2, 128, 128, 32}, true, 1, 64, 64},
    {"ragged_blocks", {2, 2, 2, 77, 101, 24}, true, 1, 16, 24},
    {"blocks_larger_than_the_problem", {1, 1, 1, 5, 9, 8}, false, 1, 64, 64},
    {"blocks_of_one", {1, 1, 1, 12, 12, 4}, true, 1, 1, 1},
    {"one_query_decode", {2, 4, 2, 1, 129, 16}, true, 1, 64, 32},
    {"more_queries_than_keys", {1, 2, 1, 40, 7, 8}, true, 1, 16, 4},
    {"grouped_heads_padded", {2, 6, 2, 30, 50, 16}, false, 0.4, 8, 8},
    {"padded_causal", {2, 2, 2, 60, 60, 16}, true, 0.2, 16, 8},
    {"all_padded", {1, 2, 2, 9, 9, 8}, false, 0, 4, 4},
    {"head_dim_1", {1, 1, 1, 33, 33, 1}, true, 1, 16, 16},
    {"narrow_values", {2, 4, 2, 37, 50, 24, 7}, true, 0.6, 8, 16},
    {"values_wider_than_a_block_of_keys", {1, 2, 1, 33, 33, 5, 40}, true, 1, 16, 8},
};

Problem problem(const Case& c, Pass pass) {
  Problem p;
  p.shape = c.shape;
  p.pass = pass;
  p.causal = c.causal;
  p.padding = c.keep < 1 ? PaddingMask::kRandom : PaddingMask::kNone;
  p.mask_keep = c.keep;
  p.d_o = GradSource::kRandom;
  return p;
}

Execution execution(const Case& c, int threads) {
  Execution e;
  e.threads = threads;
  e.q_block = c.q_block;
  e.kv_block = c.kv_block;
  return e;
}

std::string describe(const Verdict& v) {
  std::string text;
  for (const TensorVerdict& t : v.tensors)
    text += t.tensor + " " + std::to_string(t.error_over_noise) + (t.ok ? "\n" : " FAILED\n");
  return text;
}

Outputs run(const Problem& p, const Execution& e, const Inputs& in) {
  Outputs out = host::empty_outputs(p);
  const auto plan = paper_kernel().plan(p, e, in);
  plan->prepare({&in, &out});
  plan->launch({&in, &out});
  return out;
}

class PaperKernelTest : public testing::TestWithParam<Case> {};

TEST_P(PaperKernelTest, AgreesWithTheOracle) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth}) {
    const Problem p = problem(GetParam(), pass);
    for (const float logits : {1.0f, 20.0f}) {
      const Inputs in = host::random_inputs(p, logits);
      const Outputs out = run(p, execution(GetParam(), 2), in);
      const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
      EXPECT_EQ(v.tensors.size(), pass == Pass::kForward ? 2u : 5u);
      EXPECT_TRUE(v.ok()) << name(pass) << " x" << logits << "\n" << describe(v);
    }
  }
}

TEST_P(PaperKernelTest, ThreadsDoNotChangeABit) {
  const Problem p = problem(GetParam(), Pass::kBoth);
  const Inputs in = host::random_inputs(p);
  const Outputs one = run(p, execution(GetParam(), 1), in);
  const Outputs many = run(p, execution(GetParam(), 5), in);
  for (const auto t : {&Outputs::o, &Outputs::lse, &Outputs::dq, &Outputs::dk, &Outputs::dv})
    EXPECT_EQ(std::memcmp((one.*t).data(), (many.*t).data(), (one.*t).bytes()), 0);
}

TEST_P(PaperKernelTest, TakesExactlyTheWorkspaceItPredicted) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth})
    for (const int threads : {1, 3, 64}) {
      const Problem p = problem(GetParam(), pass);
      const Execution e = execution(GetParam(), threads);
      const Inputs in = host::random_inputs(p);
      EXPECT_EQ(paper_kernel().plan(p, e, in)->workspace_bytes(),
                paper_kernel().workspace_bytes(p, e));
    }
}

TEST_P(PaperKernelTest, ExecutesAtLeastTheVisibleFlopAndAtMostTheDense) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth}) {
    const Problem p = problem(GetParam(), pass);
    const Execution e = execution(GetParam(), 1);
    const Inputs in = host::random_inputs(p);
    const Work work = count_work(p, count_visible(p, in.key_mask));
    const double executed = paper_kernel().plan(p, e, in)->flop_executed();
    EXPECT_GE(executed, work.flop_visible);
    EXPECT_LE(executed, work.flop_dense);
    if (in.key_mask.empty()) {
      EXPECT_EQ(executed, paper_kernel().predicted_flop(p, e));
      if (!p.causal) {
        EXPECT_EQ(executed, work.flop_dense);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PaperKernelTest, testing::ValuesIn(kCases),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(PaperKernelTest, CountsTheKeysOfABlockForTheRowsThatSeeIt) {
  // 4 x 4 causal in blocks of 2 keys: rows 0-3 compute keys 0-1, rows 2-3 keys 2-3 too.
  Problem p = problem(kCases[1], Pass::kForward);
  p.shape = {1, 1, 1, 4, 4, 1};
  Execution e;
  e.kv_block = 2;
  const double block_pairs = 4 * 2 + 2 * 2, visible_pairs = 10;
  EXPECT_EQ(paper_kernel().predicted_flop(p, e), 2 * block_pairs + 2 * visible_pairs);
}

TEST(PaperKernelTest, NanInAMaskedOutKeyChangesNothing) {
  const Problem p = problem(kCases[7], Pass::kBoth);
  Inputs in = host::random_inputs(p);
  const Execution e = execution(kCases[7], 2);
  const Outputs clean = run(p, e, in);
  const Dims dims = p.shape.k_dims();
  for (std::int64_t i = 0; i < in.k.count(); ++i) {
    const std::int64_t b = i / (dims.h * dims.rows * dims.d), j = i / dims.d % dims.rows;
    if (in.key_mask[static_cast<std::size_t>(b * dims.rows + j)] != 0) continue;
    in.k.set(i, kNan);
    in.v.set(i, kNan);
  }
  const Outputs poisoned = run(p, e, in);
  for (const auto t : {&Outputs::o, &Outputs::lse, &Outputs::dq, &Outputs::dk, &Outputs::dv})
    EXPECT_EQ(std::memcmp((clean.*t).data(), (poisoned.*t).data(), (clean.*t).bytes()), 0);
}

TEST(PaperKernelTest, RejectsWithAReasonWhatItDoesNotDo) {
  Problem p = problem(kCases[0], Pass::kForward);
  EXPECT_FALSE(paper_kernel().refuses(p, Execution{}).has_value());
  Execution e;
  e.q_block = 0;
  ASSERT_TRUE(paper_kernel().refuses(p, e).has_value());
  EXPECT_EQ(paper_kernel().refuses(p, e)->kind, Rejection::Kind::kInvalid);
  p.dtype = Dtype::kBf16;
  const auto rejection = paper_kernel().refuses(p, Execution{});
  ASSERT_TRUE(rejection.has_value());
  EXPECT_NE(rejection->reason.find("bf16"), std::string::npos);
}

TEST(PaperKernelTest, ProfileComputesTheSameAndNamesEachPhaseOnce) {
  const Problem p = problem(kCases[1], Pass::kBoth);
  const Inputs in = host::random_inputs(p);
  const Execution e = execution(kCases[1], 2);
  const Outputs launched = run(p, e, in);
  Outputs profiled = host::empty_outputs(p);
  const auto plan = paper_kernel().plan(p, e, in);
  const auto rows = plan->profile({&in, &profiled});
  std::set<std::string> phases;
  std::size_t bytes = 0;
  for (const auto& row : rows) {
    EXPECT_TRUE(phases.insert(row.phase).second) << row.phase;
    EXPECT_GT(row.calls, 0u) << row.phase;
    EXPECT_GE(row.seconds, 0) << row.phase;
    bytes += row.bytes;
  }
  EXPECT_EQ(rows.size(), 10u);
  EXPECT_EQ(bytes, plan->workspace_bytes());
  EXPECT_EQ(std::memcmp(launched.dq.data(), profiled.dq.data(), launched.dq.bytes()), 0);
}

}  // namespace
}  // namespace flashbench::paper
