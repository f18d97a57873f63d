#include <cmath>

#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"
#include "tests/band.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

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
    {"keys_that_no_query_sees", {1, 2, 1, 70, 420, 64}, 50, 0},
    {"padding_and_keys_that_no_query_sees", {2, 2, 1, 70, 420, 40}, 90, 0, 0.4},
    {"more_tiles_than_stages", {1, 1, 1, 900, 900, 64}, 300, 0},
    {"hidden_tiles_on_both_sides", {1, 1, 1, 700, 700, 128}, 60, 40},
    {"gradients_of_a_wide_head", {1, 1, 1, 200, 260, 160}, 45, 0},
    {"padding_and_keys_of_a_wide_head_that_no_query_sees", {1, 2, 1, 70, 300, 200}, 50, 0, 0.6},
};

// Beyond d = 256, where wgmma_sm90a alone has tensor cores.
const BandCase kWideBands[] = {
    {"a_wide_head_on_both_sides", {1, 2, 1, 140, 300, 264}, 90, 10},
    {"the_widest_head_with_padding", {1, 1, 1, 130, 200, 512}, 45, 0, 0.6},
};

class TwoEndedTest : public NeedsKernels, public testing::WithParamInterface<BandCase> {
 protected:
  /// NaN in every row of K and V that is padded or that no query sees: it must change nothing.
  void hide_nan(const Problem& p, Inputs& in) const {
    const Shape& s = p.shape;
    const auto sees = visibilities(in.key_mask, p);
    for (std::int64_t b = 0; b < s.b; ++b)
      for (std::int64_t k = 0; k < s.kv_len; ++k) {
        if (sees[static_cast<std::size_t>(b)].kept().holds(k)) continue;
        for (std::int64_t h = 0; h < s.h_kv; ++h)
          for (std::int64_t d = 0; d < s.d; ++d)
            for (Tensor* t : {&in.k, &in.v}) t->set(t->dims().index(b, h, k, d), NAN);
      }
  }

  /// Results against the definition, and as many FLOP as the tiles have that hold a visible pair:
  /// one that is hidden is not multiplied, and what is streamed to the products is not loaded.
  void check(const KernelFamily& family, Dtype dtype, double tolerance) const {
    SCOPED_TRACE(family.name);
    Problem p = GetParam().problem(dtype);
    const Inputs clean = data::make_inputs(p);
    const BandReference expected(GetParam(), p, clean);
    Inputs in = data::make_inputs(p);
    hide_nan(p, in);
    Outputs out = data::make_outputs(p);
    out.poison();
    MutatedDevice device({}, 1);
    const auto plan = make_plan(device, family, p, in);
    const Operands io{&in, &out};
    plan->prepare(io);
    plan->launch(io);
    plan->collect(io);
    for (const ptx::Finding& f : device.findings()) ADD_FAILURE() << f.text();
    expect_close("o", out.o, expected.o, tolerance);
    expect_close("lse", out.lse, expected.lse, tolerance);
    if (const auto flop = static_cast<double>(device.counters().matrix_flop); flop > 0) {
      EXPECT_EQ(flop, plan->flop_executed());
    }
    expect_close("dq", out.dq, expected.dq, tolerance);
    expect_close("dk", out.dk, expected.dk, tolerance);
    expect_close("dv", out.dv, expected.dv, tolerance);
  }
};

TEST_P(TwoEndedTest, SimtF32) { check(simt_f32::kFamily, Dtype::kF32, 2e-5); }
TEST_P(TwoEndedTest, MmaSm80) { check(mma_sm80::kFamily, Dtype::kBf16, 2e-2); }
TEST_P(TwoEndedTest, WgmmaSm90a) { check(wgmma_sm90a::kFamily, Dtype::kBf16, 2e-2); }
TEST_P(TwoEndedTest, NormalCublas) { check(normal_cublas::kFamily, Dtype::kF32, 2e-5); }

class TwoEndedWideTest : public TwoEndedTest {};

TEST_P(TwoEndedWideTest, WgmmaSm90a) { check(wgmma_sm90a::kFamily, Dtype::kBf16, 2e-2); }

INSTANTIATE_TEST_SUITE_P(Bands, TwoEndedTest, testing::ValuesIn(kBands),
                         [](const auto& test) { return test.param.guards_against; });
INSTANTIATE_TEST_SUITE_P(WideBands, TwoEndedWideTest, testing::ValuesIn(kWideBands),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench::cuda
