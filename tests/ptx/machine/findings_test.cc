// Each kind of finding: a snippet that has the fault, and its twin that does not.
#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

struct Planted {
  const char* name;
  FindingKind kind;
  const char* broken;
  const char* correct;
  const char* message;  ///< part of what the finding says
  Shape shape{};
  const char* globals = "";
};

void PrintTo(const Planted& p, std::ostream* out) { *out << p.name; }

// p0 has 1024 bytes that are written, p1 has 1024 that are not. `tile` is 4 KiB of shared memory.
constexpr const char* kTile = ".shared .align 16 .b8 tile[4096];\n";

const Planted kPlanted[] = {
    {"global_read_past_the_end", FindingKind::kOutOfBounds, "ld.global.u32 %r0, [%p0+1024];",
     "ld.global.u32 %r0, [%p0+1020];", "0 bytes past the end of 'written' (1024 bytes)"},
    {"global_write_before_the_start", FindingKind::kOutOfBounds, "st.global.u32 [%p1+-4], %tid;",
     "add.s64 %rd0, %p1, %off; st.global.u32 [%rd0], %tid;", "4 bytes before 'unwritten'"},
    {"vector_read_half_outside", FindingKind::kOutOfBounds,
     "ld.global.v2.u32 {%r0, %r1}, [%p0+1024];", "ld.global.v2.u32 {%r0, %r1}, [%p0+1016];",
     "8 bytes of global memory"},
    {"null_pointer", FindingKind::kOutOfBounds, "mov.u64 %rd0, 0; ld.global.u32 %r0, [%rd0];",
     "ld.global.u32 %r0, [%p0];", "at a null pointer"},
    {"shared_past_the_end",
     FindingKind::kOutOfBounds,
     "st.shared.u32 [tile+4096], %tid;",
     "@%q0 bra skip; st.shared.u32 [tile+4092], 1; skip:",
     "4 bytes at offset 4096 of 4096",
     {},
     kTile},
    {"local_past_the_end", FindingKind::kOutOfBounds,
     ".local .align 4 .b8 own[16]; mov.u32 %r1, own; st.local.u32 [%r1+16], %tid;",
     ".local .align 4 .b8 own[16]; mov.u32 %r1, own; st.local.u32 [%r1+12], %tid;",
     "offset 16 of 16 bytes of local memory"},
    {"global_misaligned_vector", FindingKind::kMisaligned,
     "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%p0+8];",
     "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%p0+16];", "reads 16 bytes at global address"},
    {"shared_misaligned",
     FindingKind::kMisaligned,
     "@%q0 bra skip; st.shared.u32 [tile+2], 1; skip:",
     "@%q0 bra skip; st.shared.u16 [tile+2], 1; skip:",
     "writes 4 bytes at shared",
     {},
     kTile},
    {"cp_async_misaligned",
     FindingKind::kMisaligned,
     "cp.async.ca.shared.global [tile+8], [%p0], 16; cp.async.wait_all;",
     "@%q0 bra skip; cp.async.ca.shared.global [tile+16], [%p0], 16; cp.async.wait_all; skip:",
     "to shared offset 8",
     {},
     kTile},
    {"global_never_written", FindingKind::kUninitialised, "ld.global.u32 %r0, [%p1+64];",
     "ld.global.u32 %r0, [%p0+64];", "byte 64 of 'unwritten'"},
    {"shared_never_written",
     FindingKind::kUninitialised,
     "ld.shared.u32 %r0, [tile];",
     "@%q0 bra skip; st.shared.u32 [tile], 1; skip: bar.sync 0; ld.shared.u32 %r0, [tile];",
     "shared offset 0",
     {},
     kTile},
    {"local_never_written", FindingKind::kUninitialised,
     ".local .align 4 .b8 own[16]; mov.u32 %r1, own; ld.local.u32 %r0, [%r1+4];",
     ".local .align 4 .b8 own[16]; mov.u32 %r1, own; st.local.u32 [%r1+4], 3; ld.local.u32 %r0, "
     "[%r1+4];",
     "offset 4 of local memory"},
    {"register_never_written", FindingKind::kUninitialised, "add.u32 %r0, %r50, 1;",
     "mov.u32 %r50, 2; add.u32 %r0, %r50, 1;", "a register"},
    {"register_written_by_other_lanes_only", FindingKind::kUninitialised,
     "setp.lt.u32 %q1, %lane, 7; @%q1 mov.u32 %r50, 1; mov.u32 %r51, %r50; add.u32 %r0, %r51, 1;",
     "setp.lt.u32 %q1, %lane, 7; @%q1 mov.u32 %r50, 1; mov.u32 %r51, %r50; @%q1 add.u32 %r0, %r51, "
     "1;",
     "a register"},
    {"predicate_never_written", FindingKind::kUninitialised, "@%q7 mov.u32 %r0, 1;",
     "setp.eq.u32 %q7, %tid, 0; @%q7 mov.u32 %r0, 1;", "a register"},
    {"race_between_warps",
     FindingKind::kRace,
     "mov.u32 %r1, tile; mad.lo.u32 %r2, %tid, 4, %r1; st.shared.u32 [%r2], %tid;"
     "xor.b32 %r3, %tid, 32; mad.lo.u32 %r3, %r3, 4, %r1; bar.warp.sync -1; ld.shared.u32 %r0, "
     "[%r3];",
     "mov.u32 %r1, tile; mad.lo.u32 %r2, %tid, 4, %r1; st.shared.u32 [%r2], %tid;"
     "xor.b32 %r3, %tid, 32; mad.lo.u32 %r3, %r3, 4, %r1; bar.sync 0; ld.shared.u32 %r0, [%r3];",
     "shared offset",
     {{}, {64}},
     kTile},
    {"race_between_lanes",
     FindingKind::kRace,
     "mov.u32 %r1, tile; mad.lo.u32 %r2, %tid, 4, %r1; st.shared.u32 [%r2], %tid;"
     "xor.b32 %r3, %tid, 1; mad.lo.u32 %r3, %r3, 4, %r1; ld.shared.u32 %r0, [%r3];",
     "mov.u32 %r1, tile; mad.lo.u32 %r2, %tid, 4, %r1; st.shared.u32 [%r2], %tid;"
     "xor.b32 %r3, %tid, 1; mad.lo.u32 %r3, %r3, 4, %r1; bar.warp.sync -1; ld.shared.u32 %r0, "
     "[%r3];",
     "without a warp sync",
     {},
     kTile},
    {"write_after_read_between_warps",
     FindingKind::kRace,
     "setp.ge.u32 %q1, %tid, 32; @%q1 bra late; st.shared.u32 [tile], 1; late: bar.sync 0;"
     "ld.shared.u32 %r0, [tile]; setp.eq.u32 %q2, %tid, 32; @%q2 st.shared.u32 [tile], 2;",
     "setp.ge.u32 %q1, %tid, 32; @%q1 bra late; st.shared.u32 [tile], 1; late: bar.sync 0;"
     "ld.shared.u32 %r0, [tile]; bar.sync 0; setp.eq.u32 %q2, %tid, 32; @%q2 st.shared.u32 [tile], "
     "2;",
     "without synchronisation",
     {{}, {64}},
     kTile},
    {"two_lanes_write_different_values",
     FindingKind::kRace,
     "st.shared.u32 [tile], %tid;",
     "st.shared.u32 [tile], 5;",
     "that another lane of this warp wrote",
     {},
     kTile},
    {"plain_write_among_atomics",
     FindingKind::kRace,
     "@!%q0 st.shared.u32 [tile], 0; bar.sync 0; atom.shared.add.u32 %r0, [tile], 1;"
     "@!%q0 st.shared.u32 [tile], 0;",
     "@!%q0 st.shared.u32 [tile], 0; bar.sync 0; atom.shared.add.u32 %r0, [tile], 1; bar.sync 0;"
     "@!%q0 st.shared.u32 [tile], 0;",
     "shared offset 0",
     {{}, {64}},
     kTile},
    {"named_barrier_of_the_wrong_warps",
     FindingKind::kRace,
     "setp.lt.u32 %q1, %tid, 64; mov.u32 %r1, tile; @!%q0 st.shared.u32 [tile], 7;"
     "@%q1 bra low; bar.sync 2, 64; bra done; low: bar.sync 1, 64; done: ld.shared.u32 %r0, "
     "[tile];",
     "setp.lt.u32 %q1, %tid, 64; mov.u32 %r1, tile; @!%q0 st.shared.u32 [tile], 7; bar.sync 3, 128;"
     "@%q1 bra low; bar.sync 2, 64; bra done; low: bar.sync 1, 64; done: ld.shared.u32 %r0, "
     "[tile];",
     "shared offset 0",
     {{}, {128}},
     kTile},
    {"race_between_ctas",
     FindingKind::kRace,
     "st.global.u32 [%p1], %cta;",
     "mul.wide.u32 %rd0, %cta, 4; add.s64 %rd0, %rd0, %p1; st.global.u32 [%rd0], %cta;",
     "byte 0 of 'unwritten', which CTA number 0",
     {{2}, {1}}},
    {"read_of_what_another_cta_writes",
     FindingKind::kRace,
     "setp.eq.u32 %q1, %cta, 1; @%q1 st.global.u32 [%p0], 1; @!%q1 ld.global.u32 %r0, [%p0];",
     "setp.eq.u32 %q1, %cta, 1; @%q1 st.global.u32 [%p0], 1; @!%q1 ld.global.u32 %r0, [%p0+4];",
     "byte 0 of 'written'",
     {{2}, {1}}},
    {"plain_read_of_other_ctas_atomics",
     FindingKind::kRace,
     "red.global.add.u32 [%p0], 1; bar.sync 0; ld.global.u32 %r0, [%p0];",
     "red.global.add.u32 [%p0], 1; bar.sync 0; atom.global.add.u32 %r0, [%p0], 0;",
     "atomically updates",
     {{2}, {32}}},
    {"flag_without_fence",
     FindingKind::kRace,
     // CTA 0 writes and raises a flag; CTA 1 waits for the flag and reads.
     "setp.eq.u32 %q1, %cta, 0; @!%q1 bra reader; st.global.u32 [%p1], 5; atom.global.exch.b32 "
     "%r0, [%p0], 77;"
     "bra done; reader: atom.global.or.b32 %r0, [%p0], 0; setp.ne.u32 %q2, %r0, 77; @%q2 bra "
     "reader;"
     "ld.global.u32 %r1, [%p1]; done:",
     "setp.eq.u32 %q1, %cta, 0; @!%q1 bra reader; st.global.u32 [%p1], 5; membar.gl; "
     "atom.global.exch.b32 %r0, [%p0], 77;"
     "bra done; reader: atom.global.or.b32 %r0, [%p0], 0; setp.ne.u32 %q2, %r0, 77; @%q2 bra "
     "reader;"
     "membar.gl; ld.global.u32 %r1, [%p1]; done:",
     "without order",
     {{2}, {1}}},
    {"cp_async_read_before_its_wait",
     FindingKind::kRace,
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group; bar.sync 0;"
     "ld.shared.u32 %r0, [tile]; cp.async.wait_group 0;",
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group; "
     "cp.async.wait_group 0;"
     "bar.sync 0; ld.shared.u32 %r0, [tile];",
     "asynchronous copy to it is in flight",
     {},
     kTile},
    {"cp_async_waits_for_one_group_too_few",
     FindingKind::kRace,
     "@%q0 bra skip; cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group;"
     "cp.async.ca.shared.global [tile+16], [%p0], 16; cp.async.commit_group; cp.async.wait_group 1;"
     "ld.shared.u32 %r0, [tile+16]; cp.async.wait_all; skip:",
     "@%q0 bra skip; cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group;"
     "cp.async.ca.shared.global [tile+16], [%p0], 16; cp.async.commit_group; cp.async.wait_group 1;"
     "ld.shared.u32 %r0, [tile]; cp.async.wait_all; skip:",
     "in flight",
     {},
     kTile},
    {"cp_async_waited_for_by_its_own_thread_only",
     FindingKind::kRace,
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.wait_all; ld.shared.u32 %r0, "
     "[tile];",
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.wait_all; bar.warp.sync -1; "
     "ld.shared.u32 %r0, [tile];",
     "of this warp wrote",
     {},
     kTile},
    {"exit_with_a_copy_in_flight",
     FindingKind::kAsync,
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group;",
     "@!%q0 cp.async.ca.shared.global [tile], [%p0], 16; cp.async.commit_group; "
     "cp.async.wait_group 0;",
     "never waited for",
     {},
     kTile},
    {"barrier_that_some_warps_skip",
     FindingKind::kDeadlock,
     "setp.lt.u32 %q1, %tid, 32; @%q1 bar.sync 1, 64; @!%q1 bar.sync 2, 64;",
     "bar.sync 1, 64;",
     "warp 0 lanes ffffffff at '",
     {{}, {64}}},
    {"barrier_in_divergent_code", FindingKind::kDeadlock,
     "setp.lt.u32 %q1, %lane, 16; @%q1 bra low; bar.sync 0; bra done; low: bar.sync 0; done:",
     "bar.sync 0;", "lanes 0000ffff"},
    {"barrier_counts_differ",
     FindingKind::kBarrier,
     "setp.lt.u32 %q1, %tid, 32; @%q1 bar.sync 1, 64; @!%q1 bar.sync 1, 96;",
     "bar.sync 1, 96;",
     "thread counts differ",
     {{}, {96}}},
    {"barrier_count_beyond_the_block",
     FindingKind::kBarrier,
     "bar.sync 1, 128;",
     "bar.sync 1, 64;",
     "waits for 128 threads; the CTA has 64",
     {{}, {64}}},
    {"too_many_arrive", FindingKind::kBarrier,
     "bar.arrive 1, 64; bar.arrive 1, 64; bar.arrive 1, 64; bar.sync 2, 32;", "bar.arrive 1, 32;",
     "waits for 64 threads; the CTA has 32"},
    {"barrier_number_16", FindingKind::kBarrier, "bar.sync 16;", "bar.sync 15;",
     "there are only 16"},
    {"member_mask_without_the_caller", FindingKind::kInvalid,
     "setp.lt.u32 %q1, %lane, 16; @!%q1 bra done; shfl.sync.bfly.b32 %r0, %tid, 1, 31, 0xFFFF0000; "
     "done:",
     "setp.lt.u32 %q1, %lane, 16; @!%q1 bra done; shfl.sync.bfly.b32 %r0, %tid, 1, 31, 0x0000FFFF; "
     "done:",
     "its member mask is ffff0000"},
    {"member_mask_with_exited_lanes", FindingKind::kInvalid,
     "setp.ge.u32 %q1, %lane, 16; @%q1 exit; bar.warp.sync -1;",
     "setp.ge.u32 %q1, %lane, 16; @%q1 exit; bar.warp.sync 0xFFFF;", "lanes that have exited"},
    {"shuffle_from_a_lane_that_stays_away", FindingKind::kInvalid,
     "setp.lt.u32 %q1, %lane, 16; @!%q1 bra done; shfl.sync.idx.b32 %r0, %tid, 20, 31, 0xFFFF; "
     "done:",
     "setp.lt.u32 %q1, %lane, 16; @!%q1 bra done; shfl.sync.idx.b32 %r0, %tid, 12, 31, 0xFFFF; "
     "done:",
     "lane 20, which does not take part"},
    {"generic_pointer_of_another_space",
     FindingKind::kInvalid,
     "cvta.to.shared.u64 %rd0, %p0;",
     "mov.u64 %rd1, tile; cvta.shared.u64 %rd1, %rd1; cvta.to.shared.u64 %rd0, %rd1;",
     "does not lie in that space",
     {},
     kTile},
    {"trap", FindingKind::kTrap, "@!%q0 trap;", "@%q9 trap;", "trap"},
    {"breakpoint", FindingKind::kTrap, "@!%q0 brkpt;", "@%q9 brkpt;", "trap"},
};

LaunchResult run_planted(const Planted& p, const char* body) {
  Device d;
  const Address written = put(d, std::vector<std::uint32_t>(256, 1), "written");
  const Address unwritten = d.alloc(1024, "unwritten");
  return run_body(d, std::string("setp.ne.u32 %q0, %tid, 0; setp.gt.u32 %q9, %tid, 4096;\n") + body,
                  {written, unwritten}, p.shape, p.globals);
}

class Findings : public testing::TestWithParam<Planted> {};

TEST_P(Findings, SeenWhereTheFaultIs) {
  const LaunchResult r = run_planted(GetParam(), GetParam().broken);
  ASSERT_FALSE(r.findings.empty());
  bool found = false;
  for (const Finding& f : r.findings) {
    found = found ||
            (f.kind == GetParam().kind && f.message.find(GetParam().message) != f.message.npos);
  }
  EXPECT_TRUE(found) << texts(r);
}

TEST_P(Findings, NotSeenInTheCorrectTwin) {
  const LaunchResult r = run_planted(GetParam(), GetParam().correct);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_TRUE(r.completed);
}

INSTANTIATE_TEST_SUITE_P(Planted, Findings, testing::ValuesIn(kPlanted),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(FindingText, NamesKernelSourceLineThreadAndAddress) {
  Device d;
  const Address a = put(d, std::vector<std::uint32_t>(8), "tensor");
  const LaunchResult r =
      run_body(d,
               "\n.loc 1 42 7\nst.global.u32 [%at0], %tid;\n"
               ".loc 1 50 1, function_name $L__info_string0, inlined_at 2 60 3\n",
               {a}, {}, ".file 1 \"/src/kernel.cu\"\n.file 2 \"/src/outer.cu\"\n");
  ASSERT_EQ(r.findings.size(), 1u);
  const Finding& f = r.findings[0];
  EXPECT_TRUE(f.fatal);
  EXPECT_FALSE(r.completed);
  EXPECT_EQ(f.file, "kernel.cu");
  EXPECT_EQ(f.line, 42);
  EXPECT_EQ(f.kernel, "k");
  EXPECT_EQ(f.warp, 0);
  EXPECT_EQ(f.lane, 8);
  EXPECT_THAT(f.text(),
              testing::StartsWith("out of bounds in k (kernel.cu:42), CTA (0,0,0), warp 0, "
                                  "lane 8: writes 4 bytes of global memory at 0 bytes past "
                                  "the end of 'tensor' (32 bytes)"));
  EXPECT_THAT(f.instruction, testing::HasSubstr("st.global.u32"));
}

// Arguments of templates may be longer than what a report has room for.
TEST(FindingText, NamesACppKernelWithoutItsTemplatesArguments) {
  const auto name = [](const char* kernel) {
    Finding finding;
    finding.kind = FindingKind::kRace;
    finding.kernel = kernel;
    const std::string text = finding.text();
    return text.substr(0, text.find(','));
  };
  EXPECT_EQ(
      name("_ZN7kittens9prototype3lcf6kernelI17attn_fwd_templateILi64EEEEvNT_6layout7globalsE"),
      "race in kittens::prototype::lcf::kernel");
  EXPECT_EQ(name("_Z9attentionPKfS0_fi"), "race in attention");
  EXPECT_EQ(name("_ZN2fa12_GLOBAL__N_17forwardEPf"), "race in fa::forward");
  EXPECT_EQ(name("attention"), "race in attention");
  EXPECT_EQ(name("_Znonsense"), "race in _Znonsense");
}

TEST(FindingText, NamesTheCallOfInlinedCode) {
  Device d;
  const LaunchResult r =
      run_body(d,
               "\n.loc 2 7 1, function_name $x, inlined_at 1 99 2\n"
               ".loc 3 5 1, function_name $x, inlined_at 2 7 1\nadd.u32 %r0, %r50, 1;\n",
               {}, {}, ".file 1 \"kernel.cu\"\n.file 2 \"softmax.h\"\n.file 3 \"math.h\"\n");
  ASSERT_EQ(r.findings.size(), 1u);
  EXPECT_THAT(r.findings[0].text(), testing::HasSubstr("(math.h:5, inlined at kernel.cu:99)"));
}

TEST(Findings, OneOfAKindPerLineIsCounted) {
  Device d;
  const LaunchResult r =
      run_body(d, "add.u32 %r0, %r50, 1;\nadd.u32 %r1, %r51, 1;", {}, {{3}, {64}});
  ASSERT_EQ(r.findings.size(), 2u);
  EXPECT_EQ(r.findings[0].occurrences, 6u);
}

TEST(Findings, ALimitOfInstructionsStopsAnEndlessLoop) {
  Device d({.max_warp_instructions = 100'000});
  const LaunchResult r = run_body(d, "again: bra again;", {});
  ASSERT_EQ(r.findings.size(), 1u);
  EXPECT_EQ(r.findings[0].kind, FindingKind::kLivelock);
  EXPECT_EQ(r.findings[0].instruction, "again: bra again;");
  EXPECT_FALSE(r.completed);
}

// Races do not depend on who happens to come first.
TEST(Findings, EverySeedSeesTheRace) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Device d({.seed = seed});
    const LaunchResult r = run_body(
        d,
        "setp.eq.u32 %q1, %tid, 40; @%q1 st.shared.u32 [tile], 1; setp.eq.u32 %q2, %tid, 3;"
        "@%q2 st.shared.u32 [tile], 2;",
        {}, {{}, {64}}, kTile);
    ASSERT_EQ(r.findings.size(), 1u) << seed;
    EXPECT_EQ(r.findings[0].kind, FindingKind::kRace);
  }
}

}  // namespace
}  // namespace flashbench::ptx
