#pragma once

#include <utility>

#include "tests/cuda/wgmma_sm90a/planted_wide_gradient_bugs.h"

// Bugs planted into the gradients beyond d = 256, each of which has a kernel whose two consumers
// have the same rows and half of the columns.
namespace flashbench::cuda {

inline const char* const kSplitDq = "wgmma_sm90a_dq_bf16_d384";
inline const char* const kSplitDk = "wgmma_sm90a_dk_bf16_d384";
inline const char* const kSplitDv = "wgmma_sm90a_dv_bf16_d384";
inline const char* const kSplitGradients = "wgmma_sm90a/wgmma_sm90a_backward_split.cuh";
inline const char* const kSplitTile = "wgmma_sm90a/wgmma_sm90a_split_tile.cuh";
inline const char* const kMeeting = R"(bar\.sync\s+%r\d+, 256;)";

/// Two heads that share keys, three tiles of queries each, two blocks of keys of two tiles and
/// more; 72 columns of the second consumer's half.
inline PlantedBug in_gradient(const char* name, const char* noticed_as, Mutation m) {
  return {name, noticed_as, std::move(m), "", 264, 100, 140};
}
/// The same of 392 columns, of which half of the boxes that pass by have a place at a time.
inline PlantedBug in_wider_gradient(const char* name, const char* noticed_as, Mutation m) {
  return {name, noticed_as, std::move(m), "", 392, 70, 100};
}

/// An instruction of a kernel that stems from a line of the consumers.
inline Mutation at_split(const char* entry, const char* source, const char* instruction,
                         const char* replacement, int occurrence = kAll) {
  return {entry, kSplitGradients, source, instruction, replacement, occurrence};
}
/// One that stems from no line of theirs, or from whatever line.
inline Mutation anywhere(const char* entry, const char* instruction, const char* replacement,
                         int occurrence = kAll) {
  return {entry, "", "", instruction, replacement, occurrence};
}
/// Neither consumer waits for the other there.
inline Mutation no_split_meeting(const char* entry, const char* source) {
  return at_split(entry, source, kMeeting, "");
}
inline Mutation no_split_wait(const char* entry, const char* source) {
  return at_split(entry, source, kWaitForMbarrier, kDoneAtOnce);
}

/// Where the two consumers meet, and what stands for the rest.
inline const PlantedBug kSplitGradientBugs[] = {
    // ---- Where the two consumers meet
    in_gradient("split_dq_reads_p_before_it_is_there", "race",
                no_split_meeting(kSplitDq, "sync_consumers(kWeightsThere)")),
    in_gradient("split_dk_reads_p_before_it_is_there", "race",
                no_split_meeting(kSplitDk, "sync_consumers(kWeightsThere)")),
    in_gradient("split_dv_reads_p_before_it_is_there", "race",
                no_split_meeting(kSplitDv, "sync_consumers(kWeightsThere)")),
    in_gradient("split_dq_reads_ds_before_it_is_there", "race",
                no_split_meeting(kSplitDq, "sync_consumers(kGradientsThere)")),
    in_gradient("split_dk_reads_ds_before_it_is_there", "race",
                no_split_meeting(kSplitDk, "sync_consumers(kGradientsThere)")),
    in_gradient("split_dq_meets_with_one_consumer_alone", "race",
                at_split(kSplitDq, "sync_consumers(kWeightsThere)", R"((bar\.sync\s+%r\d+), 256;)",
                         "$1, 128;")),
    in_gradient("split_dk_does_not_come_to_a_meeting", "deadlock",
                at_split(kSplitDk, "sync_consumers(kGradientsThere)", kMeeting, "", 0)),
    in_gradient("split_dq_hands_over_ds_without_a_proxy_fence", "missing proxy fence",
                anywhere(kSplitDq, R"(fence\.proxy\.async\.shared::cta;)", "")),
    in_gradient("split_dv_hands_over_p_without_a_proxy_fence", "missing proxy fence",
                anywhere(kSplitDv, R"(fence\.proxy\.async\.shared::cta;)", "", 1)),
    // ---- One of each other kind
    in_gradient("split_dq_adds_one_half_of_the_scores", "wrong result",
                at_split(kSplitDq, "half[0][0][n][c] += half[1]",
                         R"(add\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$1, $2;")),
    in_gradient("split_dv_overwrites_p_that_products_read", "race",
                {kSplitDv, kSplitTile, "kPlan.factor + stage * kEach",
                 R"(shl\.b32(\s+%r\d+), %r\d+, 13;)", "mov.u32$1, 0;", kAll}),
    in_gradient("split_dk_frees_no_box", "deadlock",
                {kSplitDk, kWgmmaTile, "arrive(barrier);",
                 R"(mbarrier\.arrive\.shared::cta\.b64.*;)", "", 8}),
};

/// By the label "full".
inline const PlantedBug kMoreSplitGradientBugs[] = {
    // ---- What they exchange
    in_gradient("split_dq_writes_ds_as_rows_lie_without_swizzle", "wrong result",
                {kSplitDq, kGradientTile, "store_matrices(fragments::advanced",
                 R"(xor\.b32(\s+%r\d+), (%r\d+), (\d+);)", "add.s32$1, $2, $3;", kAll}),
    in_gradient("split_dk_does_not_write_all_of_ds", "uninitialised",
                anywhere(kSplitDk, R"(stmatrix.*;)", "", 2)),
    in_gradient("split_dk_makes_ds_of_another_rows_p", "wrong result",
                anywhere(kSplitDk, R"(ld\.shared\.v4\.f32 \{(%f\d+), (%f\d+), (%f\d+), (%f\d+)\})",
                         "ld.shared.v4.f32 {$3, $4, $1, $2}", 8)),
    in_gradient("split_dq_does_not_write_p_in_f32", "uninitialised",
                anywhere(kSplitDq, R"(st\.shared\.v4\.f32.*;)", "", 4)),
    in_gradient("split_dk_takes_d_of_the_next_queries", "wrong result",
                at_split(kSplitDk, "places.delta(pipe.stage())",
                         R"(add\.s32(\s+%r\d+, %r\d+), 229568;)", "add.s32$1, 229576;")),
    in_gradient("split_dk_does_not_subtract_d", "wrong result",
                at_split(kSplitDk, "places.delta(pipe.stage())",
                         R"(sub\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$1, $2;")),
    in_gradient("split_dk_knows_nothing_of_queries_beyond_32", "uninitialised",
                {kSplitDk, kWgmmaGradients, "lane + 32 * i >= kTile.columns", R"(@%p\d+ bra)",
                 "bra", kAll}),
    in_gradient("split_dv_has_no_shifts", "uninitialised",
                {kSplitDv, kWgmmaGradients, "store_shared(shared.shift(", R"(st\.shared\.f32.*;)",
                 "", kAll}),
    // ---- Halves of d
    in_gradient("split_dq_adds_one_half_of_the_scores_twice", "wrong result",
                at_split(kSplitDq, "half[0][0][n][c] += half[1]",
                         R"(add\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "add.f32$1, $2, $2;")),
    in_gradient("split_dv_adds_one_half_of_the_scores", "wrong result",
                at_split(kSplitDv, "half[0][0][n][c] += half[1]",
                         R"(add\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$1, $2;")),
    in_gradient("split_dk_of_the_wrong_half_of_q", "wrong result",
                {kSplitDk, kGradientTile, "operand(streamed + inner_step",
                 R"(add\.s32(\s+%r\d+, %r\d+), 116736;)", "add.s32$1, 98304;", kAll}),
    in_gradient("split_dv_of_the_wrong_half_of_do", "wrong result",
                {kSplitDv, kGradientTile, "operand(streamed + inner_step",
                 R"(add\.s32(\s+%r\d+, %r\d+), 73728;)", "add.s32$1, 49152;", kAll}),
    in_gradient("split_dq_stores_columns_beyond_d", "wrong result",
                {kSplitDq, kGradientTile, "to.d -= first", R"(add\.s32(\s+%r\d+, %r\d+), -192;)",
                 "add.s32$1, 0;", kAll}),
    in_gradient("split_dv_stores_where_the_other_consumer_stores", "race",
                at_split(kSplitDv, "places.resident_s() + kGroup",
                         R"(add\.s32(\s+%r\d+, %r\d+), 24576;)", "add.s32$1, 0;")),
    in_gradient("split_dq_holds_columns_in_another_order", "wrong result",
                anywhere(kSplitDq, R"((ldmatrix.*)\{(%r\d+), (%r\d+), (%r\d+), (%r\d+)\})",
                         "$1{$2, $4, $3, $5}", 13)),
    // ---- What is kept, and what passes by
    in_gradient("split_dq_does_not_wait_for_tiles", "race",
                no_split_wait(kSplitDq, "wait(places.full(pipe.stage())")),
    in_gradient("split_dv_does_not_wait_for_tiles", "race",
                no_split_wait(kSplitDv, "wait(places.full(pipe.stage())")),
    in_gradient("split_dq_does_not_wait_for_its_own_rows", "race",
                no_split_wait(kSplitDq, "wait(places.resident_full(), 0)")),
    in_gradient("split_dq_does_not_wait_for_boxes", "race",
                no_split_wait(kSplitDq, "wait(places.passing_full(place)")),
    in_gradient("split_dv_does_not_wait_for_boxes", "race",
                no_split_wait(kSplitDv, "wait(places.passing_full(place)")),
    in_gradient(
        "split_dk_overwrites_boxes_in_use", "barrier",
        {kSplitDk, kSplitTile, "wait(passing_empty(place)", kWaitForMbarrier, kDoneAtOnce, kAll}),
    in_gradient("split_dv_overwrites_stages_in_use", "barrier",
                no_wait_in(kSplitDv, "wait(shared.empty(pipe.stage())")),
    in_gradient("split_dq_overwrites_stages_that_one_consumer_multiplies", "race",
                {kSplitDq, kSplitTile, "init_barrier(empty(s)", R"((mbarrier\.init.*), %r\d+;)",
                 "$1, 4;", kAll}),
    in_gradient("split_dq_frees_no_stage", "deadlock",
                {kSplitDq, kWgmmaTile, "arrive(barrier);",
                 R"(mbarrier\.arrive\.shared::cta\.b64.*;)", "", 6}),
    in_wider_gradient("split_dk_expects_the_first_boxes_again", "barrier",
                      {"wgmma_sm90a_dk_bf16_d512", kSplitTile, "wait(passing_empty(place)",
                       R"(shr\.u32(\s+%r\d+), %r\d+, 2;)", "mov.u32$1, 0;", kAll}),
    in_wider_gradient("split_dq_does_not_wait_for_half_of_the_boxes", "race",
                      {"wgmma_sm90a_dq_bf16_d512", kSplitGradients,
                       "wait(places.passing_full(place)", kWaitForMbarrier, kDoneAtOnce, 4}),
    in_gradient("split_dk_takes_boxes_of_one_head_alone", "wrong result",
                {kSplitDk, kSplitTile, "load_box(passing(place)",
                 R"(\{(%r\d+), (%r\d+), (%r\d+), (%r\d+)\})", "{$1, $2, $4, $4}", kAll}),
    // ---- Products
    in_gradient("split_dq_makes_p_of_scores_under_way", "wgmma",
                at_split(kSplitDq, "wait_for_products<0>()", R"(wait_group\.sync\.aligned 0;)",
                         "wait_group.sync.aligned 1;")),
    in_gradient("split_dk_frees_boxes_under_way", "race",
                at_split(kSplitDk, "wait_for_products<1>()", R"(wait_group\.sync\.aligned 1;)",
                         "wait_group.sync.aligned 7;")),
    in_gradient("split_dv_multiplies_without_a_fence", "wgmma",
                anywhere(kSplitDv, R"(wgmma\.fence\.sync\.aligned;)", "")),
    in_gradient("split_dk_multiplies_kept_rows_transposed", "wrong result",
                anywhere(kSplitDk, R"(add, 1, 1, 0, 1;)", "add, 1, 1, 0, 0;", 0)),
    // ---- Masks, heads, factors
    in_gradient("split_dq_mask_off_by_one", "wrong result",
                {kSplitDq, kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+, %r\d+), 1;)",
                 "setp.lt.s32$1, 2;", kAll}),
    in_gradient("split_dk_mask_off_by_one", "wrong result",
                {kSplitDk, kHiding, "8 * n + c < begin", R"(setp\.gt\.s32(\s+%p\d+, %r\d+), 8;)",
                 "setp.ge.s32$1, 8;", kAll}),
    in_gradient("split_dv_mask_off_by_one", "wrong result",
                {kSplitDv, kHiding, "8 * n + c < begin", R"(setp\.gt\.s32(\s+%p\d+, %r\d+), 8;)",
                 "setp.ge.s32$1, 8;", kAll}),
    in_gradient("split_dk_forgets_a_head_of_the_group", "wrong result",
                {kSplitDk, kTileRanges, "head_end(h + a.group)",
                 R"((add\.s32\s+%r\d+, %r\d+), %r\d+;)", "$1, 1;", kAll}),
    in_gradient("split_dq_does_not_scale", "wrong result",
                {kSplitDq, kTileSource, "acc[n][2 * half] * factor[half]",
                 R"(mul\.f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$1, $2;", kAll}),
};

}  // namespace flashbench::cuda
