// PTX that no compiler has written. Whatever it says, it touches the emulated device's memory
// alone: what cannot be executed is refused with its line, or ends the launch with a finding. Most
// of these read or wrote this process's memory once; AddressSanitizer sees it where the words do
// not tell.
#include "ptx/machine/tensor_map.h"
#include "ptx/text/ptx_error.h"
#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

constexpr std::string_view kHopper = ".version 9.0\n.target sm_90a\n.address_size 64\n";
constexpr std::string_view kShared =
    ".shared .align 1024 .b8 tile[1024];\n.shared .align 8 .b64 full;\n";

std::string hopper_kernel(std::string_view body, std::string_view globals = "") {
  return std::string(kHopper) + std::string(globals) +
         ".visible .entry k(.param .u64 p0)\n{\n.reg .pred %q<3>;\n.reg .b32 %r<9>;\n"
         ".reg .f32 %f<9>;\n.reg .b64 %rd<9>;\n.reg .b128 %w;\n" +
         std::string(body) + "\nret;\n}\n";
}

/// What decoding it is refused with; "": it is not.
std::string refusal(const std::string& text) {
  Device d;
  try {
    d.kernel(d.load(text, "hostile"), "k");
  } catch (const PtxError& e) {
    return e.what();
  }
  return "";
}

struct Refused {
  std::string_view name, body, why, globals = "";
};

class Hostile : public testing::TestWithParam<Refused> {};

TEST_P(Hostile, IsRefused) {
  EXPECT_THAT(refusal(hopper_kernel(GetParam().body, GetParam().globals)),
              testing::HasSubstr(GetParam().why));
}

constexpr Refused kRefused[] = {
    {"an_mbarrier_for_no_count", "mbarrier.init.shared.b64 [full];", "1 operands", kShared},
    {"a_bulk_load_without_mbarrier",
     "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 16;",
     "3 operands"},
    {"a_bulk_store_of_no_size", "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1];",
     "2 operands"},
    {"more_of_A_than_a_product_has",
     "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4}, "
     "{%r1, %r1, %r1, %r1, %r1, %r1, %r1, %r1}, %rd1, %q1, 1, 1, 0;",
     "unknown instruction"},
    {"an_atomic_that_returns_less_than_it_takes",
     "atom.global.add.v2.f32 {%f1}, [%rd1], {%f2, %f3};", "unknown instruction"},
    {"a_conversion_of_128_bits", "cvt.u64.b128 %rd1, 1;", "unknown instruction"},
    {"alignment_of_3", "", "an alignment of 3", ".global .align 3 .b8 x[4];\n"},
    {"alignment_of_2_to_the_31st", "", "an alignment of 2147483648",
     ".extern .shared .align 2147483648 .b8 x[];\n"},
    {"shared_memory_that_wraps", "", "at most 16777216",
     ".shared .b8 x[4294967295];\n.shared .b8 y[2];\n"},
    {"local_memory_that_wraps",
     ".local .b8 x[4294967295]; .local .b8 y[4]; mov.b64 %rd1, x; mov.b64 %rd1, y;",
     "at most 524288"},
    {"global_memory_beyond_the_machine", "mov.b64 %rd1, x;", "at most 268435456",
     ".global .b8 x[4294967295];\n"},
    {"arguments_that_wrap", ".param .b8 x[4294967295]; st.param.b32 [x], %r1;", "at most 524288"},
    {"an_argument_that_is_a_global_variable", "call f, (x);", "'x' cannot be an argument",
     ".global .b8 x[4];\n.func f(.param .b32 a)\n{\nret;\n}\n"},
    {"an_argument_that_is_too_small", ".param .b32 y; call f, (y);", "'y' cannot be an argument",
     ".func f(.param .b8 a[64])\n{\nret;\n}\n"},
    {"a_call_of_a_kernel", "call other;", "call of the kernel 'other'",
     ".entry other()\n{\n.shared .b8 x[4];\n.reg .b64 %rd;\nmov.b64 %rd, x;\nret;\n}\n"},
};
INSTANTIATE_TEST_SUITE_P(Ptx, Hostile, testing::ValuesIn(kRefused),
                         [](const auto& row) { return std::string(row.param.name); });

// Registers lie one behind the other; behind the last one ended the process's own memory.
TEST(Hostile, WritesOfAnotherWidthStayAmongRegisters) {
  for (const char* write : {"mov.u64 %last, %rd1;", "add.u64 %last, %rd1, %rd1;",
                            "ld.param.u64 %rd2, [p0]; and.b64 %last, %rd2, %rd2;",
                            "mul.wide.u32 %last, %r1, %r1;", "add.u32 %q2, %r1, %r1;"}) {
    Device d;
    const Module m = d.load(hopper_kernel(std::string("mov.u64 %rd1, 1; mov.u32 %r1, 1;\n") +
                                          ".reg .b32 %last;\n" + write),
                            "hostile");
    const Address p = d.alloc(64, "p");
    const std::vector<std::span<const std::byte>> arguments{raw(p)};
    EXPECT_TRUE(d.launch(m, "k", {}, {32}, 0, arguments).completed) << write;
  }
}

std::string findings_of(const std::string& text) {
  Device d;
  const Address p = put(d, std::vector<std::uint32_t>(64, 0), "p");
  const std::vector<std::span<const std::byte>> arguments{raw(p)};
  return texts(d.launch(d.load(text, "hostile"), "k", {}, {32}, 0, arguments));
}

// Each call of each lane is remembered: gigabytes, before any limit of instructions is met.
TEST(Hostile, AFunctionThatCallsItselfEnds) {
  EXPECT_THAT(findings_of(hopper_kernel("call f;", ".func f()\n{\ncall f;\nret;\n}\n")),
              testing::HasSubstr("calls nest deeper than 1000"));
}

TEST(Hostile, CopiesThatNobodyWaitsForEnd) {
  EXPECT_THAT(findings_of(hopper_kernel("ld.param.u64 %rd1, [p0]; mov.u32 %r1, tile;\nagain:\n"
                                        "cp.async.ca.shared.global [%r1], [%rd1], 4;\nbra again;",
                                        kShared)),
              testing::HasSubstr("are in flight, and not waited for"));
}

// A kernel may write what it then calls a tensor map: a rank beyond its arrays, elements of no
// bytes by which the box is divided.
TEST(Hostile, AForgedTensorMapIsNone) {
  struct Forgery {
    const char* name;
    void (*change)(TensorMap&);
  };
  const Forgery forgeries[] = {
      {"rank", [](TensorMap& m) { m.rank = 6; }},
      {"no rank", [](TensorMap& m) { m.rank = 0; }},
      {"no bytes", [](TensorMap& m) { m.element_bytes = 0; }},
      {"an empty box", [](TensorMap& m) { m.box[0] = 0; }},
      {"a vast box", [](TensorMap& m) { m.box[1] = 65535; }},
      {"swizzle", [](TensorMap& m) { m.swizzle = static_cast<Swizzle>(200); }},
  };
  const std::string text =
      std::string(kHopper) + std::string(kShared) +
      ".visible .entry k(.param .align 64 .b8 map[128])\n{\n.reg .b64 %rd1;\n.reg .b32 %r<3>;\n"
      "mov.b64 %rd1, map;\ncvta.param.u64 %rd1, %rd1;\nmov.u32 %r1, tile;\nmov.u32 %r2, 0;\n"
      "prefetch.tensormap [%rd1];\n"
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd1, {%r2, %r2}], [%r1];\n"
      "ret;\n}\n";
  for (const Forgery& forgery : forgeries) {
    Device d;
    const Address p = put(d, std::vector<std::uint32_t>(256, 0), "p");
    const std::array<std::uint32_t, 2> size{8, 8};
    const std::array<std::uint64_t, 1> stride{32};
    const std::array<std::uint16_t, 2> box{8, 8};
    TensorMap map = encode_tensor_map(p, 4, size, stride, box, Swizzle::kNone);
    forgery.change(map);
    const std::vector<std::span<const std::byte>> arguments{raw(map)};
    EXPECT_THAT(texts(d.launch(d.load(text, "hostile"), "k", {}, {32}, 0, arguments)),
                testing::HasSubstr("the operand is no tensor map"))
        << forgery.name;
  }
}

// 1.5 is written as a double, whose first bytes are another float.
TEST(InitialValues, AreOfTheirVariablesType) {
  Device d;
  const Address out = d.alloc(8, "out");
  const std::vector<Address> addresses = {out};
  const LaunchResult r =
      run_body(d, "ld.global.f32 %f1, [x+4];\nst.global.f32 [%p0], %f1;", addresses, {{}, {1}},
               ".global .f32 x[2] = {0f40000000, 1.5};\n.global .b128 y = 1;\n");
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(get<float>(d, out, 1)[0], 1.5f);
}

}  // namespace
}  // namespace flashbench::ptx
