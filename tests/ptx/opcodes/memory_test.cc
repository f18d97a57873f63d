#include <numeric>

#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

std::vector<U32> iota(std::size_t n, U32 first = 0) {
  std::vector<U32> v(n);
  std::iota(v.begin(), v.end(), first);
  return v;
}

TEST(Memory, VectorsOfEveryWidthGoThroughSharedMemory) {
  Device d;
  const Address in = put(d, iota(256, 1000), "in"), out = d.alloc(1024, "out");
  const LaunchResult r = run_body(
      d,
      "mad.wide.u32 %rd0, %tid, 32, %p0; mov.u32 %r50, tile; mad.lo.u32 %r50, %tid, 32, %r50;"
      "ld.global.nc.L1::no_allocate.v4.u32 {%r0, %r1, %r2, %r3}, [%rd0];"
      "ld.global.v2.f32 {%f0, %f1}, [%rd0+16]; ld.global.b64 %rd1, [%rd0+24];"
      "st.shared.v4.b32 [%r50], {%r0, %r1, %r2, %r3}; st.shared.v2.f32 [%r50+16], {%f0, %f1};"
      "st.shared.u64 [%r50+24], %rd1;"
      "ld.shared.v2.u64 {%rd2, %rd3}, [%r50]; ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r50+16];"
      "mad.wide.u32 %rd4, %tid, 32, %p1; st.global.v2.u64 [%rd4], {%rd2, %rd3};"
      "st.global.cs.v4.u32 [%rd4+16], {%r4, %r5, %r6, %r7};",
      {in, out}, {}, ".shared .align 16 .b8 tile[1024];\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 256), iota(256, 1000));
  EXPECT_EQ(r.counters.global_read_bytes, 1024u);
  EXPECT_EQ(r.counters.global_written_bytes, 1024u);
  EXPECT_EQ(r.counters.shared_written_bytes, 1024u);
  EXPECT_EQ(r.counters.shared_read_bytes, 1024u);
}

TEST(Memory, NarrowLoadsAreExtendedAsTheirTypeSays) {
  Device d;
  const Address in = put(d, std::vector<U32>{0x8081FF7F}, "in"), out = d.alloc(24, "out");
  const LaunchResult r =
      run_body(d,
               "ld.global.s8 %r0, [%p0+2]; ld.global.u8 %r1, [%p0+2]; ld.global.s16 %r2, [%p0+2];"
               "ld.global.u16 %h0, [%p0+1]; cvt.u32.u16 %r3, %h0; ld.global.s8 %rd0, [%p0+3];"
               "st.global.u32 [%p1], %r0; st.global.u32 [%p1+4], %r1; st.global.u32 [%p1+8], %r2;"
               "st.global.u64 [%p1+16], %rd0; st.global.u8 [%p1+12], %r1; st.global.u8 [%p1+13], 1;"
               "st.global.u16 [%p1+14], %h0;",
               {in, out}, {{}, {1}});
  EXPECT_FALSE(r.completed);  // [%p0+1] is no place for 16 bits
  const LaunchResult good =
      run_body(d,
               "ld.global.s8 %r0, [%p0+2]; ld.global.u8 %r1, [%p0+2]; ld.global.s16 %r2, [%p0+2];"
               "ld.global.u16 %h0, [%p0]; ld.global.s8 %rd0, [%p0+3];"
               "st.global.u32 [%p1], %r0; st.global.u32 [%p1+4], %r1; st.global.u32 [%p1+8], %r2;"
               "st.global.u64 [%p1+16], %rd0; st.global.u8 [%p1+12], %r1; st.global.u8 [%p1+13], 1;"
               "st.global.u16 [%p1+14], %h0;",
               {in, out}, {{}, {1}});
  EXPECT_TRUE(good.findings.empty()) << texts(good);
  EXPECT_EQ(get<U32>(d, out, 6),
            (std::vector<U32>{0xFFFFFF81, 0x81, 0xFFFF8081, 0xFF7F0181, 0xFFFFFF80, 0xFFFFFFFF}));
}

TEST(Memory, GenericAddressesReachEverySpace) {
  Device d;
  const Address out = d.alloc(128, "out");
  const LaunchResult r = run_body(
      d,
      ".local .align 8 .b8 own[8]; mov.u64 %rd0, own; cvta.local.u64 %rd0, %rd0; st.u32 [%rd0+4], "
      "%tid;"
      "mov.u64 %rd1, tile; cvta.shared.u64 %rd1, %rd1; add.s64 %rd1, %rd1, %off; ld.u32 %r0, "
      "[%rd0+4];"
      "st.u32 [%rd1], %r0; ld.u32 %r1, [%rd1]; isspacep.shared %q0, %rd1; isspacep.global %q1, "
      "%rd1; not.pred %q1, %q1;"
      "and.pred %q0, %q0, %q1; selp.u32 %r2, 100, 0, %q0; mov.u64 %rd2, table; add.s64 %rd2, %rd2, "
      "4;"
      "ld.const.u32 %r3, [table+8]; ld.u32 %r4, [%rd2]; add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, "
      "%r3;"
      "add.u32 %r1, %r1, %r4; st.u32 [%at0], %r1;",
      {out}, {},
      ".shared .align 4 .b8 tile[128];\n.const .align 4 .u32 table[4] = {1, 1000, 20000};\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 32), iota(32, 21100));
}

TEST(Memory, PackAndUnpack) {
  const std::vector<U64> a = edge_values<U64>();
  const auto swapped = apply<U64>("mov.b64 {%r0, %r1}, %a; mov.b64 %d, {%r1, %r0};", a);
  const auto high =
      apply<U32>("mov.b64 {_, %r1}, %a; mov.b32 {%h0, %h1}, %r1; mov.b32 %d, {%h1, %h0};", a);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(swapped[i], a[i] << 32 | a[i] >> 32);
    const U32 h = static_cast<U32>(a[i] >> 32);
    EXPECT_EQ(high[i], h << 16 | h >> 16);
  }
}

TEST(Atomic, EveryOperationOnGlobalMemory) {
  Device d;
  const Address words =
      put(d, std::vector<U32>{0, 100, ~0u, 0, 0xF0F0F0F0, 0, 0xAAAAAAAA, 5, 3, 9, 0, 0}, "words");
  const Address olds = d.alloc(128, "olds");
  const LaunchResult r = run_body(
      d,
      "atom.global.add.u32 %r0, [%p0], 1; red.global.max.s32 [%p0+4], %tid; red.global.min.u32 "
      "[%p0+8], %tid;"
      "add.u32 %r1, %tid, 1; atom.global.cas.b32 %r2, [%p0+12], 0, %r1; red.global.and.b32 "
      "[%p0+16], 0xFF;"
      "shl.b32 %r3, 1, %tid; red.global.or.b32 [%p0+20], %r3; red.global.xor.b32 [%p0+24], %r3;"
      "red.global.inc.u32 [%p0+28], 6; red.global.dec.u32 [%p0+32], 6; atom.global.exch.b32 %r4, "
      "[%p0+36], 77;"
      "red.global.add.f32 [%p0+40], 0f3F000000; atom.global.add.u64 %rd0, [%p0+40], 0; "
      "st.global.u32 [%at1], %r0;",
      {words, olds});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  const std::vector<U32> w = get<U32>(d, words, 12);
  EXPECT_EQ(w[0], 32u);
  EXPECT_EQ(w[1], 100u);
  EXPECT_EQ(w[2], 0u);
  EXPECT_TRUE(w[3] >= 1 && w[3] <= 32);
  EXPECT_EQ(w[4], 0xF0u);
  EXPECT_EQ(w[5], ~0u);
  EXPECT_EQ(w[6], 0x55555555u);
  EXPECT_EQ(w[7], (5 + 32) % 7u);
  EXPECT_EQ(w[8], (3 + 7 * 5 - 32) % 7u);
  EXPECT_EQ(w[9], 77u);
  EXPECT_EQ(std::bit_cast<float>(w[10]), 16.0f);
  std::vector<U32> old = get<U32>(d, olds, 32);
  std::sort(old.begin(), old.end());
  EXPECT_EQ(old, iota(32));  // each lane saw another value
}

TEST(Atomic, VectorsAndPairsAddElementwise) {
  Device d;
  const Address sums = put(d, std::vector<float>(4, 1.0f), "sums");
  const Address halves = put(d, std::vector<U32>{0, 0}, "halves");
  const LaunchResult r = run_body(d,
                                  "mov.f32 %f0, 0f40000000; mov.f32 %f1, 0f40800000;"
                                  "red.global.add.v4.f32 [%p0], {%f0, %f1, %f0, %f1};"
                                  "red.global.add.noftz.bf16x2 [%p1], 0x3F803F00; "
                                  "red.global.add.noftz.f16x2 [%p1+4], 0x3C003800;",
                                  {sums, halves}, {{2}, {32}});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<float>(d, sums, 4), (std::vector<float>{129, 257, 129, 257}));
  EXPECT_EQ(get<U32>(d, halves, 2), (std::vector<U32>{0x42804200, 0x54005000}));
}

// The last CTA to arrive adds up what all wrote: the pattern of every two-step reduction.
TEST(Atomic, AFenceAndACounterOrderCtas) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Device d({.seed = seed, .resident_ctas = 3, .slice_instructions = 7});
    const Address parts = d.alloc(32, "parts"), counter = put(d, std::vector<U32>{0}, "counter"),
                  sum = d.alloc(4, "sum");
    const LaunchResult r = run_body(
        d,
        "mul.wide.u32 %rd0, %cta, 4; add.s64 %rd0, %rd0, %p0; add.u32 %r0, %cta, 1;"
        "st.global.u32 [%rd0], %r0; membar.gl; atom.global.inc.u32 %r1, [%p1], 7;"
        "setp.ne.u32 %q0, %r1, 7; @%q0 ret; membar.gl; mov.u32 %r2, 0; mov.u32 %r3, 0;"
        "loop: mul.wide.u32 %rd1, %r2, 4; add.s64 %rd1, %rd1, %p0; ld.global.u32 %r4, [%rd1];"
        "add.u32 %r3, %r3, %r4; add.u32 %r2, %r2, 1; setp.lt.u32 %q1, %r2, 8; @%q1 bra loop;"
        "st.global.u32 [%p2], %r3;",
        {parts, counter, sum}, {{8}, {1}});
    EXPECT_TRUE(r.findings.empty()) << texts(r);
    EXPECT_EQ(get<U32>(d, sum, 1)[0], 36u);
  }
}

// A CTA that spins for another one's release must not keep it from running.
TEST(Atomic, AcquireSeesWhatReleasePublished) {
  Device d({.resident_ctas = 2});
  const Address flag = put(d, std::vector<U32>{0}, "flag"), data = d.alloc(4, "data"),
                out = d.alloc(4, "out");
  const LaunchResult r =
      run_body(d,
               "setp.eq.u32 %q0, %cta, 1; @%q0 bra writer;"
               "wait: ld.acquire.gpu.global.u32 %r0, [%p0]; setp.eq.u32 %q1, %r0, 0; @%q1 bra wait;"
               "ld.global.u32 %r1, [%p1]; st.global.u32 [%p2], %r1; ret;"
               "writer: st.global.u32 [%p1], 42; st.release.gpu.global.u32 [%p0], 1;",
               {flag, data, out}, {{2}, {1}});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 1)[0], 42u);
}

TEST(AsyncCopy, EverySizeAndZeroFill) {
  Device d;
  const Address in = put(d, iota(64, 1), "in"), out = d.alloc(256, "out");
  const LaunchResult r =
      run_body(d,
               "setp.gt.u32 %q0, %tid, 3; mov.u32 %r50, tile; mad.lo.u32 %r50, %tid, 64, %r50; "
               "mad.wide.u32 %rd0, %tid, 64, %p0;"
               "@%q0 ret; cp.async.cg.shared.global [%r50], [%rd0], 16; cp.async.ca.shared.global "
               "[%r50+16], [%rd0+16], 8;"
               "cp.async.ca.shared.global.L2::128B [%r50+24], [%rd0+24], 4; "
               "cp.async.ca.shared.global [%r50+28], [%rd0+28], 4, 0;"
               "cp.async.cg.shared.global [%r50+32], [%rd0+32], 16, 12; cp.async.commit_group;"
               "cp.async.cg.shared.global [%r50+48], [%rd0+48], 16, 0; cp.async.wait_all;"
               "mad.wide.u32 %rd1, %tid, 64, %p1;"
               "ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%r50]; st.global.v4.u32 [%rd1], {%r0, %r1, "
               "%r2, %r3};"
               "ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%r50+16]; st.global.v4.u32 [%rd1+16], "
               "{%r0, %r1, %r2, %r3};"
               "ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%r50+32]; st.global.v4.u32 [%rd1+32], "
               "{%r0, %r1, %r2, %r3};"
               "ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%r50+48]; st.global.v4.u32 [%rd1+48], "
               "{%r0, %r1, %r2, %r3};",
               {in, out}, {}, ".shared .align 16 .b8 tile[256];\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  std::vector<U32> expected = iota(64, 1);
  for (std::size_t t = 0; t < 64; t += 16) {
    for (const std::size_t zero : {7, 11, 12, 13, 14, 15}) expected[t + zero] = 0;
  }
  EXPECT_EQ(get<U32>(d, out, 64), expected);
}

// What other CTAs read in an earlier launch is no race.
TEST(Launch, EarlierLaunchesAreForgotten) {
  Device d;
  const Address word = put(d, std::vector<U32>{1}, "word");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(run_body(d, "ld.global.u32 %r0, [%p0];", {word}, {{5}, {32}}).findings.empty());
    EXPECT_TRUE(run_body(d, "st.global.u32 [%p0], 7;", {word}, {{1}, {1}}).findings.empty());
  }
}

// The source is read when the copy completes, or before: a source that is not written yet is seen.
TEST(AsyncCopy, TheSourceMustStayWhatItIs) {
  Device d;
  const Address in = d.alloc(64, "in");
  const LaunchResult r =
      run_body(d, "cp.async.ca.shared.global [tile], [%p0], 4; cp.async.wait_all;", {in}, {{}, {1}},
               ".shared .align 16 .b8 tile[64];\n");
  ASSERT_EQ(r.findings.size(), 1u);
  EXPECT_EQ(r.findings[0].kind, FindingKind::kUninitialised);
}

}  // namespace
}  // namespace flashbench::ptx
