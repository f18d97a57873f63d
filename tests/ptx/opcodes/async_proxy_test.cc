// mbarriers, bulk copies with and without tensor maps, wgmma.
#include "ptx/machine/tensor_map.h"
#include "ptx/opcodes/number_formats.h"
#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U16 = std::uint16_t;
using U32 = std::uint32_t;

constexpr const char* kShared =
    ".shared .align 1024 .b8 tile[8192];\n.shared .align 8 .b64 full;\n.shared .align 8 .b64 "
    "empty;\n";

std::vector<float> ramp(std::size_t n) {
  std::vector<float> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<float>(i);
  return v;
}

// Thread 0 makes the mbarrier and lets a 256-byte bulk load arrive at it; all wait and read.
struct BulkText {
  std::string init =
      "@!%q0 mbarrier.init.shared.b64 [full], 1; fence.mbarrier_init.release.cluster; bar.sync 0;";
  std::string issue =
      "@%q0 bra issued; mbarrier.arrive.expect_tx.shared.b64 %rd5, [full], 256;"
      "mov.u32 %r50, tile; mov.u32 %r51, full;"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r50], [%p0], 256, "
      "[%r51]; issued:";
  std::string wait = "again: mbarrier.try_wait.parity.shared.b64 %q1, [full], 0; @!%q1 bra again;";
  std::string read =
      "mov.u32 %r50, tile; mad.lo.u32 %r50, %tid, 4, %r50; ld.shared.f32 %f0, [%r50]; "
      "st.global.f32 [%at1], %f0;";
  std::string all() const { return "setp.ne.u32 %q0, %tid, 0;" + init + issue + wait + read; }
};

LaunchResult run_bulk(Device& d, const BulkText& text, Address* out = nullptr) {
  const Address in = put(d, ramp(64), "in"), to = d.alloc(256, "out");
  if (out != nullptr) *out = to;
  return run_body(d, text.all(), {in, to}, {{}, {64}}, kShared);
}

TEST(Bulk, LoadsArriveAtTheirMbarrier) {
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    Device d({.seed = seed});
    Address out = 0;
    const LaunchResult r = run_bulk(d, {}, &out);
    EXPECT_TRUE(r.findings.empty()) << texts(r);
    EXPECT_EQ(get<float>(d, out, 64), ramp(64));
  }
}

void expect_finding(const BulkText& text, FindingKind kind, const std::string& message) {
  Device d;
  const LaunchResult r = run_bulk(d, text);
  bool found = false;
  for (const Finding& f : r.findings)
    found = found || (f.kind == kind && f.message.find(message) != f.message.npos);
  EXPECT_TRUE(found) << message << "\n" << texts(r);
}

TEST(Bulk, PlantedFaults) {
  BulkText t;
  t.wait = "";
  expect_finding(t, FindingKind::kRace, "shared offset");
  t = {};
  t.init = "@!%q0 mbarrier.init.shared.b64 [full], 1; bar.sync 0;";
  expect_finding(t, FindingKind::kProxy, "fence.mbarrier_init");
  t = {};
  t.init = "@!%q0 mbarrier.init.shared.b64 [full], 1; fence.mbarrier_init.release.cluster;";
  expect_finding(t, FindingKind::kRace, "initialisation");
  t = {};
  t.issue.replace(t.issue.find("256;"), 4, "512;");
  expect_finding(t, FindingKind::kDeadlock, "mbarrier.try_wait");
  t = {};
  t.issue.replace(t.issue.find("[full], 256;"), 12, "[full], 128;");
  expect_finding(t, FindingKind::kDeadlock, "mbarrier.try_wait");
  t = {};
  t.issue = "mbarrier.arrive.shared.b64 %rd5, [full], 2;" + t.issue;
  expect_finding(t, FindingKind::kBarrier, "more arrivals than its count of 1");
  t = {};
  t.wait.replace(t.wait.find("[full], 0"), 9, "[full], 1");
  expect_finding(t, FindingKind::kRace, "shared offset");
  t = {};
  t.init = "";
  expect_finding(t, FindingKind::kBarrier, "no mbarrier is initialised");
}

// As CUTLASS writes an arrival at an mbarrier of any CTA of the cluster.
TEST(Bulk, AnAddressInAClusterOfOneCtaIsThatOfTheCta) {
  BulkText t;
  const std::string arrival = "mbarrier.arrive.expect_tx.shared.b64 %rd5, [full], 256;";
  const auto remote = [](int rank) {
    return fmt::format(
        "mov.u32 %r53, full; mov.u32 %r54, %cluster_ctaid.y; add.u32 %r54, %r54, {};"
        "mapa.shared::cluster.u32 %r52, %r53, %r54;"
        "mbarrier.arrive.expect_tx.shared::cluster.b64 _, [%r52], 256;",
        rank);
  };
  t.issue.replace(t.issue.find(arrival), arrival.size(), remote(0));
  Device d;
  Address out = 0;
  const LaunchResult r = run_bulk(d, t, &out);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<float>(d, out, 64), ramp(64));
  t.issue.replace(t.issue.find(remote(0)), remote(0).size(), remote(1));
  expect_finding(t, FindingKind::kInvalid, "asks for CTA 1 of a cluster of one");
}

TEST(Bulk, StoresAndReductionsNeedTheProxyFence) {
  for (const bool fence : {true, false}) {
    Device d;
    const Address out = put(d, std::vector<float>(64, 1.0f), "out"),
                  sum = put(d, std::vector<float>(64, 1.0f), "sum");
    const LaunchResult r = run_body(
        d,
        std::string("setp.ne.u32 %q0, %tid, 0; mov.u32 %r50, tile; mad.lo.u32 %r51, %tid, 4, %r50; "
                    "cvt.rn.f32.u32 %f0, %tid;"
                    "st.shared.f32 [%r51], %f0;") +
            (fence ? "fence.proxy.async.shared::cta;" : "") +
            "bar.sync 0; @%q0 ret; cp.async.bulk.global.shared::cta.bulk_group [%p0], [%r50], 256;"
            "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%p1], [%r50], 256;"
            "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;",
        {out, sum}, {{}, {64}}, kShared);
    if (!fence) {
      ASSERT_FALSE(r.findings.empty());
      EXPECT_EQ(r.findings[0].kind, FindingKind::kProxy);
      continue;
    }
    EXPECT_TRUE(r.findings.empty()) << texts(r);
    EXPECT_EQ(get<float>(d, out, 64), ramp(64));
    const auto v = get<float>(d, sum, 64);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(v[i], static_cast<float>(i) + 1);
  }
}

// As a ring of stages whose oldest is given back one wait too early.
TEST(Bulk, WritingWhatAStoreInFlightReadsIsReported) {
  for (const int left : {0, 1}) {
    Device d;
    const Address out = d.alloc(32, "out");
    const LaunchResult r =
        run_body(d,
                 fmt::format("mov.u32 %r50, tile; mov.u32 %r51, 1; st.shared.v4.b32 [%r50], "
                             "{{%r51, %r51, %r51, %r51}}; fence.proxy.async;"
                             "cp.async.bulk.global.shared::cta.bulk_group [%p0], [%r50], 16;"
                             "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read {};"
                             "st.shared.f32 [%r50], 0f00000000; cp.async.bulk.wait_group 0;",
                             left),
                 {out}, {{}, {1}}, kShared);
    const bool race = !r.findings.empty() && r.findings[0].kind == FindingKind::kRace;
    EXPECT_EQ(race, left == 1) << texts(r);
    EXPECT_EQ(texts(r).find("while a bulk store of it is in flight") != std::string::npos,
              left == 1);
  }
}

TEST(Bulk, ExitingBeforeTheStoreIsDoneIsReported) {
  Device d;
  const Address out = d.alloc(256, "out");
  const LaunchResult r = run_body(
      d,
      "st.shared.f32 [tile], 0f00000000; fence.proxy.async; mov.u32 %r50, tile;"
      "cp.async.bulk.global.shared::cta.bulk_group [%p0], [%r50], 16; cp.async.bulk.commit_group;",
      {out}, {{}, {1}}, kShared);
  bool found = false;
  for (const Finding& f : r.findings) found = found || f.kind == FindingKind::kAsync;
  EXPECT_TRUE(found) << texts(r);
}

constexpr const char* kMapHeader =
    ".version 9.0\n.target sm_90a\n.address_size 64\n.shared .align 1024 .b8 tile[8192];\n.shared "
    ".align 8 .b64 full;\n";

// A box of 64 x 8 elements of 16 bits, 128-byte swizzle: row r's chunk c lies at chunk c ^ r % 8.
// Rows and columns beyond the tensor are zero.
TEST(TensorMap, BoxesAreSwizzledAndFilledWithZeros) {
  Device d;
  constexpr U32 kRows = 13, kColumns = 56;
  std::vector<U16> tensor(kRows * 64, 0xEEEE);  // 64: the stride
  for (U32 r = 0; r < kRows; ++r) {
    for (U32 c = 0; c < kColumns; ++c) tensor[r * 64 + c] = static_cast<U16>(100 * r + c);
  }
  const Address in = put(d, tensor, "tensor"), out = d.alloc(1024, "out"),
                copy = put(d, std::vector<U16>(kRows * 64, 7), "copy");
  const std::vector<U32> size{kColumns, kRows};
  const std::vector<std::uint64_t> stride{128};
  const std::vector<U16> box{64, 8};
  const TensorMap from = encode_tensor_map(in, 2, size, stride, box, Swizzle::k128);
  const TensorMap to = encode_tensor_map(copy, 2, size, stride, box, Swizzle::k128);
  const std::string text =
      std::string(kMapHeader) +
      ".visible .entry k(.param .align 64 .b8 from[128], .param .align 64 .b8 to[128], .param .u64 "
      "out) {\n"
      ".reg .pred %q<3>; .reg .b32 %r<9>; .reg .f32 %f<5>; .reg .b64 %rd<9>;\n"
      "mov.b64 %rd0, from; cvta.param.u64 %rd0, %rd0; mov.b64 %rd1, to; cvta.param.u64 %rd1, %rd1; "
      "ld.param.u64 %rd2, [out];\n"
      "mov.u32 %r0, %tid.x; setp.ne.u32 %q0, %r0, 0; mov.u32 %r1, tile; mov.u32 %r2, full; mov.u32 "
      "%r3, 0; mov.u32 %r4, 8;\n"
      "@!%q0 mbarrier.init.shared::cta.b64 [full], 1; fence.mbarrier_init.release.cluster; "
      "bar.sync 0; @%q0 bra wait;\n"
      "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [full], 1024;\n"
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], "
      "[%rd0, {%r3, %r4}], [%r2];\n"
      "wait: mbarrier.try_wait.parity.shared::cta.b64 %q1, [full], 0; @!%q1 bra wait;\n"
      "mad.lo.u32 %r5, %r0, 16, %r1; ld.shared.v4.f32 {%f0, %f1, %f2, %f3}, [%r5]; mad.wide.u32 "
      "%rd3, %r0, 16, %rd2;\n"
      "st.global.v4.f32 [%rd3], {%f0, %f1, %f2, %f3}; @%q0 ret;\n"
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd1, {%r3, %r4}], [%r1];\n"
      "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; ret; }\n";
  const std::vector<std::span<const std::byte>> arguments{raw(from), raw(to), raw(out)};
  const LaunchResult r = d.launch(d.load(text, "map"), "k", {}, {64}, 0, arguments);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  const auto v = get<U16>(d, out, 512), stored = get<U16>(d, copy, kRows * 64);
  for (U32 row = 0; row < 8; ++row) {
    for (U32 c = 0; c < 64; ++c) {
      const U32 chunk = (c / 8) ^ (row % 8);
      const bool inside = row + 8 < kRows && c < kColumns;
      ASSERT_EQ(v[row * 64 + chunk * 8 + c % 8], inside ? 100 * (row + 8) + c : 0)
          << row << " " << c;
    }
  }
  for (U32 row = 0; row < kRows; ++row) {
    for (U32 c = 0; c < 64; ++c) {
      ASSERT_EQ(stored[row * 64 + c], row >= 8 && c < kColumns ? 100 * row + c : 7);
    }
  }
}

// A map of integers is as wide, and its sums would be those of other numbers.
TEST(TensorMap, F32IsAddedToMapsOfF32Alone) {
  for (const bool is_f32 : {true, false}) {
    Device d;
    const Address sum = put(d, std::vector<float>(64, 1.0f), "sum");
    const std::vector<U32> size{8, 8};
    const std::vector<std::uint64_t> stride{32};
    const std::vector<U16> box{8, 8};
    TensorMap map = encode_tensor_map(sum, 4, size, stride, box, Swizzle::kNone);
    map.is_f32 = is_f32;
    const std::string text =
        std::string(kMapHeader) +
        ".visible .entry k(.param .align 64 .b8 to[128]) {\n"
        ".reg .pred %q<3>; .reg .b32 %r<9>; .reg .f32 %f<3>; .reg .b64 %rd<9>;\n"
        "mov.b64 %rd0, to; cvta.param.u64 %rd0, %rd0; mov.u32 %r0, %tid.x; mov.u32 %r1, tile;\n"
        "mov.u32 %r3, 0; mad.lo.u32 %r2, %r0, 4, %r1; cvt.rn.f32.u32 %f0, %r0;\n"
        "st.shared.f32 [%r2], %f0; fence.proxy.async.shared::cta; bar.sync 0;\n"
        "setp.ne.u32 %q0, %r0, 0; @%q0 ret;\n"
        "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%rd0, {%r3, %r3}], "
        "[%r1];\n"
        "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; ret; }\n";
    const std::vector<std::span<const std::byte>> arguments{raw(map)};
    const LaunchResult r = d.launch(d.load(text, "map"), "k", {}, {64}, 0, arguments);
    EXPECT_EQ(r.findings.empty(), is_f32) << texts(r);
    if (!is_f32) {
      EXPECT_NE(texts(r).find("of other elements than f32"), std::string::npos) << texts(r);
      continue;
    }
    const auto v = get<float>(d, sum, 64);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(v[i], static_cast<float>(i) + 1);
  }
}

TEST(Bulk, SharedAddressesOfBoxesAreAligned) {
  for (const auto& [swizzle, offset, legal] : {std::tuple{Swizzle::kNone, 128, true},
                                               {Swizzle::kNone, 64, false},
                                               {Swizzle::k32, 256, true},
                                               {Swizzle::k32, 128, false},
                                               {Swizzle::k64, 512, true},
                                               {Swizzle::k64, 256, false},
                                               {Swizzle::k128, 1024, true},
                                               {Swizzle::k128, 512, false}}) {
    Device d;
    const Address in = put(d, std::vector<U16>(64, 1), "tensor");
    const std::vector<U32> size{8, 8};
    const std::vector<std::uint64_t> stride{16};
    const std::vector<U16> box{8, 8};
    const TensorMap map = encode_tensor_map(in, 2, size, stride, box, swizzle);
    const std::string text =
        std::string(kMapHeader) +
        ".visible .entry k(.param .align 64 .b8 from[128]) {\n"
        ".reg .pred %q<3>; .reg .b32 %r<9>; .reg .b64 %rd<9>;\n"
        "mov.b64 %rd0, from; cvta.param.u64 %rd0, %rd0; mov.u32 %r1, tile+" +
        std::to_string(offset) +
        "; mov.u32 %r2, full; mov.u32 %r3, 0;\n"
        "mbarrier.init.shared::cta.b64 [full], 1; fence.mbarrier_init.release.cluster;\n"
        "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [full], 128;\n"
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], "
        "[%rd0, {%r3, %r3}], [%r2];\n"
        "wait: mbarrier.try_wait.parity.shared::cta.b64 %q1, [full], 0; @!%q1 bra wait; ret; }\n";
    const std::vector<std::span<const std::byte>> arguments{raw(map)};
    const LaunchResult r = d.launch(d.load(text, "map"), "k", {}, {1}, 0, arguments);
    EXPECT_EQ(r.findings.empty(), legal) << offset << texts(r);
    for (const Finding& f : r.findings) EXPECT_EQ(f.kind, FindingKind::kMisaligned) << f.text();
  }
}

TEST(TensorMap, RefusesWhatTheDriverRefuses) {
  const std::vector<U32> size{64, 8};
  const std::vector<U16> box{64, 8}, wide{128, 8}, big{64, 257};
  const std::vector<std::uint64_t> stride{128}, odd{136};
  EXPECT_THROW(encode_tensor_map(8, 2, size, stride, box, Swizzle::k128), DeviceError);
  EXPECT_THROW(encode_tensor_map(0, 2, size, odd, box, Swizzle::k128), DeviceError);
  EXPECT_THROW(encode_tensor_map(0, 2, size, stride, wide, Swizzle::k128), DeviceError);
  EXPECT_THROW(encode_tensor_map(0, 2, size, stride, big, Swizzle::k128), DeviceError);
  EXPECT_NO_THROW(encode_tensor_map(0, 2, size, stride, box, Swizzle::k128));
}

// D = A * B of 64 x 8 x 16: A from registers (all ones times row), B in shared memory, 8 columns of
// k = 16, each row of 128 bytes holding one column, K-major with the 128-byte swizzle.
struct WgmmaText {
  std::string tile = "tile";  ///< where the descriptor begins
  std::string proxy_fence = "fence.proxy.async.shared::cta;";
  std::string fence = "wgmma.fence.sync.aligned;";
  std::string wait = "wgmma.wait_group.sync.aligned 0;";
  std::string before_wait;
  std::string all() const {
    // Thread t < 128 stores element (column t / 16, k = t % 16) = column + k of B as bf16.
    return "shr.u32 %r10, %tid, 4; and.b32 %r11, %tid, 15; add.u32 %r12, %r10, %r11; "
           "cvt.rn.f32.u32 %f10, %r12;"
           "cvt.rn.bf16.f32 %h0, %f10; mov.u32 %r13, tile; shl.b32 %r14, %r10, 7; add.u32 %r13, "
           "%r13, %r14;"
           "shr.u32 %r15, %r11, 3; xor.b32 %r15, %r15, %r10; shl.b32 %r15, %r15, 4; add.u32 %r13, "
           "%r13, %r15;"
           "and.b32 %r16, %r11, 7; shl.b32 %r16, %r16, 1; add.u32 %r13, %r13, %r16; st.shared.b16 "
           "[%r13], %h0;" +
           proxy_fence + "bar.sync 0; mov.u32 %r20, " + tile +
           "; shr.u32 %r20, %r20, 4; cvt.u64.u32 %rd10, %r20; or.b64 "
           "%rd10, %rd10, 0x4000004000010000;"
           "shr.u32 %r21, %lane, 2; shr.u32 %r22, %tid, 5; mad.lo.u32 %r21, %r22, 16, %r21; "
           "add.u32 %r23, %r21, 8;"
           "cvt.rn.f32.u32 %f11, %r21; cvt.rn.f32.u32 %f12, %r23; cvt.rn.bf16x2.f32 %r24, %f11, "
           "%f11; cvt.rn.bf16x2.f32 %r25, %f12, %f12;" +
           fence +
           "setp.ne.u32 %q5, %tid, %tid; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, "
           "%f1, %f2, %f3}, {%r24, %r25, %r24, %r25}, %rd10, %q5, 1, 1, 0;"
           "wgmma.commit_group.sync.aligned;" +
           before_wait + wait +
           "mad.wide.u32 %rd11, %tid, 16, %p0; st.global.v4.f32 [%rd11], {%f0, %f1, %f2, %f3};";
  }
};

LaunchResult run_wgmma(Device& d, const WgmmaText& text, Address out) {
  return run_body(d, text.all(), {out}, {{}, {128}}, kShared);
}

TEST(Wgmma, ProductOfAWarpgroup) {
  Device d;
  const Address out = d.alloc(64 * 8 * 4, "out");
  const LaunchResult r = run_wgmma(d, {}, out);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(r.counters.matrix_flop, 2u * 64 * 8 * 16);
  const auto v = get<float>(d, out, 512);
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < 4; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + 8 * (i / 2), column = 2 * (t % 4) + i % 2;
      const float expected =
          static_cast<float>(row * (16 * column + 120));  // sum over k of column + k
      ASSERT_EQ(v[static_cast<std::size_t>(t * 4 + i)], expected) << t << " " << i;
    }
  }
}

TEST(Wgmma, PlantedFaults) {
  const auto kinds = [](const WgmmaText& text) {
    Device d;
    const LaunchResult r = run_wgmma(d, text, d.alloc(2048, "out"));
    std::vector<FindingKind> k;
    for (const Finding& f : r.findings) k.push_back(f.kind);
    return k;
  };
  using testing::Contains;
  EXPECT_THAT(kinds({.proxy_fence = "", .before_wait = ""}), Contains(FindingKind::kProxy));
  EXPECT_THAT(kinds({.fence = "", .before_wait = ""}), Contains(FindingKind::kWgmma));
  EXPECT_THAT(kinds({.wait = "", .before_wait = ""}), Contains(FindingKind::kWgmma));
  EXPECT_THAT(kinds({.before_wait = "add.f32 %f20, %f1, %f1;"}), Contains(FindingKind::kWgmma));
  EXPECT_THAT(kinds({.before_wait = "mov.f32 %f2, 0f00000000;"}), Contains(FindingKind::kWgmma));
  EXPECT_THAT(kinds({.tile = "tile+512", .before_wait = ""}), Contains(FindingKind::kMisaligned));
  EXPECT_THAT(kinds({.tile = "tile+16", .before_wait = ""}), Contains(FindingKind::kMisaligned));
}

// A descriptor that goes on inside a row reads other numbers, which here nobody wrote; it is legal.
TEST(Wgmma, StepsAlongKAreNotMisaligned) {
  Device d;
  const LaunchResult r = run_wgmma(d, {.tile = "tile+32", .before_wait = ""}, d.alloc(2048, "out"));
  for (const Finding& f : r.findings) EXPECT_NE(f.kind, FindingKind::kMisaligned) << f.text();
}

TEST(Wgmma, AMisalignedTileIsNamedWithItsLine) {
  Device d;
  const LaunchResult r =
      run_wgmma(d, {.tile = "tile+512", .before_wait = ""}, d.alloc(2048, "out"));
  EXPECT_THAT(texts(r), testing::HasSubstr("a descriptor with the 128-byte swizzle at shared "
                                           "offset 512: its tile must be aligned to 1024 bytes"));
  EXPECT_THAT(texts(r), testing::ContainsRegex("PTX line [0-9]+: wgmma.mma_async"));
}

}  // namespace
}  // namespace flashbench::ptx
