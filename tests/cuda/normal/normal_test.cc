// normal_cublas as compiled, on the emulated device: what the cases of every kernel do not reach.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cuda/device/emulated_device.h"
#include "cuda/need.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/normal/simt_normal_layout.h"
#include "cuda/route.h"
#include "cuda/simt_f32/simt_f32.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

constexpr AttentionCase kAWarpsRow = {
    "just_a_warps_row", {1, 2, 1, 9, normal::kWarpColumns, 24}, true};
constexpr AttentionCase kGroup = {"group_of_four", {2, 8, 2, 21, 75, 40}, true, 0.5};
constexpr AttentionCase kCases[] = {
    kAWarpsRow,
    {"just_a_blocks_row", {1, 1, 1, 9, normal::kWarpColumns + 1, 24}, true, 0.6},
    {"full_registers", {1, 1, 1, 3, normal::kBlockColumns, 8}, true},
    {"two_chunks_and_an_end_of_three", {1, 2, 1, 3, 2 * normal::kBlockColumns + 3, 8}, true, 0.5},
    {"a_long_row_that_sees_little", {1, 1, 1, 4, normal::kBlockColumns + 5, 8}, false, 0.001},
    {"empty_rows_of_a_block", {1, 1, 1, 1110, 1100, 8}, true},
    kGroup,
};

class Normal : public NeedsKernels {};

TEST_F(Normal, EveryLengthOfRowIsWithinItsNoiseWithNaNWhereItIsHidden) {
  std::uint64_t seed = 0;
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes) {
      const EmulatedRun run(normal_cublas::kFamily, c.problem(dtype), ++seed,
                            {.nan_in_hidden_keys = true});
      EXPECT_EQ(run.findings_text(), "") << c.guards_against << " " << name(dtype);
      EXPECT_EQ(run.wrong(), "") << c.guards_against << " " << name(dtype);
    }
}

TEST_F(Normal, WeightsThatUnderflowF16DoNotSpoilTheirGradients) {
  constexpr AttentionCase kLarge = {"large_logits", {1, 1, 1, 40, 90, 64}, false, 1.0, 3.75};
  const Problem p = kLarge.problem(Dtype::kF16);
  EXPECT_EQ(EmulatedRun(normal_cublas::kFamily, p, 1).wrong(), "");
}

TEST_F(Normal, AnyScaleIsWithinItsNoise) {
  for (const double scale : {-0.5, 0.0, 2.0}) {
    Problem p = kGroup.problem(Dtype::kBf16);
    p.scale = scale;
    EXPECT_EQ(EmulatedRun(normal_cublas::kFamily, p, 1).wrong(), "") << scale;
  }
}

TEST_F(Normal, ResultsAreBitwiseEqualInEveryOrder) {
  const Problem p = kGroup.problem(Dtype::kF16);
  const EmulatedRun a(normal_cublas::kFamily, p, 1), b(normal_cublas::kFamily, p, 2);
  EXPECT_TRUE(a.same_bits_as(b));
}

TEST_F(Normal, TheProfileNamesEachProductAndItsFlop) {
  EmulatedDevice device{ptx::DeviceOptions{}};
  const Problem p = kGroup.problem(Dtype::kBf16);
  const Inputs in = data::make_inputs(p);
  Outputs out = data::make_outputs(p);
  const auto plan = make_plan(device, normal_cublas::kFamily, p, in);
  const Operands io{&in, &out};
  plan->prepare(io);
  std::string phases;
  double flop = 0;
  for (const PhaseProfile::Row& row : plan->profile(io)) {
    phases += row.phase + "; ";
    for (const auto& [what, n] : row.counts)
      if (what == "matrix FLOP") flop += static_cast<double>(n);
  }
  EXPECT_EQ(phases,
            "S = Q K^T; softmax; O = P V; dV = P^T dO; dP = dO V^T; dS = P (dP - D); dQ = dS K; "
            "dK = dS^T Q; ");
  EXPECT_EQ(flop, plan->flop_executed());
  EXPECT_EQ(flop, 6 * 2.0 * 2 * 8 * 21 * 75 * 40) << "all pairs, masked or not";
}

TEST_F(Normal, TheWorkspaceIsTwoBuffersOfScoresAndTheMask) {
  const Problem both = kGroup.problem(Dtype::kBf16);  // 75 keys are rows of 76
  const std::size_t scores = 2u * 8 * 21 * 76 * 4, mask = 2 * 76;
  const DeviceInfo any;
  EXPECT_EQ(device_need(normal_cublas::kFamily, both, 0, any).workspace, 2 * scores + mask);
  Problem forward = both;
  forward.pass = Pass::kForward;
  forward.padding = PaddingMask::kNone;
  EXPECT_EQ(device_need(normal_cublas::kFamily, forward, 1000, any).workspace, scores + 1000);
  EXPECT_EQ(device_need(simt_f32::kFamily, both, 1000, any).workspace,
            device_need(simt_f32::kFamily, both, 0, any).workspace)
      << "flash multiplies by itself";
}

/// As many queries as the family takes of that group.
AttentionCase within_rows_of(const KernelFamily& family, AttentionCase c) {
  if (family.max_rows > 0) c.shape.q_len = family.max_rows / c.shape.group();
  return c;
}

// decode_sm80 has a part for each CTA, wgmma_sm90a packed rows and a counter.
TEST_F(Normal, WhatAPlanAllocatesIsWhatWasPredicted) {
  for (const KernelFamily* family : families())
    for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth})
      for (const AttentionCase& c : {kGroup, kAWarpsRow}) {
        if (pass != Pass::kForward && family->backward == nullptr) continue;
        Problem p = within_rows_of(*family, c).problem(Dtype::kBf16, pass);
        const Features& takes = family->supports.features;
        if (takes.has(Feature::kSoftcap)) p.softcap = 2;
        if (takes.has(Feature::kAlibi)) p.alibi = Alibi::kStandard;
        if (takes.has(Feature::kSinks)) p.sinks = Sinks::kRandom;
        if (takes.has(Feature::kValueDim)) p.shape.own_d_v = 72;
        MutatedDevice device({}, 1);
        device.pretend(7, 227 * 1024);
        const std::size_t before = device.free_bytes();
        const Inputs in = data::make_inputs(p);
        const auto plan = make_plan(device, *family, p, in);
        EXPECT_EQ(before - device.free_bytes(), device_need(*family, p, 0, device.info()).total())
            << family->name << " " << name(pass) << " " << c.guards_against;
      }
}

}  // namespace
}  // namespace flashbench::cuda
