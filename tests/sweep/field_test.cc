#include "sweep/field.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "sweep/expand.h"
#include "sweep/shown.h"

namespace flashbench::sweep {
namespace {

using testing::HasSubstr;

TEST(Flags, ReproduceEveryFieldThatDiffersFromTheDefault) {
  Problem p;
  EXPECT_EQ(flags(p), "--b 1 --h 2 --q_len 4096 --kv_len 4096 --d 512 --dtype f32 --pass forward");
  p.shape = {2, 8, 2, 7, 9, 40};
  p.dtype = Dtype::kBf16;
  p.pass = Pass::kBackward;
  p.causal = true;
  p.padding = PaddingMask::kRandom;
  p.mask_keep = 0.25;
  p.scale = 0.125;
  p.seed = 18446744073709551615u;
  p.d_o = GradSource::kRandom;
  EXPECT_EQ(
      flags(p),
      "--b 2 --h 8 --h_kv 2 --q_len 7 --kv_len 9 --d 40 --dtype bf16 --pass backward --causal "
      "--mask random --mask_keep 0.25 --scale 0.125 --seed 18446744073709551615 --do random");
}

TEST(Flags, OfHowACaseIsComputedFollowTheProblem) {
  // On the heap: GCC 12 takes a case of this size on the stack for uninitialized.
  const auto on_heap = std::make_unique<Case>();
  Case& c = *on_heap;
  c.type = AttentionType::kPaper;
  c.backend = kProcessor;
  c.isa = Isa::kAvx2;
  c.kernel = "paper";
  c.threads = 3;
  c.deterministic = true;
  c.q_block = 7;
  c.kv_block = 9;
  c.cache = CacheState::kCold;
  EXPECT_EQ(flags(c), flags(c.problem) +
                          " --type paper --backend cpu --isa avx2 --kernel paper --threads 3"
                          " --deterministic --q_block 7 --kv_block 9 --cache cold");
}

TEST(Flags, FileNamesAreQuotedForTheShell) {
  Problem p;
  p.files.bundle = "my file's.safetensors";
  EXPECT_THAT(flags(p), HasSubstr(R"(--input 'my file'\''s.safetensors')"));
}

TEST(Fields, NoFlagStandsTwice) {
  std::set<std::string_view> names, recorded;
  for (const Field& f : fields()) {
    if (f.parse != nullptr) {
      EXPECT_TRUE(names.insert(f.name).second) << f.name;
    }
    if (f.recorded.place != Place::kNowhere) {
      EXPECT_TRUE(recorded.insert(recorded_name(f)).second) << recorded_name(f);
    }
  }
}

TEST(Fields, EveryFlagCanBePrintedAndReproduced) {
  for (const Field& f : fields()) {
    if (f.parse == nullptr) continue;
    EXPECT_NE(f.text, nullptr) << f.name;
    EXPECT_NE(f.said, nullptr) << f.name;
    EXPECT_EQ(f.has_effect == nullptr, f.reset == nullptr) << f.name;
    EXPECT_TRUE(f.idle.empty() || f.has_effect != nullptr) << f.name;
  }
}

TEST(Fields, WhatRowsNeedIsWhatKernelsAreAsked) {
  for (const Pass pass : kEnumerators<Pass>)
    for (const bool causal : {false, true})
      for (const PaddingMask padding : kEnumerators<PaddingMask>) {
        Case c;
        c.problem.pass = pass;
        c.problem.causal = causal;
        c.problem.padding = padding;
        EXPECT_EQ(needed(c), used(c.problem)) << flags(c);
        c.problem.window_left = 3;
        EXPECT_EQ(needed(c), used(c.problem)) << flags(c);
        // As wide as Q, as wide as Q usually is, and another width.
        for (const std::int64_t d_v : {64, 512, 63}) {
          c.problem.shape.d = 64;
          c.problem.shape.own_d_v = d_v;
          EXPECT_EQ(needed(c), used(c.problem)) << flags(c);
        }
      }
  for (const Field& f : fields())
    if (f.needs) {
      EXPECT_THAT(fmt::format(" {} ", flag(*f.needs)), HasSubstr(fmt::format(" --{} ", f.name)));
    }
}

TEST(Fields, OfAReportAreReadAsTheyAreWritten) {
  Case c;
  c.problem.causal = true;
  c.problem.padding = PaddingMask::kRandom;
  c.problem.window_right = 7;
  c.problem.shape.own_d_v = 128;
  c.problem.seed = 5;
  c.kernel = "cpu_flash";
  const CaseRecord record = record_of(c);
  CaseRecord copy;
  for (const Field* f : recorded_fields()) {
    put(*f, copy, get(*f, record));
    EXPECT_EQ(get(*f, copy), get(*f, record)) << recorded_name(*f);
  }
  EXPECT_EQ(case_key(copy), case_key(record));
}

// Reports of before --d_v was there, and those of problems that say it of V as wide as Q.
TEST(Fields, ARecordWithoutAWidthOfValuesHasThatOfQueries) {
  Case c;
  c.problem.shape.d = 96;
  CaseRecord plain = record_of(c);
  EXPECT_EQ(plain.workload.d_v(), 96);
  plain.workload.own_d_v.reset();
  c.problem.shape.own_d_v = 96;
  EXPECT_EQ(case_key(plain), case_key(record_of(c)));
  c.problem.shape.own_d_v = 97;
  EXPECT_NE(case_key(plain), case_key(record_of(c)));
  EXPECT_EQ(column_text("workload", record_of(c)), "b1 h2 4096x4096 d96/97");
  EXPECT_EQ(column_text("workload", plain), "b1 h2 4096x4096 d96");
}

}  // namespace
}  // namespace flashbench::sweep
