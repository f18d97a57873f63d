#include <cstring>

#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/simt_f32/simt_f32.h"
#include "tests/band.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

/// Tells every kernel another mask than the plan did.
class BandDevice final : public MutatedDevice {
 public:
  BandDevice(const Visible& mask, std::uint64_t seed) : MutatedDevice({}, seed), mask_(mask) {}

  void enqueue(const Launch& launch, std::span<const std::byte> argument) override {
    Attention a;
    ASSERT_EQ(argument.size(), sizeof a) << launch.entry;
    std::memcpy(&a, argument.data(), sizeof a);
    a.mask = mask_;
    MutatedDevice::enqueue(launch, std::as_bytes(std::span(&a, 1)));
  }

 private:
  Visible mask_;
};

const BandCase kBands[] = {
    {"a_window_within_one_tile", {1, 1, 1, 40, 40, 16}, 5, 0},
    {"rows_that_begin_in_later_tiles", {1, 2, 1, 210, 210, 64}, 30, 0},
    {"a_window_without_an_end", {1, 1, 1, 100, 170, 40}, 20, kNo},
    {"a_window_on_both_sides", {2, 2, 2, 150, 190, 128}, 33, 17},
    {"one_key_a_row", {1, 1, 1, 140, 140, 64}, 0, 0},
    {"rows_that_see_nothing", {1, 2, 2, 150, 60, 16}, 40, 0},
    {"padding_within_the_window", {2, 2, 1, 130, 230, 64}, 70, 0, 0.4},
    {"padding_that_empties_rows", {1, 1, 1, 110, 110, 16}, 2, 0, 0.2},
    {"one_query", {1, 4, 2, 1, 300, 64}, 100, 0},
};

class TwoEndedTest : public NeedsKernels, public testing::WithParamInterface<BandCase> {
 protected:
  void check(const KernelFamily& family, Dtype dtype, double tolerance) const {
    SCOPED_TRACE(family.name);
    const Problem p = GetParam().problem(dtype);
    const Inputs in = data::make_inputs(p);
    const BandReference expected(GetParam(), p, in);
    Outputs out = data::make_outputs(p);
    out.poison();
    BandDevice device(GetParam().visible(), 1);
    const auto plan = make_plan(device, family, p, in);
    const Operands io{&in, &out};
    plan->prepare(io);
    plan->launch(io);
    plan->collect(io);
    for (const ptx::Finding& f : device.findings()) ADD_FAILURE() << f.text();
    expect_close("o", out.o, expected.o, tolerance);
    expect_close("lse", out.lse, expected.lse, tolerance);
    expect_close("dq", out.dq, expected.dq, tolerance);
    expect_close("dk", out.dk, expected.dk, tolerance);
    expect_close("dv", out.dv, expected.dv, tolerance);
  }
};

TEST_P(TwoEndedTest, SimtF32) { check(simt_f32::kFamily, Dtype::kF32, 2e-5); }
TEST_P(TwoEndedTest, MmaSm80) { check(mma_sm80::kFamily, Dtype::kBf16, 2e-2); }
TEST_P(TwoEndedTest, NormalCublas) { check(normal_cublas::kFamily, Dtype::kF32, 2e-5); }

INSTANTIATE_TEST_SUITE_P(Bands, TwoEndedTest, testing::ValuesIn(kBands),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench::cuda
