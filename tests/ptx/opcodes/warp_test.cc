#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U32 = std::uint32_t;

// One value per lane of a warp.
std::vector<U32> lanes(const std::string& code) {
  std::vector<U32> tid(32);
  for (U32 i = 0; i < 32; ++i) tid[i] = i;
  return apply<U32>(code, tid);
}

template <class F>
std::vector<U32> per_lane(F f) {
  std::vector<U32> v(32);
  for (U32 i = 0; i < 32; ++i) v[i] = f(i);
  return v;
}

TEST(Warp, ShufflesOfEveryModeAndWidth) {
  const std::string square = "mul.lo.u32 %r0, %a, %a; ";
  const auto sq = [](U32 i) { return i * i; };
  EXPECT_EQ(lanes(square + "shfl.sync.up.b32 %d, %r0, 3, 0, -1;"),
            per_lane([&](U32 i) { return sq(i >= 3 ? i - 3 : i); }));
  EXPECT_EQ(lanes(square + "shfl.sync.down.b32 %d, %r0, 5, 31, -1;"),
            per_lane([&](U32 i) { return sq(i + 5 < 32 ? i + 5 : i); }));
  EXPECT_EQ(lanes(square + "shfl.sync.bfly.b32 %d, %r0, 6, 31, -1;"),
            per_lane([&](U32 i) { return sq(i ^ 6); }));
  EXPECT_EQ(lanes(square + "mul.lo.u32 %r1, %a, 7; shfl.sync.idx.b32 %d, %r0, %r1, 31, -1;"),
            per_lane([&](U32 i) { return sq(i * 7 % 32); }));
  // Width 8: the clamp is 31, the mask of segments 0x18.
  EXPECT_EQ(lanes(square + "shfl.sync.down.b32 %d, %r0, 3, 0x181F, -1;"),
            per_lane([&](U32 i) { return sq(i % 8 + 3 < 8 ? i + 3 : i); }));
  EXPECT_EQ(lanes(square + "shfl.sync.up.b32 %d, %r0, 2, 0x1800, -1;"),
            per_lane([&](U32 i) { return sq(i % 8 >= 2 ? i - 2 : i); }));
  EXPECT_EQ(lanes(square + "shfl.sync.idx.b32 %d, %r0, 1, 0x181F, -1;"),
            per_lane([&](U32 i) { return sq(i / 8 * 8 + 1); }));
  EXPECT_EQ(lanes("shfl.sync.down.b32 %r0|%q0, %a, 4, 31, -1; selp.u32 %d, 1, 0, %q0;"),
            per_lane([&](U32 i) { return U32{i + 4 < 32}; }));
}

TEST(Warp, VotesMatchesAndReductions) {
  const std::string third = "rem.u32 %r0, %a, 3; setp.eq.u32 %q0, %r0, 0; ";
  U32 ballot = 0;
  for (U32 i = 0; i < 32; i += 3) ballot |= 1u << i;
  EXPECT_EQ(lanes(third + "vote.sync.ballot.b32 %d, %q0, -1;"),
            per_lane([&](U32) { return ballot; }));
  EXPECT_EQ(lanes(third + "vote.sync.ballot.b32 %d, !%q0, -1;"),
            per_lane([&](U32) { return ~ballot; }));
  EXPECT_EQ(lanes(third + "vote.sync.any.pred %q1, %q0, -1; selp.u32 %d, 1, 0, %q1;"),
            per_lane([](U32) { return 1u; }));
  EXPECT_EQ(lanes(third + "vote.sync.all.pred %q1, %q0, -1; selp.u32 %d, 1, 0, %q1;"),
            per_lane([](U32) { return 0u; }));
  EXPECT_EQ(
      lanes("setp.lt.u32 %q0, %a, 99; vote.sync.all.pred %q1, %q0, -1; selp.u32 %d, 1, 0, %q1;"),
      per_lane([](U32) { return 1u; }));
  EXPECT_EQ(lanes("and.b32 %r0, %a, 3; match.any.sync.b32 %d, %r0, -1;"),
            per_lane([](U32 i) { return 0x11111111u << (i % 4); }));
  EXPECT_EQ(lanes("match.all.sync.b32 %d|%q0, %a, -1;"), per_lane([](U32) { return 0u; }));
  EXPECT_EQ(lanes("redux.sync.add.u32 %d, %a, -1;"), per_lane([](U32) { return 496u; }));
  EXPECT_EQ(lanes("sub.s32 %r0, %a, 9; redux.sync.min.s32 %d, %r0, -1;"),
            per_lane([](U32) { return static_cast<U32>(-9); }));
  EXPECT_EQ(lanes("sub.s32 %r0, %a, 9; redux.sync.max.u32 %d, %r0, -1;"),
            per_lane([](U32) { return ~0u; }));
  EXPECT_EQ(lanes("redux.sync.xor.b32 %d, %a, -1;"), per_lane([](U32) { return 0u; }));
  EXPECT_EQ(lanes("activemask.b32 %d;"), per_lane([](U32) { return ~0u; }));
}

// Both sides of a branch use collectives of their own lanes, then all meet again.
TEST(Warp, DivergedLanesWorkAloneAndReconverge) {
  const auto d = lanes(
      "and.b32 %r0, %a, 1; setp.eq.u32 %q0, %r0, 0; mov.u32 %r1, 0; @%q0 bra even;"
      "redux.sync.add.u32 %r1, %a, 0xAAAAAAAA; bra join;"
      "even: redux.sync.add.u32 %r1, %a, 0x55555555; join: shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1; "
      "sub.u32 %d, %r1, %r2;");
  EXPECT_EQ(d, per_lane([](U32 i) { return i % 2 ? 16u : static_cast<U32>(-16); }));
}

TEST(Control, LoopsOfDifferentLengthsAndEarlyExits) {
  const auto d = lanes(
      "mov.u32 %d, 0; mov.u32 %r0, %a; loop: setp.eq.u32 %q0, %r0, 0; @%q0 bra done; add.u32 %d, "
      "%d, %r0;"
      "sub.u32 %r0, %r0, 1; bra.uni loop; done: setp.gt.u32 %q1, %a, 29; @%q1 add.u32 %d, %d, "
      "1000;");
  EXPECT_EQ(d, per_lane([](U32 i) { return i * (i + 1) / 2 + (i > 29 ? 1000 : 0); }));
}

TEST(Control, IndexedBranches) {
  const auto d = lanes(
      "and.b32 %r0, %a, 3; table: .branchtargets zero, one, two, one; brx.idx %r0, table;"
      "zero: mov.u32 %d, 10; bra done; one: mov.u32 %d, 11; bra done; two: mov.u32 %d, 12; done:");
  EXPECT_EQ(d, per_lane([](U32 i) { return std::vector<U32>{10, 11, 12, 11}[i % 4]; }));
}

TEST(Control, FunctionsCallEachOther) {
  const std::string functions =
      ".func (.param .b32 result) twice(.param .b32 v)\n{ .reg .b32 %x; ld.param.u32 %x, [v]; "
      "add.u32 %x, %x, %x;"
      " st.param.b32 [result], %x; ret; }\n"
      ".func (.param .b32 result) four_times(.param .b32 v, .param .align 8 .b8 more[16])\n{ .reg "
      ".b32 %x, %y; ld.param.u32 %x, [v];"
      " ld.param.u32 %y, [more+8];"
      " { .param .b32 a; st.param.b32 [a], %x; .param .b32 r; call.uni (r), twice, (a); "
      "ld.param.b32 %x, [r]; }"
      " { .param .b32 a; st.param.b32 [a], %x; .param .b32 r; call.uni (r), twice, (a); "
      "ld.param.b32 %x, [r]; }"
      " add.u32 %x, %x, %y; st.param.b32 [result], %x; ret; }\n";
  Device d;
  const Address out = d.alloc(128, "out");
  const LaunchResult r = run_body(
      d,
      "setp.gt.u32 %q0, %tid, 20; mov.u32 %r0, %tid; @%q0 bra skip;"
      "{ .param .b32 a; .param .align 8 .b8 m[16]; st.param.b32 [a], %tid; st.param.b32 [m+8], 100;"
      " .param .b32 r; call.uni (r), four_times, (a, m); ld.param.b32 %r0, [r]; }"
      "skip: st.global.u32 [%at0], %r0;",
      {out}, {}, functions);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 32), per_lane([](U32 i) { return i > 20 ? i : 4 * i + 100; }));
}

TEST(Control, SpecialRegistersOfAThreeDimensionalLaunch) {
  Device d;
  const Address out = d.alloc(2 * 3 * 2 * 30 * 4, "out");
  const LaunchResult r = run_body(d,
                                  "mov.u32 %r0, %ctaid.z; mov.u32 %r1, %nctaid.y; mov.u32 %r2, "
                                  "%ctaid.y; mad.lo.u32 %r0, %r0, %r1, %r2;"
                                  "mov.u32 %r1, %nctaid.x; mad.lo.u32 %r0, %r0, %r1, %cta; mov.u32 "
                                  "%r1, %ntid.z; mov.u32 %r2, %tid.z;"
                                  "mad.lo.u32 %r0, %r0, %r1, %r2; mov.u32 %r1, %ntid.y; mov.u32 "
                                  "%r2, %tid.y; mad.lo.u32 %r0, %r0, %r1, %r2;"
                                  "mov.u32 %r1, %ntid.x; mad.lo.u32 %r0, %r0, %r1, %tid; "
                                  "mul.wide.u32 %rd0, %r0, 4; add.s64 %rd0, %rd0, %p0;"
                                  "st.global.u32 [%rd0], %r0;",
                                  {out}, {{2, 3, 2}, {5, 3, 2}});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  const auto v = get<U32>(d, out, 360);
  for (U32 i = 0; i < 360; ++i) ASSERT_EQ(v[i], i);
  EXPECT_EQ(r.counters.ctas, 12u);
}

TEST(Barrier, ReductionsOverTheBlock) {
  Device d;
  const Address out = d.alloc(256 * 4, "out");
  const LaunchResult r = run_body(
      d,
      "setp.lt.u32 %q0, %tid, 40; bar.red.popc.u32 %r0, 0, %q0; bar.red.and.pred %q1, 0, %q0;"
      "bar.red.or.pred %q2, 0, %q0; bar.red.popc.u32 %r3, 1, 64, !%q0; selp.u32 %r1, 1000, 0, %q1; "
      "selp.u32 %r2, 2000, 0, %q2;"
      "add.u32 %r0, %r0, %r1; add.u32 %r0, %r0, %r2; mad.lo.u32 %r0, %r3, 10000, %r0; "
      "st.global.u32 [%at0], %r0;",
      {out}, {{}, {64}});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 64), std::vector<U32>(64, 242040));
  EXPECT_EQ(r.counters.barriers, 4u);
}

// A producer arrives without waiting, a consumer waits: two warps at one named barrier.
TEST(Barrier, ArriveAndSyncOrderTwoWarps) {
  Device d;
  const Address out = d.alloc(256, "out");
  const LaunchResult r =
      run_body(d,
               "mov.u32 %r50, tile; setp.lt.u32 %q0, %tid, 32; @!%q0 bra consumer;"
               "mad.lo.u32 %r50, %tid, 4, %r50; st.shared.u32 [%r50], %tid; bar.arrive 3, 64; ret;"
               "consumer: bar.sync 3, 64; mad.lo.u32 %r50, %lane, 4, %r50; ld.shared.u32 %r0, "
               "[%r50]; st.global.u32 [%at0], %r0;",
               {out}, {{}, {64}}, ".shared .align 4 .b8 tile[128];\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out + 128, 32), per_lane([](U32 i) { return i; }));
}

TEST(Barrier, ExitedWarpsDoNotCount) {
  Device d;
  const LaunchResult r =
      run_body(d, "setp.gt.u32 %q0, %tid, 63; @%q0 ret; bar.sync 0; bar.sync 0;", {}, {{}, {128}});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
}

}  // namespace
}  // namespace flashbench::ptx
