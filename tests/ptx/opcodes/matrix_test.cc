#include "ptx/opcodes/fragments.h"
#include "ptx/opcodes/number_formats.h"
#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using U16 = std::uint16_t;
using U32 = std::uint32_t;

// The manual's figures for mma.m16n8k16 with 16-bit operands (9.7.14.5.8): the element that a lane
// holds, for the first and last lane and the corners in between.
struct Figure {
  int lane, reg, part, row, column;
};
constexpr Figure kA16[] = {
    {0, 0, 0, 0, 0}, {0, 0, 1, 0, 1},    {3, 0, 1, 0, 7},   {4, 0, 0, 1, 0},  {31, 0, 1, 7, 7},
    {0, 1, 0, 8, 0}, {31, 1, 1, 15, 7},  {0, 2, 0, 0, 8},   {3, 2, 1, 0, 15}, {31, 2, 1, 7, 15},
    {0, 3, 0, 8, 8}, {31, 3, 1, 15, 15}, {17, 1, 0, 12, 2},
};
constexpr Figure kB16[] = {
    {0, 0, 0, 0, 0},  {0, 0, 1, 1, 0}, {3, 0, 1, 7, 0},   {4, 0, 0, 0, 1},
    {31, 0, 1, 7, 7}, {0, 1, 0, 8, 0}, {31, 1, 1, 15, 7}, {18, 1, 0, 12, 4},
};
constexpr Figure kC[] = {
    {0, 0, 0, 0, 0},  {0, 1, 0, 0, 1}, {3, 1, 0, 0, 7},   {4, 0, 0, 1, 0},
    {31, 1, 0, 7, 7}, {0, 2, 0, 8, 0}, {31, 3, 0, 15, 7},
};
// m16n8k8 with tf32 (9.7.14.5.2): one element in a register.
constexpr Figure kATf32[] = {
    {0, 0, 0, 0, 0}, {3, 0, 0, 0, 3}, {31, 0, 0, 7, 3},
    {0, 1, 0, 8, 0}, {0, 2, 0, 0, 4}, {31, 3, 0, 15, 7},
};
constexpr Figure kBTf32[] = {
    {0, 0, 0, 0, 0}, {3, 0, 0, 3, 0}, {31, 0, 0, 3, 7}, {0, 1, 0, 4, 0}, {31, 1, 0, 7, 7}};

constexpr bool matches(Element e, const Figure& f) {
  return e.row == f.row && e.column == f.column;
}
template <std::size_t kCount, class F>
constexpr bool all_match(const Figure (&figures)[kCount], F element) {
  for (const Figure& f : figures) {
    if (!matches(element(f), f)) return false;
  }
  return true;
}
static_assert(all_match(kA16, [](const Figure& f) { return a_element(f.lane, f.reg, f.part, 2); }));
static_assert(all_match(kB16, [](const Figure& f) { return b_element(f.lane, f.reg, f.part, 2); }));
static_assert(all_match(kATf32,
                        [](const Figure& f) { return a_element(f.lane, f.reg, f.part, 1); }));
static_assert(all_match(kBTf32,
                        [](const Figure& f) { return b_element(f.lane, f.reg, f.part, 1); }));
static_assert(all_match(kC, [](const Figure& f) { return c_element(f.lane, f.reg); }));

constexpr const char* kTile = ".shared .align 16 .b8 tile[1024];\n";
// Row `lane` of the tile is 16 bytes; its address is in %r50.
const std::string kFill =
    "mov.u32 %r50, tile; mad.lo.u32 %r50, %lane, 16, %r50; mad.wide.u32 %rd0, %lane, 16, %p0;"
    "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%rd0]; st.shared.v4.u32 [%r50], {%r0, %r1, %r2, %r3}; "
    "bar.sync 0;";

// Element (row, column) of matrix j is 1000 j + 10 row + column.
std::vector<U16> numbered() {
  std::vector<U16> v;
  for (int j = 0; j < 4; ++j) {
    for (int e = 0; e < 64; ++e) v.push_back(static_cast<U16>(1000 * j + 10 * (e / 8) + e % 8));
  }
  return v;
}

TEST(Matrix, LdmatrixGivesEachLaneTwoNeighboursOfItsRow) {
  for (const bool transposed : {false, true}) {
    Device d;
    const Address in = put(d, numbered(), "in"), out = d.alloc(512, "out");
    const LaunchResult r = run_body(
        d,
        kFill +
            fmt::format(
                "ldmatrix.sync.aligned.m8n8.x4{}.shared.b16 {{%r4, %r5, %r6, %r7}}, [%r50];",
                transposed ? ".trans" : "") +
            "mad.wide.u32 %rd1, %lane, 16, %p1; st.global.v4.u32 [%rd1], {%r4, %r5, %r6, %r7};",
        {in, out}, {}, kTile);
    EXPECT_TRUE(r.findings.empty()) << texts(r);
    const auto v = get<U16>(d, out, 256);
    for (int lane = 0; lane < 32; ++lane) {
      for (int j = 0; j < 4; ++j) {
        for (int half = 0; half < 2; ++half) {
          const int row = lane / 4, column = 2 * (lane % 4) + half;
          const int expected =
              transposed ? 1000 * j + 10 * column + row : 1000 * j + 10 * row + column;
          ASSERT_EQ(v[static_cast<std::size_t>(lane * 8 + j * 2 + half)], expected)
              << lane << " " << j;
        }
      }
    }
  }
}

TEST(Matrix, StmatrixUndoesLdmatrixAndMovmatrixTransposes) {
  Device d;
  const Address in = put(d, numbered(), "in"), out = d.alloc(512, "out"),
                moved = d.alloc(128, "moved");
  const LaunchResult r = run_body(
      d,
      kFill +
          "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r4, %r5}, [%r50];"
          "ldmatrix.sync.aligned.m8n8.x1.shared::cta.b16 {%r6}, [%r50]; "
          "movmatrix.sync.aligned.m8n8.trans.b16 %r7, %r6;"
          "st.global.u32 [%at2], %r7; bar.sync 0; stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 "
          "[%r50+512], {%r4, %r5};"
          "bar.sync 0; setp.gt.u32 %q0, %lane, 15; @%q0 ret; ld.shared.v4.u32 {%r0, %r1, %r2, "
          "%r3}, [%r50+512];"
          "mad.wide.u32 %rd1, %lane, 16, %p1; st.global.v4.u32 [%rd1], {%r0, %r1, %r2, %r3};",
      {in, out, moved}, {}, kTile);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  const auto expected = numbered();
  const auto v = get<U16>(d, out, 128);
  for (std::size_t i = 0; i < 128; ++i) ASSERT_EQ(v[i], expected[i]);
  const auto t = get<U16>(d, moved, 64);
  for (std::size_t i = 0; i < 64; ++i) ASSERT_EQ(t[i], 10 * (i % 8) + i / 8);
}

TEST(Matrix, LdmatrixRowsMustBeAligned) {
  Device d;
  const Address in = put(d, numbered(), "in");
  const LaunchResult r = run_body(
      d, kFill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [%r50+8];", {in}, {}, kTile);
  ASSERT_EQ(r.findings.size(), 1u);
  EXPECT_EQ(r.findings[0].kind, FindingKind::kMisaligned);
}

// Operands are distributed here by the manual's formulas, written out a second time.
template <class Narrow>
void expect_mma(const std::string& type, int k_size, Narrow narrow, float (*wide)(U16)) {
  SCOPED_TRACE(type);
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  const auto K = static_cast<std::size_t>(k_size);
  std::vector<float> a(16 * K), b(K * 8), c(128);
  for (float& v : a) v = wide(narrow(normal(random)));
  for (float& v : b) v = wide(narrow(normal(random)));
  for (float& v : c) v = normal(random);
  const std::size_t a_registers = K / 4, b_registers = K / 8;
  std::vector<U32> registers(32 * 16);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    const std::size_t group = lane / 4, t = lane % 4;
    const auto pair = [&](float low, float high) {
      return U32{narrow(low)} | U32{narrow(high)} << 16;
    };
    for (std::size_t i = 0; i < a_registers; ++i) {
      const std::size_t row = i == 0 || i == 2 ? group : group + 8,
                        column = 2 * t + (i < 2 ? 0 : 8);
      registers[lane * 16 + i] = pair(a[row * K + column], a[row * K + column + 1]);
    }
    for (std::size_t i = 0; i < b_registers; ++i) {
      const std::size_t row = 2 * t + 8 * i;
      registers[lane * 16 + 4 + i] = pair(b[row * 8 + group], b[(row + 1) * 8 + group]);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      registers[lane * 16 + 8 + i] =
          std::bit_cast<U32>(c[(i < 2 ? group : group + 8) * 8 + 2 * t + i % 2]);
    }
  }
  Device d;
  const Address in = put(d, registers, "in"), out = d.alloc(512, "out");
  const std::string operands =
      k_size == 16 ? "{%r0, %r1, %r2, %r3}, {%r4, %r5}" : "{%r0, %r1}, {%r4}";
  const LaunchResult r = run_body(
      d,
      "mad.wide.u32 %rd0, %lane, 64, %p0; ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%rd0];"
      "ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd0+16]; ld.global.v4.f32 {%f0, %f1, %f2, %f3}, "
      "[%rd0+32];" +
          fmt::format("mma.sync.aligned.m16n8k{}.row.col.f32.{}.{}.f32 {{%f4, %f5, %f6, %f7}}, {}, "
                      "{{%f0, %f1, %f2, %f3}};",
                      k_size, type, type, operands) +
          "mad.wide.u32 %rd1, %lane, 16, %p1; st.global.v4.f32 [%rd1], {%f4, %f5, %f6, %f7};",
      {in, out});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(r.counters.matrix_flop, 2u * 16 * 8 * K);
  const auto v = get<float>(d, out, 128);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t row = lane / 4 + (i < 2 ? 0 : 8), column = 2 * (lane % 4) + i % 2;
      double expected = c[row * 8 + column];
      for (std::size_t k = 0; k < K; ++k)
        expected += static_cast<double>(a[row * K + k]) * b[k * 8 + column];
      ASSERT_NEAR(v[lane * 4 + i], expected, 2e-5) << row << " " << column;
    }
  }
}

TEST(Matrix, MmaOf16BitOperands) {
  expect_mma("bf16", 16, float_to_bf16, bf16_to_float);
  expect_mma("f16", 16, float_to_f16, f16_to_float);
  expect_mma("bf16", 8, float_to_bf16, bf16_to_float);
  expect_mma("f16", 8, float_to_f16, f16_to_float);
}

// Two f16 of a row lie in a register: the manual's figure of D for .f16 (9.7.14.5.8).
TEST(Matrix, MmaWithSumsInF16RoundsThemOnce) {
  std::vector<U32> registers(32 * 8);
  const auto value = [](int row, int column, int salt) {
    return static_cast<float>((row * 7 + column * 3 + salt) % 11 - 5) / 4;
  };
  const auto pair = [](float low, float high) {
    return U32{float_to_f16(low)} | U32{float_to_f16(high)} << 16;
  };
  for (int lane = 0; lane < 32; ++lane) {
    U32* const own = registers.data() + lane * 8;
    const int group = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = group + 8 * (i % 2), column = 2 * t + 8 * (i / 2);
      own[i] = pair(value(row, column, 1), value(row, column + 1, 1));
    }
    for (int i = 0; i < 2; ++i) {
      own[4 + i] = pair(value(2 * t + 8 * i, group, 2), value(2 * t + 8 * i + 1, group, 2));
      const int row = group + 8 * i;  // of C: large, so that the sum has to be rounded
      own[6 + i] = pair(2048 + 4 * value(row, 2 * t, 3), 2048 + 4 * value(row, 2 * t + 1, 3));
    }
  }
  Device d;
  const Address in = put(d, registers, "in"), out = d.alloc(256, "out");
  const LaunchResult r = run_body(
      d,
      "mad.wide.u32 %rd0, %lane, 32, %p0; ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%rd0];"
      "ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd0+16];"
      "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%r8, %r9}, {%r0, %r1, %r2, %r3}, "
      "{%r4, %r5}, {%r6, %r7};"
      "mad.wide.u32 %rd1, %lane, 8, %p1; st.global.v2.u32 [%rd1], {%r8, %r9};",
      {in, out});
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  EXPECT_EQ(r.counters.matrix_flop, 2u * 16 * 8 * 16);
  const auto v = get<U16>(d, out, 128);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = f16_to_float(float_to_f16(2048 + 4 * value(row, column, 3)));
      for (int k = 0; k < 16; ++k) sum += value(row, k, 1) * value(k, column, 2);
      ASSERT_EQ(v[static_cast<std::size_t>(lane * 4 + i)], float_to_f16(sum))
          << row << " " << column;
    }
}

}  // namespace
}  // namespace flashbench::ptx
