// The proof on the emulated device is worth what it notices: bugs planted into the kernels' PTX
// must show up, each as the table says.
#include "tests/cuda/planted_bugs.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "cuda/decode_sm80/decode_sm80.h"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"
#include "tests/attention_case.h"
#include "tests/cuda/decode_sm80/planted_decode_bugs.h"
#include "tests/cuda/decode_sm80/planted_rows_bugs.h"
#include "tests/cuda/emulated_run.h"
#include "tests/cuda/mma_bf16x6_sm80/planted_bf16x6_bugs.h"
#include "tests/cuda/mma_sm80/planted_mma_split_bugs.h"
#include "tests/cuda/normal/planted_normal_bugs.h"
#include "tests/cuda/simt_f32/planted_simt_bugs.h"
#include "tests/cuda/wgmma_sm90a/planted_split_bugs.h"
#include "tests/cuda/wgmma_sm90a/planted_split_gradient_bugs.h"
#include "tests/cuda/wgmma_sm90a/planted_wgmma_bugs.h"
#include "tests/cuda/wgmma_sm90a/planted_wide_gradient_bugs.h"

namespace flashbench::cuda {
namespace {

const KernelFamily& family_of(const std::string& entry) {
  return entry.starts_with("mma_bf16x6_") ? mma_bf16x6_sm80::kFamily
         : entry.starts_with("mma_")      ? mma_sm80::kFamily
         : entry.starts_with("decode_")   ? decode_sm80::kFamily
         : entry.starts_with("wgmma_")    ? wgmma_sm90a::kFamily
         : entry.starts_with("normal_")   ? normal_cublas::kFamily
                                          : simt_f32::kFamily;
}

Problem problem_for(const KernelFamily& family, const PlantedBug& bug) {
  const Shape shape = {bug.b, 2, 1, bug.q_len, bug.kv_len, bug.d};
  const Pass all = family.backward != nullptr ? Pass::kBoth : Pass::kForward;
  Problem p = AttentionCase{bug.name, shape, true, 0.7, bug.scale}.problem(Dtype::kBf16,
                                                                           bug.pass.value_or(all));
  p.window_left = bug.window_left;
  if (family.supports.only_for.has(Feature::kBf16x6)) {
    p.dtype = Dtype::kF32;
    p.f32_math = F32Math::kBf16x6;
  }
  if (bug.also.has(Feature::kSoftcap)) p.softcap = 2;
  if (bug.also.has(Feature::kAlibi)) p.alibi = Alibi::kStandard;
  if (bug.also.has(Feature::kSinks)) p.sinks = Sinks::kRandom;
  if (bug.also.has(Feature::kValueDim)) p.shape.own_d_v = bug.d / 2 + 1;
  if (bug.also.has(Feature::kRagged)) {
    p.padding = PaddingMask::kNone;
    p.ragged = Ragged::kLengths;
    p.shape.set(Sequences::of({{bug.q_len, bug.kv_len}, {40, 70}, {100, 37}}));
  }
  return p;
}

/// Everything by which a bug shows, over a few orders of warps and copies.
std::set<std::string> symptoms(const KernelFamily& family, const PlantedBug& bug,
                               std::string& first) {
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const EmulatedRun run(family, problem_for(family, bug), seed,
                          {.bug = bug.mutation,
                           .nan_in_hidden_keys = true,
                           .shared_bytes = bug.shared_bytes,
                           .launches = bug.launches});
    for (const ptx::Finding& f : run.findings()) all.emplace(name(f.kind));
    if (!run.wrong().empty()) all.emplace("wrong result");
    if (first.empty()) first = run.findings().empty() ? run.wrong() : run.findings().front().text();
    if (all.contains(bug.noticed_as)) break;
  }
  if (all.empty()) all.emplace("nothing");
  return all;
}

/// How gtest names the row that failed.
[[maybe_unused]] void PrintTo(const PlantedBug& bug, std::ostream* out) { *out << bug.name; }

class PlantedBugTest : public NeedsKernels, public testing::WithParamInterface<PlantedBug> {};

TEST_P(PlantedBugTest, IsNoticedAsTheTableSays) {
  const PlantedBug& bug = GetParam();
  std::string first;
  const std::set<std::string> all = symptoms(family_of(bug.mutation.entry), bug, first);
  std::string seen;
  for (const std::string& s : all) seen += s + ", ";
  std::printf("%-50s %s%.160s\n", bug.name, seen.c_str(), first.c_str());
  EXPECT_TRUE(all.contains(bug.noticed_as)) << "seen: " << seen << first;
}

INSTANTIATE_TEST_SUITE_P(MmaSm80, PlantedBugTest, testing::ValuesIn(kMmaBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(MmaSm80Split, PlantedBugTest, testing::ValuesIn(kMmaSplitBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(MmaBf16x6Sm80, PlantedBugTest, testing::ValuesIn(kBf16x6Bugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(FullMmaBf16x6Sm80, PlantedBugTest, testing::ValuesIn(kMoreBf16x6Bugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(SimtF32, PlantedBugTest, testing::ValuesIn(kSimtBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(WgmmaSm90a, PlantedBugTest, testing::ValuesIn(kWgmmaBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(WgmmaSm90aSplit, PlantedBugTest, testing::ValuesIn(kSplitBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(WgmmaSm90aWideGradients, PlantedBugTest,
                         testing::ValuesIn(kWideGradientBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(WgmmaSm90aSplitGradients, PlantedBugTest,
                         testing::ValuesIn(kSplitGradientBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(FullWgmmaSm90aSplitGradients, PlantedBugTest,
                         testing::ValuesIn(kMoreSplitGradientBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(NormalCublas, PlantedBugTest, testing::ValuesIn(kNormalBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(DecodeSm80, PlantedBugTest, testing::ValuesIn(kDecodeBugs),
                         [](const auto& bug) { return bug.param.name; });

INSTANTIATE_TEST_SUITE_P(DecodeSm80Rows, PlantedBugTest, testing::ValuesIn(kDecodeRowsBugs),
                         [](const auto& bug) { return bug.param.name; });

TEST(PlantedBugs, WhatNobodyNoticesHasAReason) {
  const auto check = [](const PlantedBug& bug) {
    EXPECT_EQ(std::string(bug.noticed_as) == "nothing", std::string(bug.why_not) != "") << bug.name;
  };
  for (const PlantedBug& bug : kMmaBugs) check(bug);
  for (const PlantedBug& bug : kMmaSplitBugs) check(bug);
  for (const PlantedBug& bug : kBf16x6Bugs) check(bug);
  for (const PlantedBug& bug : kMoreBf16x6Bugs) check(bug);
  for (const PlantedBug& bug : kSimtBugs) check(bug);
  for (const PlantedBug& bug : kWgmmaBugs) check(bug);
  for (const PlantedBug& bug : kSplitBugs) check(bug);
  for (const PlantedBug& bug : kWideGradientBugs) check(bug);
  for (const PlantedBug& bug : kSplitGradientBugs) check(bug);
  for (const PlantedBug& bug : kMoreSplitGradientBugs) check(bug);
  for (const PlantedBug& bug : kNormalBugs) check(bug);
  for (const PlantedBug& bug : kDecodeBugs) check(bug);
  for (const PlantedBug& bug : kDecodeRowsBugs) check(bug);
}

}  // namespace
}  // namespace flashbench::cuda
