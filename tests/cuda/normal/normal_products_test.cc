// The products of normal attention: what cuBLAS would be told, and that a wrong argument shows.
#include "cuda/normal/normal_products.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "cuda/normal/normal_cublas.h"
#include "system/error.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

/// Ragged lengths and a group; no padded columns, since nobody would miss one.
Problem problem() {
  return AttentionCase{"", {2, 4, 2, 19, 37, 24}, true, 0.7}.problem(Dtype::kBf16);
}

struct ArgumentBug {
  const char* name;
  void (*change)(Gemm&);
};

constexpr ArgumentBug kArgumentBugs[] = {
    {"a_leads_too_far", [](Gemm& g) { g.a.leading += 8; }},
    {"b_leads_too_far", [](Gemm& g) { g.b.leading += 8; }},
    {"c_leads_too_far", [](Gemm& g) { g.c.leading += 8; }},
    {"a_not_transposed",
     [](Gemm& g) { g.a_op = g.a_op == Transpose::kYes ? Transpose::kNo : Transpose::kYes; }},
    {"b_not_transposed",
     [](Gemm& g) { g.b_op = g.b_op == Transpose::kYes ? Transpose::kNo : Transpose::kYes; }},
    {"a_strides_too_far", [](Gemm& g) { g.a.stride += g.a.leading; }},
    {"b_strides_too_far", [](Gemm& g) { g.b.stride += g.b.leading; }},
    {"one_row_less", [](Gemm& g) { g.m -= 1; }},
    {"one_column_less", [](Gemm& g) { g.n -= 1; }},
    {"one_head_less", [](Gemm& g) { g.batch -= 1; }},
    {"twice_the_factor", [](Gemm& g) { g.alpha *= 2; }},
};

class WrongArgument : public NeedsKernels, public testing::WithParamInterface<const char*> {};

TEST_P(WrongArgument, ShowsInTheProgramsOwnCheck) {
  for (const ArgumentBug& bug : kArgumentBugs) {
    int changed = 0;
    const auto plant = [&](Gemm& g) {
      if (g.name != GetParam()) return;
      bug.change(g);
      ++changed;
    };
    bool noticed = false;
    try {
      const EmulatedRun run(normal_cublas::kFamily, problem(), 1, {.gemm_bug = plant});
      noticed = !run.wrong().empty() || !run.findings().empty();
    } catch (const DeviceError&) {
      noticed = true;
    }
    EXPECT_EQ(changed, 1) << bug.name;
    EXPECT_TRUE(noticed) << bug.name << " in " << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(OfEveryProduct, WrongArgument,
                         testing::Values("S = Q K^T", "O = P V", "dP = dO V^T", "dQ = dS K",
                                         "dK = dS^T Q", "dV = P^T dO"),
                         [](const auto& product) {
                           const std::string name = product.param;
                           return name.substr(0, name.find(' '));
                         });

TEST(Gemms, WhatBlasCannotCountIsRefused) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  EXPECT_TRUE(gemms_fit({1, 1, 1, kMost, 1, 64}));
  EXPECT_FALSE(gemms_fit({1, 2, 1, kMost / 2 + 1, 1, 64}));
  EXPECT_FALSE(gemms_fit({kMost, 2, 2, 1, 1, 64}));
  EXPECT_TRUE(gemms_fit({1, 1, 1, 1, kMost / 2 - 4, 64}));
  EXPECT_FALSE(gemms_fit({1, 1, 1, 1, kMost / 2 + 1, 64})) << "2^31 elements from row to row";
}

}  // namespace
}  // namespace flashbench::cuda
