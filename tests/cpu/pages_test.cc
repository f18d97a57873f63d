// K and V are read where a block table says that they lie, and nowhere else.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/attention_case.h"
#include "tests/cpu/decodes.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

constexpr AttentionCase kCases[] = {
    {"decode", {2, 4, 2, 1, 300, 32}},
    {"many_queries", {2, 4, 2, 60, 130, 24}, true},
    {"padding", {2, 4, 2, 50, 90, 40}, true, 0.5},
    {"padding_and_decode", {2, 4, 2, 2, 90, 40}, true, 0.5},
};

Problem paged(const AttentionCase& c, Dtype dtype, std::int64_t page_size) {
  Problem p = c.problem(dtype, Pass::kForward);
  p.page_size = page_size;
  return p;
}

// The pool holds NaN wherever no key lies: in pages of nobody and behind the last key.
TEST(Pages, GiveTheSameBitsAsRowsThatLieOneBehindTheOther) {
  for (const AttentionCase& c : kCases)
    for (const Dtype dtype : kDtypes)
      for (const std::int64_t page_size : {1, 7, 16, 512}) {
        const Problem p = paged(c, dtype, page_size);
        Problem whole = p;
        whole.page_size = 0;
        const Inputs in = data::make_inputs(p), plain = data::make_inputs(whole);
        for (const Isa isa : available_isas())
          for (const Kernel* kernel : kernels()) {
            if (decodes(*kernel, p, isa)) continue;  // in turns from several pages
            const Execution e{.isa = isa, .threads = 2};
            const Outputs a = run(*kernel, p, e, in), b = run(*kernel, whole, e, plain);
            EXPECT_TRUE(std::memcmp(a.o.data(), b.o.data(), a.o.bytes()) == 0 &&
                        std::memcmp(a.lse.data(), b.lse.data(), a.lse.bytes()) == 0)
                << c.guards_against << " " << name(dtype) << " " << page_size << " "
                << kernel->info().name << " " << name(isa);
          }
      }
}

// A key left out, read twice or taken for another one where turns begin and end, within a window or
// a block: every length between two turns, and one query that sees less than another.
TEST(Pages, AreReadInTurnsWithoutLosingAKey) {
  for (const std::int64_t queries : {1, 2})
    for (const std::int64_t keys : {1, 15, 33, 64, 65, 127, 200, 357, 700})
      for (const std::int64_t window : {-1, 90}) {
        AttentionCase c{"turns", {1, 4, 2, queries, keys, 128}};
        c.causal = keys >= queries;
        for (const Dtype dtype : kDtypes) {
          Problem p = paged(c, dtype, keys % 2 == 0 ? 16 : 64);  // short runs and long ones
          if (window >= 0) p.window_left = window;
          const Inputs in = data::make_inputs(p);
          const oracle::Reference reference(p, in, VerifyLevel::kFull);
          for (const Isa isa : available_isas())
            for (const Kernel* kernel : kernels())
              EXPECT_TRUE(reference.verify(run(*kernel, p, {.isa = isa, .threads = 2}, in)).ok())
                  << queries << " " << keys << " " << window << " " << name(dtype) << " "
                  << kernel->info().name << " " << name(isa);
        }
      }
}

// What lies where the pages say counts, not the tensors that the oracle judges by: pages of the
// neighbour, in another order, and a row too far are wrong results.
TEST(Pages, OfTheNeighbourAreNoticed) {
  for (const AttentionCase& c : kCases) {
    const Problem p = paged(c, Dtype::kF32, 16);
    const Inputs in = data::make_inputs(p);
    for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
      const oracle::Reference reference(p, in, level);
      for (const Kernel* kernel : kernels()) {
        const Execution e{.isa = available_isas().back(), .threads = 2};
        ASSERT_TRUE(reference.verify(run(*kernel, p, e, in)).ok());
        Inputs other = data::make_inputs(p);
        const std::size_t most = other.pages.block_table.size() / 2;
        std::swap(other.pages.block_table[1], other.pages.block_table[most + 1]);
        EXPECT_FALSE(reference.verify(run(*kernel, p, e, other)).ok())
            << c.guards_against << " " << kernel->info().name << " " << name(level);
      }
    }
  }
}

TEST(Pages, AreRefusedForGradients) {
  Problem p = paged(kCases[1], Dtype::kF32, 16);
  for (const Pass pass : {Pass::kBackward, Pass::kBoth}) {
    p.pass = pass;
    for (const Kernel* kernel : kernels()) {
      const auto why = kernel->refuses(p, {.isa = available_isas().back(), .threads = 1});
      ASSERT_TRUE(why);
      EXPECT_NE(why->reason.find("--page_size is for a forward pass alone"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace flashbench::cpu
