#pragma once

#include <utility>

#include "tests/cuda/wgmma_sm90a/planted_wgmma_bugs.h"

// Bugs planted into the gradients beyond d = 128: dK and dV of two consumers with the same keys,
// one of which makes P, the other dS.
namespace flashbench::cuda {

inline const char* const kWideDkdv = "wgmma_sm90a_dkdv_bf16_d256";
inline const char* const kWideDq = "wgmma_sm90a_dq_bf16_d256";
inline const char* const kWideSource = "wgmma_sm90a/wgmma_sm90a_backward_wide.cuh";
inline const char* const kGradientTile = "wgmma_sm90a/wgmma_sm90a_backward_tile.cuh";

/// Two heads that share keys, three tiles of queries each, three blocks of keys; 72 columns of the
/// second consumer's half.
inline PlantedBug in_wide(const char* name, const char* noticed_as, Mutation m, int d = 200) {
  return {name, noticed_as, std::move(m), "", d, 130, 140};
}

/// Neither consumer waits for the other there.
inline Mutation no_meeting(const char* source) {
  return {kWideDkdv, kWideSource, source, R"(bar\.sync\s+%r\d+, 256;)", "", kAll};
}
/// An instruction that stems from a line of the consumers.
inline Mutation at_wide(const char* source, const char* instruction, const char* replacement,
                        int occurrence = kAll) {
  return {kWideDkdv, kWideSource, source, instruction, replacement, occurrence};
}
inline const char* const kWaitForMbarrier = R"(mbarrier\.try_wait.* done, .*;)";
inline const char* const kDoneAtOnce = "setp.eq.b32 done, 0, 0;";

inline const PlantedBug kWideGradientBugs[] = {
    // ---- Where the two consumers meet
    in_wide("wide_dkdv_overwrites_p_that_products_read", "race",
            no_meeting("sync_consumers(kScoresThere)")),
    in_wide("wide_dkdv_reads_p_before_it_is_there", "race",
            no_meeting("sync_consumers(kWeightsThere)")),
    in_wide("wide_dkdv_reads_ds_before_it_is_there", "race",
            no_meeting("sync_consumers(kGradientsThere)")),
    in_wide("wide_dkdv_meets_with_one_consumer_alone", "race",
            at_wide("sync_consumers(kWeightsThere)", R"((bar\.sync\s+%r\d+), 256;)", "$1, 128;")),
    in_wide("wide_dkdv_does_not_come_to_a_meeting", "deadlock",
            at_wide("sync_consumers(kGradientsThere)", R"(bar\.sync\s+%r\d+, 256;)", "", 0)),
    in_wide("wide_dkdv_hands_over_without_a_proxy_fence", "missing proxy fence",
            {kWideDkdv, "", "", R"(fence\.proxy\.async\.shared::cta;)", "", kAll}),
    in_wide("wide_dkdv_hands_over_ds_without_a_proxy_fence", "missing proxy fence",
            {kWideDkdv, "", "", R"(fence\.proxy\.async\.shared::cta;)", "", 0}),
    // ---- What they exchange
    in_wide("wide_dkdv_writes_p_as_rows_lie_without_swizzle", "wrong result",
            {kWideDkdv, kGradientTile, "store_matrices(fragments::advanced",
             R"(xor\.b32(\s+%r\d+), (%r\d+), %?r?\d+;)", "mov.u32$1, $2;", kAll}),
    in_wide("wide_dkdv_does_not_write_all_of_p", "uninitialised",
            {kWideDkdv, "", "", R"(stmatrix.*;)", "", 7}),
    in_wide("wide_dkdv_makes_ds_of_another_rows_p", "wrong result",
            {kWideDkdv, "", "", R"(ld\.shared\.v4\.f32 \{(%f\d+), (%f\d+), (%f\d+), (%f\d+)\})",
             "ld.shared.v4.f32 {$3, $4, $1, $2}", 2}),
    in_wide("wide_dkdv_puts_the_second_half_of_p_over_the_first", "wrong result",
            at_wide("store_shared(exact_weights(n), p[0][n])",
                    R"(add\.s32(\s+%r\d+, %r\d+), 212992;)", "add.s32$1, 204800;")),
    in_wide("wide_dkdv_does_not_write_p_in_f32", "uninitialised",
            at_wide("store_shared(exact_weights(n), p[0][n])", R"(st\.shared\.v4\.f32.*;)", "", 4)),
    in_wide("wide_dkdv_multiplies_ds_where_p_lies", "wrong result",
            {kWideDkdv, kGradientTile, "const std::uint64_t a = operand(exchanged, 0)",
             R"(or\.b64(\s+%rd\d+), (%rd\d+), 4611686293305294848;)",
             "or.b64$1, $2, 4611686293305294848;\nsub.s64$1, $1, 512;", 1}),
    // ---- dS
    in_wide("wide_dkdv_takes_d_of_the_next_query", "wrong result",
            at_wide("places.delta(pipe.stage())", R"(add\.s32(\s+%r\d+, %r\d+), 221440;)",
                    "add.s32$1, 221448;")),
    in_wide("wide_dkdv_takes_d_of_one_stage_alone", "race",
            at_wide("places.delta(pipe.stage())",
                    R"(mad\.lo\.s32(\s+%r\d+), %r\d+, 1040, (%r\d+);)", "mov.u32$1, $2;")),
    in_wide("wide_dkdv_does_not_subtract_d", "wrong result",
            at_wide("p[0][n][0] = weights.x", R"(sub\.f32(\s+%f\d+), (%f\d+), %f\d+;)",
                    "mov.f32$1, $2;")),
    in_wide("wide_dkdv_overwrites_p_that_lanes_read", "race",
            at_wide("__syncwarp();  // all lanes", R"(bar\.warp\.sync.*;)", "")),
    // ---- Halves of the columns
    in_wide("wide_dv_of_the_wrong_half_of_do", "wrong result",
            {kWideDkdv, kGradientTile, "operand(streamed + inner_step",
             R"(add\.s32(\s+%r\d+, %r\d+), 114688;)", "add.s32$1, 98304;", kAll}),
    in_wide("wide_dk_of_the_wrong_half_of_q", "wrong result",
            {kWideDkdv, kGradientTile, "operand(streamed + inner_step",
             R"(add\.s32(\s+%r\d+, %r\d+), 81920;)", "add.s32$1, 65536;", kAll}),
    in_wide("wide_dkdv_stores_columns_beyond_d", "wrong result",
            {kWideDkdv, kGradientTile, "to.d -= first", R"(add\.s32(\s+%r\d+, %r\d+), -128;)",
             "add.s32$1, 0;", kAll}),
    in_wide("wide_dkdv_stores_dk_where_another_warp_stores_dv", "race",
            {"wgmma_sm90a_dkdv_bf16_d192", kWideSource, "through + tile_bytes(kOwn.dv",
             R"(add\.s32(\s+%r\d+, %r\d+), 32768;)", "add.s32$1, 24576;", kAll},
            160),
    in_wide("wide_dkdv_does_not_scale_dk", "wrong result",
            {kWideDkdv, kTileSource, "acc[n][2 * half] * factor[half]",
             R"(mul\.f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$1, $2;", kAll}),
    // ---- Masks, heads
    in_wide("wide_dkdv_mask_off_by_one", "wrong result",
            {kWideDkdv, kHiding, "8 * n + c < begin", R"(setp\.gt\.s32(\s+%p\d+, %r\d+), 8;)",
             "setp.ge.s32$1, 8;", kAll}),
    in_wide("wide_dkdv_forgets_a_head_of_the_group", "wrong result",
            {kWideDkdv, kTileRanges, "head_end(h + a.group)",
             R"((mad\.lo\.s32\s+%r\d+, %r\d+, %r\d+), %r\d+;)", "$1, 1;", kAll}),
    // ---- Stages, products
    in_wide("wide_dkdv_makes_ds_of_a_tile_that_is_not_there", "race",
            at_wide("wait(places.full(pipe.stage())", kWaitForMbarrier, kDoneAtOnce, kAll)),
    in_wide("wide_dkdv_overwrites_stages_in_use", "barrier",
            {kWideDkdv, kWgmmaGradients, "wait(shared.empty(pipe.stage())", kWaitForMbarrier,
             kDoneAtOnce, kAll}),
    in_wide("wide_dkdv_frees_no_stage", "deadlock",
            {kWideDkdv, kWgmmaTile, "arrive(barrier);", R"(mbarrier\.arrive\.shared::cta\.b64.*;)",
             "", 0}),
    in_wide("wide_dkdv_does_not_wait_for_keys_and_values", "race",
            {kWideDkdv, kWgmmaGradients, "wait(shared.resident_full(), 0)", kWaitForMbarrier,
             kDoneAtOnce, kAll}),
    in_wide(
        "wide_dkdv_reads_dp_under_way", "wgmma",
        {kWideDkdv, "", "", R"(wait_group\.sync\.aligned 1;)", "wait_group.sync.aligned 2;", 0}),
    in_wide(
        "wide_dkdv_stores_sums_under_way", "wgmma",
        {kWideDkdv, "", "", R"(wait_group\.sync\.aligned 0;)", "wait_group.sync.aligned 1;", kAll}),
    // ---- dQ
    in_wide("wide_dq_does_not_wait_for_later_tiles", "race",
            no_wait_in(kWideDq, "wait(shared.full(pipe.stage())")),
    in_wide("wide_dq_overwrites_stages_in_use", "barrier",
            no_wait_in(kWideDq, "wait(shared.empty(pipe.stage())")),
    in_wide("wide_dq_mask_off_by_one", "wrong result",
            {kWideDq, kHiding, kHidingKeys, R"(setp\.lt\.s32(\s+%p\d+, %r\d+), 1;)",
             "setp.lt.s32$1, 2;", kAll}),
    in_wide("wide_dq_does_not_scale", "wrong result",
            {kWideDq, kTileSource, "acc[n][2 * half] * factor[half]",
             R"(mul\.f32(\s+%f\d+), %f\d+, (%f\d+);)", "mov.f32$1, $2;", kAll}),
};

}  // namespace flashbench::cuda
