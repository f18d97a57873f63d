#pragma once

#include <optional>

#include "core/features.h"
#include "core/problem.h"
#include "tests/cuda/mutation.h"

// Bugs planted into the kernels' PTX, and by what each is noticed. A problem with a causal and a
// padding mask, GQA and ragged lengths meets each of them, NaN in the rows that are hidden.
namespace flashbench::cuda {

struct PlantedBug {
  const char* name;
  /// Name of a ptx::FindingKind; "wrong result": the oracle notices; "nothing": nobody can.
  const char* noticed_as;
  Mutation mutation;
  const char* why_not = "";               ///< where nobody notices
  int d = 64, q_len = 150, kv_len = 230;  ///< of the problem
  std::optional<double> scale = {};       ///< of its scores; absent: the default
  std::optional<int> window_left = {};    ///< absent: none
  int b = 1;
  int launches = 1;
  std::size_t shared_bytes = 0;  ///< that plans go by; 0: those of the emulated device
  /// Of soft cap, ALiBi, sinks and d_v: what the problem has, too; ragged: instead of padding.
  Features also = {};
  std::optional<Pass> pass = {};  ///< absent: all that the family has
};

inline constexpr int kAll = Mutation::kAll;
inline const char* const kForward = "mma_sm80_forward_bf16_d64";
inline const char* const kDq = "mma_sm80_dq_bf16_d64";
inline const char* const kDkdv = "mma_sm80_dkdv_bf16_d64";
inline const char* const kForwardGeneral = "mma_sm80_forward_general_bf16_d64";
inline const char* const kDqGeneral = "mma_sm80_dq_general_bf16_d64";
inline const char* const kDkdvGeneral = "mma_sm80_dkdv_general_bf16_d64";
inline const char* const kDelta = "mma_sm80_delta_bf16";
inline const char* const kTileSource = "fragments/tile.cuh";
inline const char* const kAccumulators = "fragments/accumulators.cuh";
inline const char* const kWarp = "fragments/warp.cuh";
inline const char* const kRowsOfHeads = "fragments/rows.cuh";
inline const char* const kTileRanges = "fragments/tile_ranges.cuh";
inline const char* const kHiding = "fragments/masks.cuh";
inline const char* const kSoftmaxOfTiles = "fragments/softmax.cuh";
inline const char* const kDeltaSource = "mma_sm80/mma_sm80_delta.cuh";
inline const char* const kForwardSource = "mma_sm80/mma_sm80_forward.cuh";
inline const char* const kSoftcapSource = "fragments/softcap.cuh";
inline const char* const kChangeSource = "fragments/score_change.cuh";
inline const char* const kSinkSource = "fragments/sinks.cuh";
inline const char* const kLoadedFloat = R"((ld\.global\S*\s+%f\d+, \[%rd\d+)\])";
inline const char* const kVisible = "core/visible.h";
inline const char* const kBandEnd = "const std::int32_t end = above";
inline const char* const kBandBegin = "const std::int32_t begin = below";
inline const char* const kHidingKeys = "8 * n + c >= end) s[";

inline const char* const kProblemSource = "mma_sm80/mma_sm80_problem.cuh";
inline const char* const kEntryAt = R"(mul\.wide\.s32(\s+%rd\d+, %r\d+), 32;)";
inline const char* const kNextEntryAt = "mad.wide.s32$1, 32, 32;";
inline const char* const kDifference = R"(sub\.s32\s+(%r\d+), %r\d+, %r\d+;)";

inline const PlantedBug kMmaBugs[] = {
    // ---- Copies and barriers
    {"forward_waits_for_one_copy_group_too_few",
     "race",
     {kForward, "", "", R"(wait_group 0)", "wait_group 1"}},
    {"forward_never_waits_for_copies",
     "race",
     {kForward, "", "", R"(cp\.async\.wait_group 0;)", ""}},
    {"forward_has_no_barrier_after_the_wait", "race", {kForward, "", "", R"(bar\.sync\s+0;)", ""}},
    {"forward_barrier_expects_one_warp_less",
     "deadlock",
     {kForward, "", "", R"(bar\.sync\s+0;)", "bar.sync 0, 96;"}},
    {"forward_does_not_commit_the_next_tile",
     "race",
     {kForward, "", "", R"(cp\.async\.commit_group;)", "", 1}},
    {"forward_loads_the_next_tile_over_this_one",
     "race",
     {kForward, "", "", R"((cp\.async\.cg\.shared\.global \[%r\d+)\])", "$1+8192]", 16}},
    {"forward_does_not_load_v", "uninitialised", {kForward, "", "", R"(cp\.async\.cg.*;)", "", 12}},
    {"forward_copies_to_a_wrong_place",
     "misaligned",
     {kForward, "", "", R"((cp\.async\.cg\.shared\.global \[%r\d+)\])", "$1+8]", 9}},
    {"dq_waits_for_one_copy_group_too_few",
     "race",
     {kDq, "", "", R"(wait_group 0)", "wait_group 1"}},
    {"dq_has_no_barrier_after_the_wait", "race", {kDq, "", "", R"(bar\.sync\s+0;)", ""}},
    {"dq_does_not_commit_the_first_tile",
     "race",
     {kDq, "", "", R"(cp\.async\.commit_group;)", "", 0}},
    {"dkdv_waits_for_one_copy_group_too_few",
     "race",
     {kDkdv, "", "", R"(wait_group 0)", "wait_group 1"}},
    {"dkdv_has_no_barrier_after_the_wait", "race", {kDkdv, "", "", R"(bar\.sync\s+0;)", ""}},
    {"dkdv_does_not_load_the_rows_statistics",
     "uninitialised",
     {kDkdv, "", "", R"(cp\.async\.ca.*;)", "", 0}},
    // ---- Fragments and swizzles
    {"forward_reads_k_transposed",
     "wrong result",
     {kForward, "", "", R"(x4\.shared)", "x4.trans.shared", 2}},
    {"forward_reads_v_not_transposed",
     "wrong result",
     {kForward, "", "", R"(x4\.trans\.shared)", "x4.shared", 0}},
    {"forward_exchanges_the_halves_of_b",
     "wrong result",
     {kForward, "", "", R"(\{(%r\d+), ?(%r\d+)\}, (\{%f))", "{$2, $1}, $3", 0}},
    {"forward_exchanges_rows_of_a",
     "wrong result",
     {kForward, "", "", R"((mma.*\}, \{)(%r\d+), ?(%r\d+), ?(%r\d+), ?(%r\d+)\})",
      "$1$3, $2, $4, $5}", 0}},
    {"forward_rounds_p_in_wrong_order",
     "wrong result",
     {kForward, "", "", R"((cvt\.rn\.bf16x2\.f32 %r\d+), (%f\d+), (%f\d+);)", "$1, $3, $2;", 0}},
    {"forward_reads_k_without_swizzle",
     "wrong result",
     {kForward, kTileSource, "b_lane = chunk_at<kD>(b, l % 8", R"(and\.b32(\s+%r\d+), (%r\d+), 1;)",
      "mov.u32$1, 0;", 0}},
    {"forward_writes_k_without_swizzle",
     "wrong result",
     {kForward, "fragments/swizzle.h", "return row * static_cast",
      R"(and\.b32(\s+%r\d+), (%r\d+), 112;)", "and.b32$1, $2, 48;", 1}},
    {"dq_reads_the_row_after_the_right_one",
     "wrong result",
     {kDq, "", "", R"((ldmatrix.*\[%r\d+)\])", "$1+128]", 4}},
    {"dq_reads_an_odd_address",
     "misaligned",
     {kDq, "", "", R"((ldmatrix.*\[%r\d+)\])", "$1+2]", 4}},
    {"dkdv_reads_do_transposed_for_dp",
     "wrong result",
     {kDkdv, "", "", R"(x4\.shared)", "x4.trans.shared", 18}},
    {"dkdv_reads_q_not_transposed_for_dk",
     "wrong result",
     {kDkdv, "", "", R"(x4\.trans\.shared)", "x4.shared", 9}},
    // ---- Masks and lengths
    {"forward_mask_off_by_one",
     "wrong result",
     {kForward, kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+, %r\d+), (\d+);)",
      "setp.le.s32$1, $2;", kAll}},
    {"forward_does_not_mask",
     "wrong result",
     {kForward, kHiding, "> seen_by_all", R"(setp\.le\.s32(\s+%p\d+), %r\d+, %r\d+;)",
      "setp.eq.s32$1, 0, 0;"}},
    {"forward_causal_offset_off_by_one",
     "wrong result",
     {kForward, kVisible, kBandEnd, R"((add\.s32\s+%r\d+, %r\d+), 1;)", "$1, 0;", kAll}},
    {.name = "forward_window_begins_a_key_late",
     .noticed_as = "wrong result",
     .mutation = {kForward, kVisible, kBandBegin, kDifference, "$&\n\tadd.s32 $1, $1, 1;", kAll},
     .window_left = 70},
    {.name = "forward_window_begins_a_key_early",
     .noticed_as = "wrong result",
     .mutation = {kForward, kVisible, kBandBegin, kDifference, "$&\n\tadd.s32 $1, $1, -1;", kAll},
     .window_left = 70},
    {"forward_forgets_the_last_tile",
     "wrong result",
     {kForward, kTileRanges, "end = (keys(a", R"((add\.s32\s+%r\d+, %r\d+), 63;)", "$1, 0;"}},
    {"forward_ignores_which_keys_are_kept",
     "wrong result",
     {kForward, kTileSource, "if (from.position != nullptr)",
      R"(setp\.eq\.s64(\s+%p\d+), %rd\d+, 0;)", "setp.eq.s64$1, 0, 0;", kAll}},
    {"forward_takes_the_next_heads_k",
     "out of bounds",
     {kForward, kForwardSource, "h_kv = block.h / a.group",
      R"(div\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, $2;"}},
    {"forward_stores_rows_beyond_the_last",
     "out of bounds",
     {kForward, kTileSource, "if (first + row < to.count",
      R"(setp\.ge\.s32(\s+%p\d+), (%r\d+), %r\d+;)", "setp.ne.s32$1, $2, $2;", kAll}},
    {.name = "dq_window_begins_a_key_late",
     .noticed_as = "wrong result",
     .mutation = {kDq, kVisible, kBandBegin, kDifference, "$&\n\tadd.s32 $1, $1, 1;", kAll},
     .window_left = 70},
    {.name = "dkdv_window_ends_a_query_early",
     .noticed_as = "wrong result",
     .mutation = {kDkdv, kVisible, kBandEnd, R"((add\.s32\s+%r\d+, %r\d+), 1;)", "$1, 0;", kAll},
     .window_left = 70},
    {"dq_mask_off_by_one",
     "wrong result",
     {kDq, kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+, %r\d+), 1;)", "setp.lt.s32$1, 2;", 0}},
    {"dq_does_not_mask",
     "wrong result",
     {kDq, kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+), (%r\d+), \d+;)",
      "setp.ne.s32$1, $2, $2;", kAll}},
    {"dkdv_mask_off_by_one",
     "wrong result",
     {kDkdv, kHiding, "8 * n + c < begin", R"(setp\.gt\.s32(\s+%p\d+, %r\d+), 8;)",
      "setp.ge.s32$1, 8;", 0}},
    {"dkdv_forgets_the_other_heads_of_the_group",
     "wrong result",
     {kDkdv, kTileRanges, "head_end(h + a.group)",
      R"((mad\.lo\.s32\s+%r\d+, %r\d+, %r\d+), %r\d+;)", "$1, 1;"}},
    {"dkdv_stores_rows_beyond_the_last",
     "out of bounds",
     {kDkdv, kTileSource, "if (first + row < to.count", R"(or\.pred(\s+%p\d+), (%p\d+), %p\d+;)",
      "or.pred$1, $2, $2;", kAll}},
    {"tail_of_d_is_not_zero",
     "wrong result",
     {kForward, "", "", R"((selp\.b32\s+%r\d+, 16), 0)", "$1, 16", kAll},
     "",
     40},
    {"delta_beyond_the_last_row",
     "out of bounds",
     {kDelta, kDeltaSource, "if (row >= ", R"(setp\.(ge|le)\.s64(\s+%p\d+), (%rd\d+), %rd\d+;)",
      "setp.ne.s64$2, $3, $3;"}},
    // ---- Softmax and sums
    {"forward_does_not_rescale_o",
     "wrong result",
     {kForward, kSoftmaxOfTiles, "if (__any_sync", R"(vote\.sync\.any\.pred(\s+%p\d+), .*;)",
      "setp.ne.s32$1, 0, 0;", kAll}},
    {"forward_does_not_rescale_the_sum",
     "wrong result",
     {kForward, kSoftmaxOfTiles, "sum[t][half] *= rescale",
      R"(mul\.f32(\s+%f\d+), (%f\d+), (%f\d+);)", "mov.f32$1, $3;", kAll}},
    {"forward_takes_the_maximum_of_two_lanes_only",
     "wrong result",
     {kForward, kAccumulators, "return fmaxf(x, __shfl_xor_sync",
      R"(shfl\.sync\.bfly\.b32(\s+%r\d+)\|%p\d+, (%r\d+),.*)", "mov.b32$1, $2;", kAll}},
    {"forward_adds_two_lanes_only",
     "wrong result",
     {kForward, kAccumulators, "return x + __shfl_xor_sync",
      R"(shfl\.sync\.bfly\.b32(\s+%r\d+)\|%p\d+, (%r\d+),.*)", "mov.b32$1, 0;", kAll}},
    {"forward_shuffles_with_a_mask_of_half_a_warp",
     "invalid operand",
     {kForward, "", "", R"((shfl\.sync.*, )%r\d+;)", "$1 65535;", 0}},
    {"forward_rescales_by_the_old_shift_alone",
     "wrong result",
     {kForward, kSoftmaxOfTiles, "exp2_fast(old.shift", R"(sub\.f32(\s+%f\d+), (%f\d+), %f\d+;)",
      "mov.f32$1, $2;", kAll}},
    {"forward_writes_lse_in_units_of_log2",
     "wrong result",
     {kForward, kSoftmaxOfTiles, "a.lse[values + q] = saw_some", R"(0f3F317218)", "0f3F800000",
      kAll}},
    {"forward_does_not_divide_by_the_sum",
     "wrong result",
     {kForward, kSoftmaxOfTiles, "inverse[half] = ", R"(rcp\.rn\.f32(\s+%f\d+), %f\d+;)",
      "mov.f32$1, 0f3F800000;", kAll}},
    {"dq_does_not_subtract_delta",
     "wrong result",
     {kDq, kSoftmaxOfTiles, "exps[t][n][c] * fmaf",
      R"(fma\.rn\.f32(\s+%f\d+), (%f\d+), (%f\d+), %f\d+;)", "mul.f32$1, $2, $3;", kAll}},
    {"dq_does_not_scale",
     "wrong result",
     {kDq, kTileSource, "acc[n][2 * half] * factor[half]", R"(mul\.f32(\s+%f\d+), %f\d+, (%f\d+);)",
      "mov.f32$1, $2;", kAll}},
    {"dkdv_does_not_scale_dk",
     "wrong result",
     {kDkdv, kTileSource, "acc[n][2 * half] * factor[half]",
      R"(mul\.f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$1, $2;", kAll}},
    {"dq_divides_delta_alone_by_the_sum",
     "wrong result",
     {kDq, kSoftmaxOfTiles, "exps[t][n][c] * fmaf",
      R"(fma\.rn\.f32(\s+%f\d+), (%f\d+), %f\d+, (%f\d+);)", "fma.rn.f32$1, $2, 0f3F800000, $3;",
      kAll}},
    {"dkdv_does_not_divide_by_the_sum",
     "wrong result",
     {kDkdv, kSoftmaxOfTiles, "const float2 shift = {-fmaf(max.x",
      R"(fma\.rn\.f32(\s+%f\d+), (%f\d+), (%f\d+), %f\d+;)", "mul.f32$1, $2, $3;", kAll}},
    {"dkdv_does_not_subtract_the_maximum",
     "wrong result",
     {kDkdv, kSoftmaxOfTiles, "const float2 shift = {-fmaf(max.x",
      R"(fma\.rn\.f32(\s+%f\d+), %f\d+, %f\d+, (%f\d+);)", "mov.f32$1, $2;", kAll}},
    {"dkdv_exchanges_delta_of_two_queries",
     "wrong result",
     {kDkdv, "", "", R"(ld\.shared\.v2\.f32 \{(%f\d+), ?(%f\d+)\})", "ld.shared.v2.f32 {$2, $1}",
      21}},
    {"delta_adds_half_of_the_lanes",
     "wrong result",
     {kDelta, kWarp, "x += __shfl_xor_sync",
      R"(shfl\.sync\.bfly\.b32(\s+%r\d+)\|%p\d+, (%r\d+),.*)", "mov.b32$1, 0;", 0}},
    // ---- Passing results through shared memory
    {"forward_stages_o_without_a_warp_barrier",
     "race",
     {kForward, kTileSource, "__syncwarp();", R"(bar\.warp\.sync\s+-1;)", "", 1}},
    {"dkdv_stages_dk_over_dv_that_is_being_read",
     "race",
     {kDkdv, kTileSource, "__syncwarp();  // all lanes", R"(bar\.warp\.sync\s+-1;)", "", 1}},
    {"dkdv_stages_without_a_warp_barrier",
     "race",
     {kDkdv, kTileSource, "__syncwarp();", R"(bar\.warp\.sync\s+-1;)", "", 1}},
    // ---- Changed scores, sinks and values of another width
    {.name = "forward_aligns_alibi_at_the_top_left",
     .noticed_as = "wrong result",
     .mutation = {kForwardGeneral, kChangeSource, "static_cast<float>(q + a.mask.diagonal)",
                  R"(add\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, $2;", kAll},
     .also = {Feature::kAlibi}},
    {.name = "forward_takes_the_number_of_a_kept_key_for_its_place",
     .noticed_as = "wrong result",
     .mutation = {kForwardGeneral, kChangeSource, "if (a.kept == nullptr)", R"(@%p\d+ bra)", "bra",
                  kAll},
     .also = {Feature::kAlibi}},
    {.name = "dkdv_takes_the_slope_of_the_first_head",
     .noticed_as = "wrong result",
     .mutation = {kDkdvGeneral, kChangeSource, "const float slope = a.change",
                  R"(mad\.lo\.s32(\s+%r\d+), .*)", "mov.u32$1, 0;", kAll},
     .also = {Feature::kAlibi}},
    {.name = "dq_leaves_out_the_slope_of_a_soft_cap",
     .noticed_as = "wrong result",
     .mutation = {kDqGeneral, kSoftcapSource, "return fmaf(-t, t, 1.0f)",
                  R"(fma\.rn\.f32(\s+%f\d+), .*)", "mov.f32$1, 0f3F800000;", kAll},
     .also = {Feature::kSoftcap}},
    {.name = "dkdv_leaves_out_the_slope_of_a_soft_cap",
     .noticed_as = "wrong result",
     .mutation = {kDkdvGeneral, kSoftcapSource, "return fmaf(-t, t, 1.0f)",
                  R"(fma\.rn\.f32(\s+%f\d+), .*)", "mov.f32$1, 0f3F800000;", kAll},
     .also = {Feature::kSoftcap}},
    {.name = "forward_takes_the_sink_of_the_next_head",
     .noticed_as = "wrong result",
     .mutation = {kForwardGeneral, kSoftmaxOfTiles, "a.sinks[block.h]", kLoadedFloat, "$1+4]",
                  kAll},
     .also = {Feature::kSinks}},
    {.name = "forward_does_not_tell_the_backward_of_sinks",
     .noticed_as = "wrong result",
     .mutation = {kForwardGeneral, kSoftmaxOfTiles, "log2_sum + effect.log2_rise",
                  R"(add\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$1, $2;", kAll},
     .also = {Feature::kSinks}},
    {.name = "dsinks_are_of_the_next_head",
     .noticed_as = "wrong result",
     .mutation = {"mma_sm80_dsinks", kSinkSource, "const float sink = a.sinks[h]", kLoadedFloat,
                  "$1+4]", kAll},
     .also = {Feature::kSinks}},
    {.name = "dsinks_have_no_barrier_before_parts_are_added",
     .noticed_as = "race",
     .mutation = {"mma_sm80_dsinks", kSinkSource, "__syncthreads();", R"(bar\.sync\s+0;)", "", 0},
     .also = {Feature::kSinks}},
    {.name = "forward_reads_v_as_wide_as_k",
     .noticed_as = "wrong result",
     .mutation = {kForwardGeneral, kRowsOfHeads, "wide.d = a.d_v",
                  R"(ld\.param\.u32(\s+%r\d+), .*)", "mov.u32$1, 64;", kAll},
     .also = {Feature::kValueDim}},
    // ---- Ragged batches
    {.name = "forward_takes_the_entry_of_the_next_tile",
     .noticed_as = "wrong result",
     .mutation = {"mma_sm80_forward_ragged_bf16_d64", kProblemSource, "held = x.tiles", kEntryAt,
                  kNextEntryAt, kAll},
     .also = {Feature::kRagged}},
    {.name = "dq_takes_the_entry_of_the_next_tile",
     .noticed_as = "wrong result",
     .mutation = {"mma_sm80_dq_ragged_bf16_d64", kProblemSource, "held = x.tiles", kEntryAt,
                  kNextEntryAt, kAll},
     .also = {Feature::kRagged}},
    {.name = "dkdv_takes_the_entry_of_the_next_tile",
     .noticed_as = "wrong result",
     .mutation = {"mma_sm80_dkdv_ragged_bf16_d64", kProblemSource, "held = x.tiles", kEntryAt,
                  kNextEntryAt, kAll},
     .also = {Feature::kRagged}},
    {.name = "dq_reads_its_sequence_before_it_is_there",
     .noticed_as = "race",
     .mutation = {"mma_sm80_dq_ragged_bf16_d64", kProblemSource, "__syncthreads();",
                  R"(bar\.sync\s+0;)", "", 0},
     .also = {Feature::kRagged}},
    // ---- What nobody can notice
    {"dkdv_does_not_hide_queries_beyond_the_last",
     "nothing",
     {kDkdv, kHiding, "8 * n + c < begin", R"(setp\.lt\.s32(\s+%p\d+), (%r\d+), \d+;)",
      "setp.ne.s32$1, $2, $2;", kAll},
     "their Q, dO, LSE and D are zeros, so that they add P·0 = 0 and P·(0 - 0) = 0"},
    {"dkdv_rows_beyond_the_last_hold_the_first",
     "nothing",
     {kDkdv, "", "", R"((selp\.b32\s+%r\d+, 16), 0)", "$1, 16", kAll},
     "queries beyond the last and keys that are not kept are hidden by their numbers as well"},
};

}  // namespace flashbench::cuda
