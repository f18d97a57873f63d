// V is the first columns of K: read there, once, and judged as what it is.
#include <gtest/gtest.h>

#include <cstring>

#include "core/work.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/decodes.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

constexpr std::int64_t kValueDim = 24;

constexpr AttentionCase kCases[] = {
    {"decode", {2, 4, 2, 1, 300, 32}},
    {"odd_rows", {2, 4, 1, 3, 70, 33}, true},
    {"many_queries", {2, 4, 2, 60, 130, 40}, true},
    {"padding", {2, 4, 2, 50, 90, 40}, true, 0.5},
    {"padding_and_decode", {2, 4, 2, 2, 90, 40}, true, 0.5},
};

Problem in_keys(const AttentionCase& c, Dtype dtype) {
  Problem p = c.problem(dtype, Pass::kForward);
  p.shape.own_d_v = kValueDim;
  p.v_in_k = true;
  return p;
}

/// The same numbers, V in memory of its own.
Problem apart(Problem p) {
  p.v_in_k = false;
  p.page_size = 0;
  return p;
}

// Nobody reads the copy of V that the oracle judges by, nor a pool that is not there.
TEST(ValuesInKeys, GiveTheSameBitsAsValuesInMemoryOfTheirOwn) {
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes)
      for (const std::int64_t page_size : {0, 7})
        for (const bool bytes : {false, true}) {
          Problem p = in_keys(c, dtype);
          p.page_size = page_size;
          if (bytes) p.own_kv_dtype = Dtype::kE4m3;
          Inputs in = data::make_inputs(p), plain = data::make_inputs(p);
          const oracle::Reference reference(p, in, VerifyLevel::kFull);
          plain.v_in_k = false;
          plain.pages = {};
          in.v.poison();
          for (const Isa isa : available_isas())
            for (const Kernel* kernel : kernels()) {
              const Execution e{.isa = isa, .threads = 2};
              const Outputs a = run(*kernel, p, e, in), b = run(*kernel, apart(p), e, plain);
              // Decoding adds up in another order where pages are read in turns.
              const bool in_turns = page_size > 0 && !bytes && decodes(*kernel, p, isa);
              if (in_turns) {
                EXPECT_TRUE(reference.verify(a).ok()) << c.guards_against << " " << name(isa);
                continue;
              }
              EXPECT_TRUE(std::memcmp(a.o.data(), b.o.data(), a.o.bytes()) == 0 &&
                          std::memcmp(a.lse.data(), b.lse.data(), a.lse.bytes()) == 0)
                  << c.guards_against << " " << name(dtype) << " " << page_size << " " << bytes
                  << " " << kernel->info().name << " " << name(isa);
            }
        }
}

TEST(ValuesInKeys, OneColumnTooFarAreNoticed) {
  for (const AttentionCase& c : kCases) {
    const Problem p = in_keys(c, Dtype::kF32);
    const Inputs in = data::make_inputs(p);
    Inputs shifted = data::make_inputs(p);
    shifted.v_in_k = false;
    for (std::int64_t r = 0; r < in.k.dims().all_rows(); ++r)
      for (std::int64_t i = 0; i < kValueDim; ++i)
        shifted.v.set(r * kValueDim + i, in.k.at(r * p.shape.d + i + 1));
    for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
      const oracle::Reference reference(p, in, level);
      for (const Kernel* kernel : kernels()) {
        const Execution e{.isa = available_isas().back(), .threads = 2};
        EXPECT_TRUE(reference.verify(run(*kernel, p, e, in)).ok()) << c.guards_against;
        EXPECT_FALSE(reference.verify(run(*kernel, apart(p), e, shifted)).ok())
            << c.guards_against << " " << kernel->info().name << " " << name(level);
      }
    }
  }
}

TEST(ValuesInKeys, AreBytesThatAreMovedOnce) {
  Problem p = in_keys({"bytes", {2, 4, 2, 1, 300, 32}}, Dtype::kF32);
  const double in_k = count_work(p, expected_visible(p)).bytes;
  const double with_v = count_work(apart(p), expected_visible(p)).bytes;
  EXPECT_EQ(with_v - in_k, 2.0 * 2 * 300 * kValueDim * 4);
  EXPECT_EQ(count_work(p, expected_visible(p)).flop_visible,
            count_work(apart(p), expected_visible(p)).flop_visible);
  p.own_kv_dtype = Dtype::kE4m3;
  const double of_8_bits = count_work(p, expected_visible(p)).bytes;
  const double with_descale = count_work(apart(p), expected_visible(p)).bytes;
  EXPECT_EQ(with_descale - of_8_bits, 2.0 * 2 * 300 * kValueDim + 2 * 2 * 4);
}

TEST(ValuesInKeys, AreNoMoreColumnsThanKeysHaveAndHaveNoGradients) {
  Problem p = in_keys(kCases[0], Dtype::kF32);
  p.shape.own_d_v = p.shape.d + 1;
  const Execution e{.isa = available_isas().back(), .threads = 1};
  for (const Kernel* kernel : kernels()) {
    const auto why = kernel->refuses(p, e);
    ASSERT_TRUE(why);
    EXPECT_NE(why->reason.find("--d_v must be at most that"), std::string::npos) << why->reason;
  }
  p = in_keys(kCases[0], Dtype::kF32);
  p.pass = Pass::kBoth;
  for (const Kernel* kernel : kernels()) {
    const auto why = kernel->refuses(p, e);
    ASSERT_TRUE(why);
    EXPECT_NE(why->reason.find("--v_in_k is for a forward pass alone"), std::string::npos);
  }
}

}  // namespace
}  // namespace flashbench::cpu
