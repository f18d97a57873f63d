// K and V in pieces of any size give what all at once give.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include "cpu/kernels.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/cpu/chunk_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

class ChunkTest : public testing::TestWithParam<ChunkCase> {};

TEST_P(ChunkTest, OfAnySizeAreRightOnEveryLevel) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
    const Problem whole = problem_of(GetParam(), dtype);
    const Inputs in = data::make_inputs(whole);
    const oracle::Reference reference(whole, in, VerifyLevel::kFull);
    for (const std::int64_t chunk : {1, 13, 5000})
      for (const Isa isa : available_isas()) {
        const Problem p = problem_of(GetParam(), dtype, chunk);
        const Execution e = execution(isa);
        ASSERT_FALSE(flash().refuses(p, e));
        const Verdict v = reference.verify(run(flash(), p, e, in));
        EXPECT_TRUE(v.checked() && v.ok()) << name(dtype) << " in pieces of " << chunk << " at "
                                           << name(isa) << ": " << describe(v);
      }
  }
}

TEST_P(ChunkTest, OfAllKeysIsTheOrdinaryKernelToTheLastBit) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const Isa isa : available_isas()) {
      Execution e = execution(isa, 1);
      Problem whole = problem_of(GetParam(), dtype);
      const Inputs in = data::make_inputs(whole);
      Problem p = whole;
      p.kv_chunk = whole.shape.kv_len;
      const Outputs a = run(flash(), whole, e, in), b = run(flash(), p, e, in);
      for (const auto& [name_of, x, y] :
           {std::tuple("o", &a.o, &b.o), std::tuple("lse", &a.lse, &b.lse),
            std::tuple("dq", &a.dq, &b.dq), std::tuple("dk", &a.dk, &b.dk),
            std::tuple("dv", &a.dv, &b.dv), std::tuple("dsinks", &a.dsinks, &b.dsinks)})
        EXPECT_TRUE(x->empty() || std::memcmp(x->data(), y->data(), x->bytes()) == 0)
            << name_of << " " << name(dtype) << " at " << name(isa);
    }
}

TEST_P(ChunkTest, CountTheirWorkAndMemory) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kBoth}) {
    Problem p = problem_of(GetParam(), Dtype::kF32, 13);
    if (!can_have_gradients(p) && pass != Pass::kForward) continue;
    p.pass = pass;
    p.padding = PaddingMask::kNone;
    const Inputs in = data::make_inputs(p);
    const Execution e = best(Dtype::kF32);
    const auto plan = flash().plan(p, e, in);
    EXPECT_EQ(plan->workspace_bytes(), flash().workspace_bytes(p, e));
    EXPECT_EQ(plan->flop_executed(), flash().predicted_flop(p, e));
    Outputs out = empty_outputs(p);
    const Operands io{&in, &out};
    plan->prepare(io);
    double flop = 0;
    for (const PhaseProfile::Row& row : plan->profile(io)) flop += row.cost.flop;
    EXPECT_GE(flop * (1 + 1e-12), plan->flop_executed());  // tiles with a new maximum count twice
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ChunkTest, testing::ValuesIn(kChunkCases),
                         [](const auto& row) { return std::string(row.param.guards_against); });

// Partial results that are rounded to 16 bits add up to several times the error.
TEST(Chunks, DoNotMakeBf16Worse) {
  const ChunkCase c{{"many_chunks", {1, 2, 1, 128, 1024, 64}, true}};
  const Problem whole = problem_of(c, Dtype::kBf16);
  const Inputs in = data::make_inputs(whole);
  const oracle::Reference reference(whole, in, VerifyLevel::kFull);
  const auto worst = [&](std::int64_t chunk) {
    double error = 0;
    const Problem p = problem_of(c, Dtype::kBf16, chunk);
    for (const TensorVerdict& t : reference.verify(run(flash(), p, best(Dtype::kBf16), in)).tensors)
      error = std::max(error, t.error_over_noise);
    return error;
  };
  const double at_once = worst(0);
  for (const std::int64_t chunk : {8, 100, 512}) EXPECT_LE(worst(chunk), 1.15 * at_once) << chunk;
}

TEST(Chunks, DoNotReadWhatCountsForNobody) {
  const ChunkCase c{{"hidden_rows", {1, 2, 1, 30, 90, 16}, true, 0.4}};
  const Problem p = problem_of(c, Dtype::kF32, 11);
  const Inputs clean = data::make_inputs(p);
  Inputs dirty = data::make_inputs(p);
  for (std::int64_t k = 0; k < p.shape.kv_len; ++k)
    for (std::int64_t d = 0; clean.key_mask[static_cast<std::size_t>(k)] == 0 && d < 16; ++d)
      for (Tensor* t : {&dirty.k, &dirty.v})
        t->set(t->dims().index(0, 0, k, d), std::numeric_limits<float>::quiet_NaN());
  const Outputs a = run(flash(), p, best(Dtype::kF32, 1), clean),
                b = run(flash(), p, best(Dtype::kF32, 1), dirty);
  for (const auto& [x, y] : {std::pair(&a.o, &b.o), std::pair(&a.dq, &b.dq),
                             std::pair(&a.dk, &b.dk), std::pair(&a.dv, &b.dv)})
    EXPECT_EQ(std::memcmp(x->data(), y->data(), x->bytes()), 0);
}

TEST(Chunks, AreRefusedByNameWithWhatHasNoParts) {
  const Execution e = best(Dtype::kF32);
  const auto says = [&](auto&& with) {
    Problem p;
    p.shape = {1, 2, 2, 8, 8, 16};
    p.kv_chunk = 3;
    with(p);
    const auto why = flash().refuses(p, e);
    return why ? why->reason : "taken";
  };
  EXPECT_EQ(says([](Problem&) {}), "taken");
  EXPECT_EQ(says([](Problem& p) { p.bias = Bias::kRandom; }),
            "cpu_flash does not support --bias where keys come in parts");
  EXPECT_EQ(says([](Problem& p) { p.page_size = 16; }),
            "cpu_flash does not support --page_size where keys come in parts");
  EXPECT_EQ(says([](Problem& p) {
              p.ragged = Ragged::kLengths;
              p.shape.set(Sequences::of({{3, 5}, {4, 4}}));
            }),
            "cpu_flash does not support --ragged where keys come in parts");
  EXPECT_EQ(says([](Problem& p) { p.kv_chunk = -1; }),
            "--kv_chunk must be between 0 (none) and 2147483647, got -1");
}

}  // namespace
}  // namespace flashbench::cpu
