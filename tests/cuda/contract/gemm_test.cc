// The products of normal attention: what cuBLAS would be told, executed as BLAS defines it.
#include "cuda/contract/gemm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cuda/device/emulated_gemm.h"
#include "cuda/normal/normal_cublas.h"
#include "system/error.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

using testing::HasSubstr;

/// Two small matrices of each kind in emulated memory: A 8 x 4, B 4 x 8, both f32.
class EmulatedGemm : public testing::Test {
 protected:
  EmulatedGemm() {
    std::vector<float> values(64);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 3;
    for (const Address to : {a_, b_})
      device_.copy_in(to, std::as_bytes(std::span<const float>(values)));
    product_.name = "test";
    product_.m = product_.n = 8;
    product_.k = 4;
    product_.batch = 2;
    product_.a = {a_, Element::kF32, 8, 32};
    product_.b = {b_, Element::kF32, 4, 32};
    product_.c = {c_, Element::kF32, 8, 64};
  }

  static float value(std::int64_t i) { return static_cast<float>(i % 7) - 3; }

  float result(std::int64_t i) const {
    float x = 0;
    device_.copy_out(std::as_writable_bytes(std::span(&x, 1)),
                     c_ + static_cast<Address>(i) * sizeof x);
    return x;
  }

  void expect_refused(const Gemm& g, const std::string& says) {
    try {
      multiply(device_, g);
      ADD_FAILURE() << "not refused: " << says;
    } catch (const DeviceError& e) {
      EXPECT_THAT(e.what(), HasSubstr(says));
    }
  }

  ptx::Device device_;
  Address a_ = device_.alloc(256, "a"), b_ = device_.alloc(256, "b"), c_ = device_.alloc(512, "c");
  Gemm product_;
};

TEST_F(EmulatedGemm, MultipliesColumnsAsBlasDoes) {
  product_.alpha = 0.5f;
  multiply(device_, product_);
  for (int batch = 0; batch < 2; ++batch)
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; ++j) {
        float sum = 0;
        for (int k = 0; k < 4; ++k)
          sum += value(batch * 32 + k * 8 + i) * value(batch * 32 + j * 4 + k);
        EXPECT_EQ(result(batch * 64 + j * 8 + i), 0.5f * sum) << batch << " " << i << " " << j;
      }
}

TEST_F(EmulatedGemm, TransposesBothFactors) {
  product_.a_op = product_.b_op = Transpose::kYes;
  product_.a.leading = 4;  // stored 4 x 8
  product_.b.leading = 8;  // stored 8 x 4
  multiply(device_, product_);
  float sum = 0;
  for (int k = 0; k < 4; ++k) sum += value(32 + 3 * 4 + k) * value(32 + k * 8 + 5);
  EXPECT_EQ(result(64 + 5 * 8 + 3), sum);
}

TEST_F(EmulatedGemm, ReadsAndRoundsSixteenBits) {
  const std::vector<F16> ones(64, to_f16(1)), thirds(64, to_f16(1.0f / 3));
  device_.copy_in(a_, std::as_bytes(std::span<const F16>(ones)));
  device_.copy_in(b_, std::as_bytes(std::span<const F16>(thirds)));
  product_.a = {a_, Element::kF16, 8, 32};
  product_.b = {b_, Element::kF16, 8, 64};  // a column every 8: 16 bytes
  product_.batch = 1;
  product_.c.element = Element::kF16;
  multiply(device_, product_);
  F16 x{};
  device_.copy_out(std::as_writable_bytes(std::span(&x, 1)), c_ + 2 * 9);
  EXPECT_EQ(x.bits, to_f16(4 * to_f32(to_f16(1.0f / 3))).bits);
}

TEST_F(EmulatedGemm, WhatCublasWouldNotSayIsFound) {
  struct Row {
    const char* says;
    void (*change)(Gemm&);
  };
  const Row rows[] = {
      {"A has columns of 8 every 4", [](Gemm& g) { g.a.leading = 4; }},
      {"B is misaligned", [](Gemm& g) { g.b.data += 4; }},
      {"A is misaligned", [](Gemm& g) { g.a.leading = 9; }},
      {"B is misaligned", [](Gemm& g) { g.b.stride = 33; }},
      {"C overlaps the next one of the batch", [](Gemm& g) { g.c.stride = 32; }},
      {"C overlaps A", [](Gemm& g) { g.c.data = g.a.data; }},
      {"past the end of 'a'", [](Gemm& g) { g.a.stride = 64; }},
      {"past the end of 'c'", [](Gemm& g) { g.c.stride = 128; }},
      {"past the end of 'b'", [](Gemm& g) { g.b.stride = 64; }},
  };
  for (const Row& row : rows) {
    Gemm wrong = product_;
    row.change(wrong);
    expect_refused(wrong, row.says);
  }
}

TEST_F(EmulatedGemm, UninitialisedElementsAreFoundAndGapsBetweenColumnsMayBe) {
  device_.poison(a_ + 4 * 4, 16);  // rows 4 to 7 of the first column
  expect_refused(product_, "A has uninitialised elements in column 0 of batch 0");
  product_.m = 4;
  multiply(device_, product_);
  EXPECT_EQ(device_.unwritten(c_, 512), 256u) << "rows 4 to 7 of C are nobody's";
}

/// Ragged lengths and a group; no padded columns, since nobody would miss one.
Problem problem() {
  return AttentionCase{"", {2, 4, 2, 19, 37, 24}, true, 0.7}.problem(Dtype::kBf16);
}

struct ArgumentBug {
  const char* name;
  void (*change)(Gemm&);
};

constexpr ArgumentBug kArgumentBugs[] = {
    {"a_leads_too_far", [](Gemm& g) { g.a.leading += 8; }},
    {"b_leads_too_far", [](Gemm& g) { g.b.leading += 8; }},
    {"c_leads_too_far", [](Gemm& g) { g.c.leading += 8; }},
    {"a_not_transposed",
     [](Gemm& g) { g.a_op = g.a_op == Transpose::kYes ? Transpose::kNo : Transpose::kYes; }},
    {"b_not_transposed",
     [](Gemm& g) { g.b_op = g.b_op == Transpose::kYes ? Transpose::kNo : Transpose::kYes; }},
    {"a_strides_too_far", [](Gemm& g) { g.a.stride += g.a.leading; }},
    {"b_strides_too_far", [](Gemm& g) { g.b.stride += g.b.leading; }},
    {"one_row_less", [](Gemm& g) { g.m -= 1; }},
    {"one_column_less", [](Gemm& g) { g.n -= 1; }},
    {"one_head_less", [](Gemm& g) { g.batch -= 1; }},
    {"twice_the_factor", [](Gemm& g) { g.alpha *= 2; }},
};

class WrongArgument : public NeedsKernels, public testing::WithParamInterface<const char*> {};

TEST_P(WrongArgument, ShowsInTheProgramsOwnCheck) {
  for (const ArgumentBug& bug : kArgumentBugs) {
    int changed = 0;
    const auto plant = [&](Gemm& g) {
      if (g.name != GetParam()) return;
      bug.change(g);
      ++changed;
    };
    bool noticed = false;
    try {
      const EmulatedRun run(normal_cublas::kFamily, problem(), 1, {.gemm_bug = plant});
      noticed = !run.wrong().empty() || !run.findings().empty();
    } catch (const DeviceError&) {
      noticed = true;
    }
    EXPECT_EQ(changed, 1) << bug.name;
    EXPECT_TRUE(noticed) << bug.name << " in " << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(OfEveryProduct, WrongArgument,
                         testing::Values("S = Q K^T", "O = P V", "dP = dO V^T", "dQ = dS K",
                                         "dK = dS^T Q", "dV = P^T dO"),
                         [](const auto& product) {
                           const std::string name = product.param;
                           return name.substr(0, name.find(' '));
                         });

TEST(Gemms, WhatBlasCannotCountIsRefused) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  EXPECT_TRUE(gemms_fit({1, 1, 1, kMost, 1, 64}));
  EXPECT_FALSE(gemms_fit({1, 2, 1, kMost / 2 + 1, 1, 64}));
  EXPECT_FALSE(gemms_fit({kMost, 2, 2, 1, 1, 64}));
}

}  // namespace
}  // namespace flashbench::cuda
