// A product over emulated memory, executed as BLAS defines it.
#include "cuda/device/emulated_gemm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "system/error.h"

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

}  // namespace
}  // namespace flashbench::cuda
