#pragma once

#include <utility>

#include "tests/cuda/planted_bugs.h"

// Bugs planted into the kernels of mma_sm80 whose warps share their rows and split d.
namespace flashbench::cuda {

inline const char* const kForwardSplit = "mma_sm80_forward_bf16_d384";
inline const char* const kDqSplit = "mma_sm80_dq_bf16_d384";
inline const char* const kDkdvSplit = "mma_sm80_dkdv_bf16_d384";
inline const char* const kMmaSplitSource = "mma_sm80/mma_sm80_split.cuh";
inline const char* const kForwardSplitSource = "mma_sm80/mma_sm80_forward_split.cuh";
inline const char* const kBackwardSplitSource = "mma_sm80/mma_sm80_backward_split.cuh";
inline const char* const kBarrier = R"(bar\.sync\s+0;)";
inline const char* const kAddition = R"(add\.f32(\s+%f\d+), (%f\d+), (%f\d+);)";
inline const char* const kPlaceOfPart = R"(mad\.lo\.s32(\s+%r\d+), %r\d+, 6144, (%r\d+);)";
inline const char* const kFirstSum = "__uint_as_float(x.x) + ";

/// Several blocks of queries and of keys, an odd number of tiles, logits that rise far enough for O
/// to be rescaled, and a last part of d that is not full.
inline PlantedBug in_mma_split(const char* name, const char* noticed_as, const char* entry,
                               Mutation m, const char* why_not = "") {
  m.entry = entry;
  PlantedBug bug = {name, noticed_as, std::move(m), why_not, 380, 70, 110, 1.0};
  if (entry == kForwardSplit) bug.pass = Pass::kForward;
  return bug;
}
inline Mutation less(const char* instruction, int occurrence) {
  return {"", "", "", instruction, "", occurrence};
}

inline const PlantedBug kMmaSplitBugs[] = {
    // ---- Who waits for whom
    in_mma_split("forward_reads_queries_before_they_are_there", "race", kForwardSplit,
                 less(kBarrier, 0)),
    in_mma_split("forward_loads_tiles_over_queries_in_use", "race", kForwardSplit,
                 less(kBarrier, 1)),
    in_mma_split("forward_overwrites_scores_that_are_being_read", "race", kForwardSplit,
                 less(kBarrier, 2)),
    in_mma_split("forward_reads_scores_before_they_are_there", "race", kForwardSplit,
                 less(kBarrier, 3)),
    in_mma_split("forward_stores_o_over_values_in_use", "race", kForwardSplit, less(kBarrier, 4)),
    in_mma_split("forward_does_not_wait_for_tiles", "race", kForwardSplit,
                 less(R"(cp\.async\.wait_group 0;)", 1)),
    in_mma_split("dq_overwrites_halves_that_are_being_read", "race", kDqSplit, less(kBarrier, 2)),
    in_mma_split("dq_reads_halves_before_they_are_there", "race", kDqSplit, less(kBarrier, 3)),
    in_mma_split("dq_stores_over_keys_in_use", "race", kDqSplit, less(kBarrier, 4)),
    in_mma_split("dkdv_loads_tiles_over_keys_in_use", "race", kDkdvSplit, less(kBarrier, 1)),
    in_mma_split("dkdv_overwrites_halves_that_are_being_read", "race", kDkdvSplit,
                 less(kBarrier, 2)),
    in_mma_split("dkdv_reads_halves_before_they_are_there", "race", kDkdvSplit, less(kBarrier, 3)),
    // ---- Halves of the scores
    in_mma_split("forward_does_not_add_the_other_half", "wrong result", kForwardSplit,
                 {"", kMmaSplitSource, kFirstSum, kAddition, "mov.f32$1, $2;", kAll}),
    in_mma_split(
        "forward_adds_the_other_half_twice", "wrong result", kForwardSplit,
        {"", kMmaSplitSource, kFirstSum, kAddition, "fma.rn.f32$1, $3, 0f40000000, $2;", 1}),
    in_mma_split("forward_does_not_write_all_scores", "uninitialised", kForwardSplit,
                 less(R"(st\.shared\.v4\.b32 .*;)", 1)),
    in_mma_split("forward_adds_scores_of_other_keys", "wrong result", kForwardSplit,
                 {"", "", "", R"((ld\.shared\.v4.*\[%r\d+)\])", "$1+512]", 0}),
    in_mma_split("dq_does_not_add_the_other_half", "wrong result", kDqSplit,
                 {"", kMmaSplitSource, kFirstSum, kAddition, "mov.f32$1, $2;", kAll}),
    in_mma_split(
        "dq_adds_a_half_of_dp_twice", "wrong result", kDqSplit,
        {"", kMmaSplitSource, kFirstSum, kAddition, "fma.rn.f32$1, $3, 0f40000000, $2;", 2}),
    in_mma_split("dkdv_does_not_add_the_other_half", "wrong result", kDkdvSplit,
                 {"", kMmaSplitSource, kFirstSum, kAddition, "mov.f32$1, $3;", kAll}),
    // ---- Parts of d
    in_mma_split("forward_forgets_16_columns_of_k", "wrong result", kForwardSplit,
                 less(R"(mma\.sync.*;)", 6)),
    in_mma_split("forward_forgets_16_columns_of_v", "wrong result", kForwardSplit,
                 less(R"(mma\.sync.*;)", 30)),
    in_mma_split("dkdv_forgets_16_columns", "wrong result", kDkdvSplit,
                 less(R"(mma\.sync.*;)", 13)),
    in_mma_split(
        "forward_keeps_the_first_half_of_q_twice", "wrong result", kForwardSplit,
        {"", kForwardSplitSource, "at.base + at.part() * kBlock",
         R"(mad\.lo\.s32(\s+%r\d+), %r\d+, 24576, (%r\d+);|mul\.lo\.s32(\s+%r\d+), %r\d+, 24576;)",
         "mov.u32$1$3, $2;", 0}),
    in_mma_split("forward_multiplies_the_first_half_of_k_twice", "wrong result", kForwardSplit,
                 {"", kForwardSplitSource, "multiply_kept<T, kOwn, 1>(s, q", kPlaceOfPart,
                  "mov.u32$1, $2;", kAll}),
    in_mma_split("forward_multiplies_the_first_half_of_v_twice", "wrong result", kForwardSplit,
                 {"", kForwardSplitSource, "multiply_from_registers<T, kOwn, 1, kKeys>(o",
                  kPlaceOfPart, "mov.u32$1, $2;", kAll}),
    in_mma_split("dq_keeps_the_first_half_of_q_for_all", "wrong result", kDqSplit,
                 {"", kBackwardSplitSource, "keep_rows<At::kOwn, 2",
                  R"(mad\.lo\.s32(\s+%r\d+), %r\d+, 12288, (%r\d+);)", "mov.u32$1, $2;", kAll}),
    // ---- Rows, masks, softmax
    in_mma_split("forward_writes_no_lse", "wrong result", kForwardSplit,
                 {"", kForwardSplitSource, "at.part() == 0 ? block.first_row",
                  R"(setp\.(\w+)\.(\w)32(\s+%p\d+), (%r\d+), \d+;)", "setp.ne.s32$3, $4, $4;", 0}),
    in_mma_split("forward_does_not_rescale_o", "wrong result", kForwardSplit,
                 {"", kSoftmaxOfTiles, "] *= rescale;", R"(mul\.f32(\s+%f\d+), (%f\d+), (%f\d+);)",
                  "mov.f32$1, $3;", kAll}),
    in_mma_split("forward_mask_off_by_one_beyond_256", "wrong result", kForwardSplit,
                 {"", kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+, %r\d+), (\d+);)",
                  "setp.le.s32$1, $2;", kAll}),
    in_mma_split("forward_masks_rows_of_another_warp", "wrong result", kForwardSplit,
                 {"", kMmaSplitSource, "return row() - warp_row<1>()",
                  R"(sub\.s32(\s+%r\d+), %r\d+, %r\d+;)", "mov.u32$1, 0;", kAll}),
    in_mma_split(
        "dq_subtracts_no_d", "wrong result", kDqSplit,
        {"", kSoftmaxOfTiles, "dp[t][n][c] = fmaf(dp[t][n][c], values.inverse",
         R"(fma\.rn\.f32(\s+%f\d+), (%f\d+), (%f\d+), %f\d+;)", "mul.f32$1, $2, $3;", kAll}),
    in_mma_split("forward_never_raises_the_maximum", "wrong result", kForwardSplit,
                 {"", kSoftmaxOfTiles, "const bool rises = max",
                  R"(setp\.gt\.f32(\s+%p\d+), %f\d+, (%f\d+);)", "setp.gt.f32$1, $2, $2;", 0}),
    in_mma_split("dkdv_takes_a_sum_of_exponentials_for_d", "wrong result", kDkdvSplit,
                 {"", kBackwardSplitSource, "row_values.delta(stage)",
                  R"(add\.s32(\s+%r\d+, %r\d+), 57600;)", "add.s32$1, 57472;", kAll}),
};

}  // namespace flashbench::cuda
