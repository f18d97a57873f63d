#pragma once

#include "tests/cuda/planted_bugs.h"

// Bugs planted into mma_bf16x6_sm80, as in planted_bugs.h: the arithmetic of split operands, which
// its own tolerance must not hide, and copies.
namespace flashbench::cuda {

inline const char* const kBf16x6Forward = "mma_bf16x6_sm80_forward_d64";
inline const char* const kBf16x6Dq = "mma_bf16x6_sm80_dq_d64";
inline const char* const kBf16x6Dkdv = "mma_bf16x6_sm80_dkdv_d64";
inline const char* const kBf16x6Source = "mma_bf16x6_sm80/mma_bf16x6_sm80_products.cuh";
inline const char* const kAnyMma = R"(mma\.sync.*;)";
inline const char* const kAnyPack = R"(cvt\.rn\.bf16x2\.f32 (%r\d+), .*;)";

/// A bug of a small problem: forward alone where that shows it.
inline PlantedBug of_split(const char* name, const char* noticed_as, const Mutation& mutation,
                           std::optional<double> scale = {}) {
  PlantedBug bug{name, noticed_as, mutation};
  bug.q_len = 70;
  bug.kv_len = 100;
  bug.scale = scale;
  if (mutation.entry == kBf16x6Forward) bug.pass = Pass::kForward;
  return bug;
}

inline const PlantedBug kBf16x6Bugs[] = {
    of_split("split_forward_leaves_out_mid_times_mid", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "(sum, a.mid, b0.mid", kAnyMma, "", kAll}),
    of_split("split_forward_leaves_out_hi_times_lo", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "(sum, a.hi, b0.lo", kAnyMma, "", kAll}),
    of_split("split_forward_leaves_out_lo_times_hi", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "(sum, a.lo, b0.hi", kAnyMma, "", kAll}),
    of_split("split_forward_leaves_out_mid_times_hi", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "(sum, a.mid, b0.hi", kAnyMma, "", kAll}),
    of_split("split_forward_drops_lo_of_a_pair_of_q", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "s.lo = pack", kAnyPack, "mov.u32 $1, 0;", 0}),
    of_split("split_forward_takes_hi_twice", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "x -= hi.x",
              R"(sub\.(ftz\.)?f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$2, $3;", 0}),
    of_split("split_forward_begins_a_sum_with_1", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "(sum, a.mid, b0.mid", R"(mov\.f32(\s+%f\d+), %f\d+;)",
              "mov.f32$1, 0f3F800000;", 0}),
    of_split("split_forward_forgets_what_was_summed", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "c[i] += sum[i]",
              R"(add\.(ftz\.)?f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$2, $3;", 0}),
    of_split("split_forward_reads_the_row_after_the_right_one", "wrong result",
             {kBf16x6Forward, kBf16x6Source, "ld.shared.f32", R"((ld\.shared\.f32.*\[%r\d+)\])",
              "$1+256]", 0}),
    of_split("split_forward_keeps_the_sign_of_scores", "wrong result",
             {kBf16x6Forward, "mma_bf16x6_sm80/mma_bf16x6_sm80_forward.cu", ": -s[t][n][c]",
              R"(neg\.(ftz\.)?f32(\s+%f\d+), (%f\d+);)", "mov.f32$2, $3;", 0},
             -0.3),
    of_split("split_forward_waits_for_one_copy_group_too_few", "race",
             {kBf16x6Forward, "", "", R"(wait_group 0)", "wait_group 1"}),
    of_split("split_forward_has_no_barrier_after_the_wait", "race",
             {kBf16x6Forward, "", "", R"(bar\.sync\s+0;)", ""}),
    of_split("split_dq_leaves_out_hi_times_lo", "wrong result",
             {kBf16x6Dq, kBf16x6Source, "(sum, a.hi, b0.lo", kAnyMma, "", kAll}),
    of_split("split_dkdv_leaves_out_mid_times_mid", "wrong result",
             {kBf16x6Dkdv, kBf16x6Source, "(sum, a.mid, b0.mid", kAnyMma, "", kAll}),
    of_split("split_dkdv_does_not_load_the_rows_statistics", "uninitialised",
             {kBf16x6Dkdv, "", "", R"(cp\.async\.ca.*;)", "", 0}),
};

inline const PlantedBug kMoreBf16x6Bugs[] = {
    of_split("split_dq_leaves_out_mid_times_mid", "wrong result",
             {kBf16x6Dq, kBf16x6Source, "(sum, a.mid, b0.mid", kAnyMma, "", kAll}),
    of_split("split_dq_leaves_out_lo_times_hi", "wrong result",
             {kBf16x6Dq, kBf16x6Source, "(sum, a.lo, b0.hi", kAnyMma, "", kAll}),
    of_split("split_dq_waits_for_one_copy_group_too_few", "race",
             {kBf16x6Dq, "", "", R"(wait_group 0)", "wait_group 1"}),
    of_split("split_dq_has_no_barrier_after_the_wait", "race",
             {kBf16x6Dq, "", "", R"(bar\.sync\s+0;)", ""}),
    of_split("split_dkdv_leaves_out_hi_times_lo", "wrong result",
             {kBf16x6Dkdv, kBf16x6Source, "(sum, a.hi, b0.lo", kAnyMma, "", kAll}),
    of_split("split_dkdv_leaves_out_lo_times_hi", "wrong result",
             {kBf16x6Dkdv, kBf16x6Source, "(sum, a.lo, b0.hi", kAnyMma, "", kAll}),
    of_split("split_dkdv_forgets_what_was_summed", "wrong result",
             {kBf16x6Dkdv, kBf16x6Source, "c[i] += sum[i]",
              R"(add\.(ftz\.)?f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$2, $3;", 40}),
    of_split("split_dkdv_waits_for_one_copy_group_too_few", "race",
             {kBf16x6Dkdv, "", "", R"(wait_group 0)", "wait_group 1"}),
    of_split("split_dkdv_has_no_barrier_after_the_wait", "race",
             {kBf16x6Dkdv, "", "", R"(bar\.sync\s+0;)", ""}),
};

}  // namespace flashbench::cuda
