#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using testing::HasSubstr;
using U32 = std::uint32_t;

template <class Error, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string load_error(const std::string& text) {
  Device d;
  return message_of<PtxError>([&] { (void)d.kernel(d.load(text, "bad.ptx"), "k"); });
}

TEST(Parser, ErrorsNameTheModuleAndTheLine) {
  const std::string header(kHeader);
  EXPECT_THAT(load_error(header + ".nonsense\n"),
              HasSubstr("bad.ptx: PTX line 4: unknown directive '.nonsense'"));
  EXPECT_THAT(load_error(kernel_text(0, "mov.u32 %r0,")), HasSubstr("bad.ptx: PTX line"));
  EXPECT_THAT(load_error(header + ".visible .entry k() {\n.reg .b77 %r<3>;\n}"),
              HasSubstr("line 5: unknown register type '.b77'"));
  EXPECT_THAT(load_error(header + ".visible .entry k() {\nadd.u32 "),
              HasSubstr("ends in the middle"));
  EXPECT_THAT(load_error(header + ".global .u32 x = {1, 2};\n"),
              HasSubstr("too many initial values"));
}

TEST(Parser, AKernelsParametersHaveBytesToCopyArgumentsInto) {
  const auto error = [](const std::string& parameters) {
    return load_error(std::string(kHeader) + ".entry k(" + parameters + ") { ret; }\n");
  };
  EXPECT_EQ(error(".param .u64 a, .param .align 8 .b8 b[16][2]"), "no error");
  EXPECT_EQ(error(std::string("\xff\0", 2)),
            "bad.ptx: PTX line 4: a parameter begins with '.param', not with '\\xff'");
  EXPECT_THAT(error(".u64 a"), HasSubstr("begins with '.param', not with '.u64'"));
  EXPECT_THAT(error(".param a"), HasSubstr("'a' has no type"));
  EXPECT_THAT(error(".param .pred a"), HasSubstr("parameter 'a' of 'k' has no bytes"));
  EXPECT_THAT(error(".param .b8 a[]"), HasSubstr("parameter 'a' of 'k' has no bytes"));
  EXPECT_THAT(error(".param .u64 a, .param .b8 b[0]"), HasSubstr("parameter 'b' of 'k' has no"));
  // 2^32 bytes, which are 0 in 32 bits, and an argument of gigabytes.
  EXPECT_THAT(error(".param .b64 a[65536][8192]"), HasSubstr("'a' has more than 2^32 - 1 bytes"));
  EXPECT_THAT(error(".param .b8 a[4294967295], .param .b8 b"),
              HasSubstr("'k' has 4294967296 bytes of parameters; at most 32764"));
}

TEST(Parser, WhatIsNotKnownIsAnErrorAndNeverSkipped) {
  const auto body = [](const std::string& line) {
    return kernel_text(0, ".reg .b32 %r<9>; .reg .f32 %f<9>; .reg .pred %q<3>;\n" + line);
  };
  EXPECT_THAT(load_error(body("wmma.load.a %r0, [%r1];")),
              HasSubstr("unknown instruction: wmma.load.a"));
  EXPECT_THAT(load_error(body("add.wobbly.u32 %r0, %r1, %r2;")),
              HasSubstr("unknown modifier '.wobbly'"));
  EXPECT_THAT(load_error(body("add.u32 %r0, %r1, %nobody;")), HasSubstr("unknown name '%nobody'"));
  EXPECT_THAT(load_error(body("add.u32 %r0, %r1;")), HasSubstr("2 operands"));
  EXPECT_THAT(load_error(body("add.u32 %r9, %r1, %r2;")), HasSubstr("unknown register '%r9'"));
  EXPECT_THAT(load_error(body("bra nowhere;")), HasSubstr("unknown label 'nowhere'"));
  EXPECT_THAT(load_error(body("setp.wrong.u32 %q0, %r0, %r1;")), HasSubstr("unknown instruction"));
  EXPECT_THAT(load_error(body("@%r0 mov.u32 %r1, 1;")), HasSubstr("'%r0' is no predicate"));
  EXPECT_THAT(load_error(body("call.uni missing;")), HasSubstr("call of unknown 'missing'"));
  EXPECT_THAT(load_error(body("mma.sync.aligned.m16n8k16.row.row.f32.bf16.bf16.f32 "
                              "{%f0,%f1,%f2,%f3},{%r0,%r1,%r2,%r3},{%r4,%r5},{%f0,%f1,%f2,%f3};")),
              HasSubstr("unknown"));
}

TEST(Parser, WhatNoCompilerWritesIsAnErrorToo) {
  const auto body = [](const std::string& line) {
    return load_error(
        kernel_text(0, ".reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %q<3>;\n" + line));
  };
  EXPECT_THAT(body("mov.b32 %r0, {};"), HasSubstr("4 bytes of 0 parts"));
  EXPECT_THAT(body("mov.b64 {}, %rd0;"), HasSubstr("8 bytes of 0 parts"));
  EXPECT_THAT(body("mov.b64 %rd0, {%r0, %r1, %r2};"), HasSubstr("8 bytes of 3 parts"));
  EXPECT_THAT(body("mov.u32 %r0, %r99999999999;"), HasSubstr("unknown name '%r99999999999'"));
  EXPECT_THAT(body("mov.u32 %r0, %r-1;"), HasSubstr("unknown"));
  EXPECT_THAT(body("wgmma.mma_async.sync.aligned.m64nk16.f32.bf16.bf16 %r0;"),
              HasSubstr("unknown instruction"));
  EXPECT_THAT(body("ld.global.u32 %r0, [%rd0+%rd1];"), HasSubstr("'%rd1' is no number"));
  EXPECT_THAT(body("mov.u32 %r0, " + std::string(1'000'000, '[') + ";"),
              HasSubstr("brackets are nested too deeply"));
  EXPECT_THAT(body("mov.u32 %r0, " + std::string(1'000'000, '!') + ";"),
              HasSubstr("expected an operand, found '!'"));
}

TEST(Parser, AnUnknownInstructionFailsItsOwnKernelOnly) {
  Device d;
  const std::string text =
      std::string(kHeader) + ".visible .entry good() { ret; }\n.visible .entry bad() { wobble; }\n";
  const Module m = d.load(text, "two.ptx");
  EXPECT_THAT(d.kernels(m), testing::ElementsAre("bad", "good"));
  EXPECT_TRUE(d.launch(m, "good", {}, {32}, 0, {}).completed);
  EXPECT_THAT(message_of<PtxError>([&] { (void)d.launch(m, "bad", {}, {32}, 0, {}); }),
              HasSubstr("two.ptx: PTX line 5"));
}

TEST(Parser, CommentsScopesAndDebugSections) {
  Device d;
  const Address out = d.alloc(4, "out");
  const LaunchResult r = run_body(
      d,
      "/* a comment\nover lines */ { .reg .b32 %t; mov.u32 %t, 5; // of the inner one\n"
      "{ .reg .b32 %t; mov.u32 %t, 7; bra $same; $same: } mov.u32 %r0, %t; bra $same; $same: }\n"
      ".pragma \"nounroll\"; st.global.u32 [%p0+0], %r0;",
      {out}, {{}, {1}}, ".section .debug_str\n{\n.b8 1,2,{\n}\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 1)[0], 5u);
}

TEST(Launch, ErrorsOfUse) {
  Device d({.compute_capability = 80, .memory_bytes = 4096, .shared_bytes_per_block = 1024});
  const Module m = d.load(std::string(kHeader) +
                              ".shared .align 4 .b8 fixed[512];\n.visible .entry k(.param .u64 a, "
                              ".param .u32 n) { ret; }\n",
                          "m");
  const Address a = d.alloc(64, "a");
  const U32 n = 3;
  const std::vector<std::span<const std::byte>> good{raw(a), raw(n)}, one{raw(a)},
      wrong{raw(a), raw(a)};
  const auto launch = [&](Dim3 grid, Dim3 block, std::size_t dynamic, const auto& arguments,
                          const char* name = "k") {
    return message_of<DeviceError>(
        [&] { (void)d.launch(m, name, grid, block, dynamic, arguments); });
  };
  EXPECT_EQ(launch({}, {32}, 512, good), "no error");
  EXPECT_THAT(launch({}, {32}, 513, good),
              HasSubstr("1025 bytes of shared memory; the device has 1024"));
  EXPECT_THAT(launch({}, {32}, 0, one), HasSubstr("1 arguments for 2 parameters"));
  EXPECT_THAT(launch({}, {32}, 0, wrong), HasSubstr("argument 1 has 8 bytes, the parameter 4"));
  EXPECT_THAT(launch({}, {32}, 0, good, "other"), HasSubstr("there is no kernel 'other'"));
  EXPECT_THAT(launch({}, {1025}, 0, good), HasSubstr("a block of 1025"));
  EXPECT_THAT(launch({0}, {32}, 0, good), HasSubstr("a grid of 0"));
  EXPECT_THAT(launch({1, 65536}, {32}, 0, good), HasSubstr("a grid of 1 x 65536"));
  EXPECT_THAT(message_of<DeviceError>([&] { (void)d.alloc(5000, "big"); }),
              HasSubstr("out of device memory: 5000 bytes for 'big'"));
  EXPECT_THAT(message_of<DeviceError>([&] { d.free(a + 1); }),
              HasSubstr("free of byte 1 of 'a' (64 bytes): no allocation begins there"));
  EXPECT_THAT(message_of<DeviceError>([&] { d.fill(a, std::byte{0}, 65); }),
              HasSubstr("65 bytes of device memory"));
  d.free(a);
  EXPECT_THAT(message_of<DeviceError>([&] { d.free(a); }), HasSubstr("which has been freed"));
  EXPECT_THAT(message_of<PtxError>([&] { (void)d.load(".version 9.0\n.target sm_90a\n", "new"); }),
              HasSubstr("is for compute capability 90 only; this device has 80"));
  EXPECT_THAT(message_of<PtxError>([&] { (void)d.load(".version 9.0\n.target sm_90\n", "new"); }),
              HasSubstr("is for compute capability 90; this device has 80"));
  const KernelInfo info = d.kernel(m, "k");
  EXPECT_EQ(info.static_shared_bytes, 512u);
  ASSERT_EQ(info.parameters.size(), 2u);
  EXPECT_EQ(info.parameters[0].bytes, 8u);
  EXPECT_EQ(info.parameters[1].bytes, 4u);
}

TEST(Launch, ParametersByValueAreReachedThroughTheirAddress) {
  struct Problem {
    std::int64_t scale[3];
    std::int32_t n, m;
  };
  Device d;
  const Address out = d.alloc(128, "out");
  const std::string text = std::string(kHeader) +
                           ".visible .entry k(.param .align 8 .b8 problem[32], .param .u64 out) {\n"
                           ".reg .b32 %r<9>; .reg .b64 %rd<9>;\n"
                           "mov.b64 %rd0, problem; cvta.param.u64 %rd1, %rd0; ld.u32 %r0, "
                           "[%rd1+28]; ld.param.u64 %rd2, [problem+16];\n"
                           "ld.param.u64 %rd3, [out]; mov.u32 %r1, %tid.x; cvt.u32.u64 %r2, %rd2; "
                           "mad.lo.u32 %r3, %r1, %r2, %r0;\n"
                           "mad.wide.u32 %rd4, %r1, 4, %rd3; st.global.u32 [%rd4], %r3; ret; }\n";
  const Problem problem{{1, 2, 10}, 4, 5};
  const std::vector<std::span<const std::byte>> arguments{raw(problem), raw(out)};
  const LaunchResult r = d.launch(d.load(text, "m"), "k", {}, {32}, 0, arguments);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  const auto v = get<U32>(d, out, 32);
  for (U32 i = 0; i < 32; ++i) EXPECT_EQ(v[i], 10 * i + 5);
}

TEST(Launch, CountersSayWhatWasExecuted) {
  Device d;
  const Address out = d.alloc(256, "out");
  const LaunchResult r = run_body(d,
                                  "setp.lt.u32 %q0, %lane, 8; @%q0 add.f32 %f0, 0f3F800000, "
                                  "0f3F800000; bar.sync 0; st.global.u32 [%at0], %tid;",
                                  {out}, {{2}, {32}});
  const auto of = [&](InstructionClass c) {
    return r.counters.by_class[static_cast<std::size_t>(c)];
  };
  EXPECT_EQ(of(InstructionClass::kFloat), 16u);
  EXPECT_EQ(of(InstructionClass::kCompare), 64u);
  EXPECT_EQ(of(InstructionClass::kMatrix), 0u);
  EXPECT_EQ(r.counters.barriers, 2u);
  EXPECT_EQ(r.counters.global_written_bytes, 256u);
  std::uint64_t sum = 0;
  for (const std::uint64_t n : r.counters.by_class) sum += n;
  EXPECT_EQ(sum, r.counters.thread_instructions);
}

TEST(Launch, DynamicSharedMemoryFollowsStaticAndKeepsItsAlignment) {
  Device d;
  const Address out = d.alloc(8, "out");
  const LaunchResult r = run_body(
      d,
      "mov.u32 %r0, dynamic; and.b32 %r1, %r0, 127; mov.u32 %r2, fixed; sub.u32 %r3, %r0, %r2;"
      "st.global.u32 [%p0], %r1; setp.ge.u32 %q0, %r3, 4; selp.u32 %r4, 1, 0, %q0; st.global.u32 "
      "[%p0+4], %r4;"
      "st.shared.u32 [%r0+252], 1;",
      {out}, {{}, {1}, 256},
      ".shared .align 4 .b8 fixed[4];\n.extern .shared .align 128 .b8 dynamic[];\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<U32>(d, out, 2), (std::vector<U32>{0, 1}));
  const LaunchResult over = run_body(d, "st.shared.u32 [dynamic+256], 1;", {}, {{}, {1}, 256},
                                     ".extern .shared .align 128 .b8 dynamic[];\n");
  ASSERT_EQ(over.findings.size(), 1u);
  EXPECT_EQ(over.findings[0].kind, FindingKind::kOutOfBounds);
}

// The first byte of dynamic shared memory, of a declaration behind others.
U32 dynamic_base(DynamicShared where, const std::string& declarations) {
  Device d({.dynamic_shared = where});
  const Address out = d.alloc(4, "out");
  const LaunchResult r = run_body(d, "mov.u32 %r0, dynamic; st.global.u32 [%p0], %r0;", {out},
                                  {{}, {1}, 256}, declarations);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  return get<U32>(d, out, 1)[0];
}

TEST(Launch, ForeignKernelsGetTheDynamicSharedMemoryOfAGpu) {
  const std::string dynamic = ".extern .shared .align 16 .b8 dynamic[];\n";
  const std::string odd = ".shared .align 4 .b8 fixed[36];\n";
  const std::string aligned = ".extern .shared .align 128 .b8 dynamic[];\n";
  using enum DynamicShared;
  EXPECT_EQ(dynamic_base(kAsOnGpus, dynamic) % 1024, 0u);
  EXPECT_EQ(dynamic_base(kAsOnGpus, odd + dynamic) % 1024, 48u);
  EXPECT_EQ(dynamic_base(kAsOnGpus, odd + aligned) % 1024, 128u);
  // Our own must not rely on it.
  EXPECT_EQ(dynamic_base(kAsDeclared, dynamic) % 32, 16u);
  EXPECT_EQ(dynamic_base(kAsDeclared, odd + dynamic) % 32, 16u);
}

TEST(Launch, ABlockIsTheOneThatTheKernelRequires) {
  Device d;
  const Module m =
      d.load(std::string(kHeader) + ".visible .entry k() .reqntid 64, 2\n{ ret; }\n", "m");
  const auto launch = [&](Dim3 block) {
    return message_of<DeviceError>([&] { (void)d.launch(m, "k", {}, block, 0, {}); });
  };
  EXPECT_EQ(launch({64, 2}), "no error");
  EXPECT_THAT(launch({128}), HasSubstr("a block of 128 x 1 x 1 threads; its .reqntid is 64, 2"));
}

TEST(Launch, ABlockHasNoMoreThreadsThanTheKernelAllows) {
  Device d;
  const Module m =
      d.load(std::string(kHeader) + ".visible .entry k() .maxntid 64, 2\n{ ret; }\n", "m");
  const auto launch = [&](Dim3 block) {
    return message_of<DeviceError>([&] { (void)d.launch(m, "k", {}, block, 0, {}); });
  };
  EXPECT_EQ(launch({64, 2}), "no error");
  EXPECT_EQ(launch({128}), "no error") << "the product alone counts";
  EXPECT_THAT(launch({129}), HasSubstr("a block of 129 x 1 x 1 threads; its .maxntid is 64, 2"));
}

TEST(Launch, ClustersOfBlocksAreRefusedByName) {
  for (const std::string directive :
       {".reqnctapercluster 2, 1, 1", ".explicitcluster", ".blocksareclusters"})
    EXPECT_THAT(load_error(std::string(kHeader) + ".visible .entry k()\n.maxntid 64\n" + directive +
                           "\n{ ret; }\n"),
                HasSubstr("bad.ptx: PTX line 6: clusters of blocks are not emulated: '" +
                          directive.substr(0, directive.find(' ')) + "'"));
}

TEST(Launch, AnEndlessOneEndsOnceSomebodyAsksForIt) {
  int asked = 0;
  Device d({.stop_requested = [&asked] { return ++asked > 3; }});
  EXPECT_THAT(message_of<DeviceError>([&] { (void)run_body(d, "again: bra again;", {}); }),
              HasSubstr("launch of k: interrupted"));
}

std::vector<Finding> race_of_copies(const std::string& body, bool copies_race,
                                    std::uint64_t seed = 1) {
  Device d({.seed = seed, .copies_race = copies_race});
  return run_body(d, body, {}, {{}, {96}}, ".shared .align 4 .b8 word[4];\n").findings;
}

// Copies of one value, as Triton's layouts have them, harm nobody; two values do, and so do copies
// that are stored while somebody reads. Our own kernels have none.
TEST(Race, WarpsOfOthersMayStoreCopiesOfOneValueByOneInstruction) {
  const auto found = [](const std::string& body) { return race_of_copies(body, false); };
  EXPECT_FALSE(race_of_copies("mov.u32 %r0, 7; st.shared.u32 [word], %r0;", true).empty());
  EXPECT_TRUE(found("mov.u32 %r0, 7; st.shared.u32 [word], %r0;").empty());
  const auto two_values = found("shr.u32 %r0, %tid, 5; st.shared.u32 [word], %r0;");
  ASSERT_FALSE(two_values.empty());
  EXPECT_EQ(two_values[0].kind, FindingKind::kRace);
  EXPECT_FALSE(found("setp.lt.u32 %q0, %tid, 32; @%q0 st.shared.u32 [word], 7;"
                     "@!%q0 st.shared.u32 [word], 7;")
                   .empty());
  EXPECT_FALSE(
      found("st.shared.u32 [word], 7; ld.shared.u32 %r1, [word]; add.u32 %r2, %r1, 1;").empty());
}

// Warps 0 and 1 store the same value, then warps 1 and 2 meet and one of them stores another value:
// nothing orders it against the store of warp 0, whichever of the two came last.
TEST(Race, AnotherValueAfterCopiesRacesWithEachOfThem) {
  const auto found = [](const std::string& first_to_meet, int storer, std::uint64_t seed) {
    const std::string body = fmt::format(
        "shr.u32 %r0, %tid, 5; setp.lt.u32 %q0, %r0, 2; setp.eq.u32 %q1, %r0, {};"
        "setp.ge.u32 %q2, %r0, {}; @%q0 st.shared.u32 [word], 7; @%q2 bar.sync 1, {};"
        "@%q1 st.shared.u32 [word], 8;",
        storer, first_to_meet, first_to_meet == "0" ? 96 : 64);
    return race_of_copies(body, false, seed);
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    for (const int storer : {1, 2}) {
      EXPECT_TRUE(found("0", storer, seed).empty());
      const auto race = found("1", storer, seed);
      ASSERT_FALSE(race.empty()) << "seed " << seed << ", warp " << storer;
      EXPECT_EQ(race[0].kind, FindingKind::kRace);
    }
}

// In every round of a loop anew, with a barrier between the values.
TEST(Race, CopiesInALoopHarmNobody) {
  EXPECT_TRUE(race_of_copies("mov.u32 %r0, 0; again: st.shared.u32 [word], %r0; bar.sync 0;"
                             "ld.shared.u32 %r1, [word]; bar.sync 0; add.u32 %r0, %r1, 1;"
                             "setp.lt.u32 %q0, %r0, 5; @%q0 bra again;",
                             false)
                  .empty());
}

TEST(Memory, PoisonAndUnwrittenBytes) {
  Device d;
  const Address a = d.alloc(256, "a");
  EXPECT_EQ(d.unwritten(a, 256), 256u);
  EXPECT_EQ(get<U32>(d, a, 1)[0], ~0u);
  (void)run_body(d, "setp.lt.u32 %q1, %tid, 8; @%q1 st.global.u32 [%at0], %tid;", {a});
  EXPECT_EQ(d.unwritten(a, 256), 224u);
  EXPECT_EQ(d.unwritten(a, 32), 0u);
  d.poison(a, 16);
  EXPECT_EQ(d.unwritten(a, 32), 16u);
  EXPECT_EQ(get<U32>(d, a, 5), (std::vector<U32>{~0u, ~0u, ~0u, ~0u, 4}));
  EXPECT_EQ(d.allocated_bytes(), 256u);
}

// The same seed gives the same run; another seed orders the atomics' floats differently.
TEST(Memory, FindingsNameTheElementOfATensorThatWasDescribed) {
  Device d;
  const Address tensor = d.alloc(2 * 3 * 4 * 4, "memory");
  // [2, 3, 4] of f32 whose rows of a token lie together: [batch, column of 3, 4] in another order.
  d.describe(tensor, "query", {4, {2, 3, 4}, {12, 1, 3}});
  const auto finding = [&](const std::string& body, Shape shape = {}) {
    const LaunchResult result = run_body(d, body, {tensor}, shape);
    return result.findings.empty() ? "none" : result.findings.front().message;
  };
  EXPECT_THAT(finding("ld.global.u32 %r0, [%p0+68];"),
              HasSubstr("byte 68 of 'query', element [1, 2, 1], which nothing has written"));
  EXPECT_THAT(finding("st.global.u32 [%p0+4], %cta;", {.grid = {2}, .block = {1}}),
              HasSubstr("byte 4 of 'query', element [0, 1, 0], which CTA number"));
  EXPECT_THAT(finding("st.global.u16 [%p0+10], 1;", {.grid = {2}, .block = {1}}),
              HasSubstr("byte 10 of 'query', element [0, 2, 0], which CTA number"));
  EXPECT_THAT(finding("ld.global.u32 %r0, [%p0+96];"),
              HasSubstr("0 bytes past the end of 'query' (96 bytes)"));
  d.free(tensor);
  EXPECT_THAT(message_of<DeviceError>([&] { d.describe(tensor, "gone", {}); }),
              HasSubstr("gone: no allocation begins at"));
}

TEST(Launch, ASeedIsReproducible) {
  const auto sum = [](std::uint64_t seed) {
    Device d({.seed = seed, .slice_instructions = 3});
    const Address a = put(d, std::vector<float>{0}, "a");
    (void)run_body(d,
                   "cvt.rn.f32.u32 %f0, %tid; add.f32 %f0, %f0, 0f3E99999A; rcp.rn.f32 %f0, %f0; "
                   "red.global.add.f32 [%p0], %f0;",
                   {a}, {{3}, {128}});
    return get<float>(d, a, 1)[0];
  };
  EXPECT_EQ(sum(5), sum(5));
  bool differs = false;
  for (std::uint64_t seed = 1; seed < 10; ++seed) differs = differs || sum(seed) != sum(0);
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace flashbench::ptx
