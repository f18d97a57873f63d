#pragma once

#include <utility>

#include "tests/cuda/wgmma_sm90a/planted_wgmma_bugs.h"

// Bugs planted into the forward whose two consumers share their rows and split d.
namespace flashbench::cuda {

inline const char* const kSplit = "wgmma_sm90a_forward_bf16_d384";
inline const char* const kSplitSource = "wgmma_sm90a/wgmma_sm90a_forward_split.cuh";
inline const char* const kSyncOfTwoWarps = R"(bar\.sync\s+%r\d+, 64;)";
inline const char* const kPlaceOfPartial = R"(mad\.lo\.s32(\s+%r\d+), %r\d+, 20480, (%r\d+);)";
inline const char* const kSecondHalf = R"(add\.s32(\s+%r\d+, %r\d+), 192;)";
inline const char* const kSum = R"(add\.f32(\s+%f\d+), (%f\d+), (%f\d+);)";

/// More blocks of queries than CTAs, several tiles of keys, logits that rise far enough for O to be
/// rescaled, and a second half of d that is not full.
inline PlantedBug in_split(const char* name, const char* noticed_as, Mutation m,
                           const char* why_not = "") {
  m.entry = kSplit;
  PlantedBug bug = {name, noticed_as, std::move(m), why_not, 264, 150, 270, 1.0};
  bug.pass = Pass::kForward;
  return bug;
}

inline const PlantedBug kSplitBugs[] = {
    // ---- Partial scores
    in_split("split_reads_partial_scores_before_they_are_there", "race",
             without(kSyncOfTwoWarps, 1)),
    in_split("split_overwrites_partial_scores_that_are_being_read", "race",
             without(kSyncOfTwoWarps, 0)),
    in_split("split_lets_the_wrong_warps_meet", "race",
             {"", "", "", kSyncOfTwoWarps, "bar.sync 1, 64;", kAll}),
    in_split("split_does_not_add_the_other_half", "wrong result",
             {"", kSplitSource, "s[0][n][0] += part.x", kSum, "mov.f32$1, $2;", kAll}),
    in_split(
        "split_adds_the_other_half_twice", "wrong result",
        {"", kSplitSource, "s[0][n][0] += part.x", kSum, "fma.rn.f32$1, $3, 0f40000000, $2;", 3}),
    in_split("split_adds_its_own_half_again", "wrong result",
             {"", "", "", kPlaceOfPartial, "mov.u32$1, $2;", 1}),
    in_split("split_writes_both_partial_scores_to_one_place", "race",
             {"", "", "", kPlaceOfPartial, "mov.u32$1, $2;", 0}),
    in_split("split_does_not_write_all_partial_scores", "uninitialised",
             without(R"(st\.shared\.v4\.f32 .*;)", 3)),
    in_split("split_adds_those_of_neighbouring_keys", "wrong result",
             {"", kSplitSource, "load_shared_float4(other", R"(add\.s32(\s+%r\d+, %r\d+), 1536;)",
              "add.s32$1, 1024;", kAll}),
    in_split("split_adds_those_of_another_row", "wrong result",
             {"", "", "", R"(ld\.shared\.v4\.f32 \{(%f\d+), (%f\d+), (%f\d+), (%f\d+)\})",
              "ld.shared.v4.f32 {$3, $4, $1, $2}", 2}),
    // ---- Halves of d
    in_split("split_reads_the_first_half_of_k_twice", "wrong result",
             {"", kWgmmaTile, "load_box(to", kSecondHalf, "add.s32$1, 0;", 0}),
    in_split("split_reads_the_first_half_of_v_twice", "wrong result",
             {"", kWgmmaTile, "load_box(to", kSecondHalf, "add.s32$1, 0;", 1}),
    in_split("split_takes_the_stage_of_the_other_half_of_v", "race",
             {"", kSplitSource, "v = operand(shared.v(pipe",
              R"(add\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, $2;", 0}),
    in_split("split_goes_on_in_the_stage_of_the_other_half", "race",
             {"", kSplitSource, "pipe.count += kTile.parts()", R"(add\.s32(\s+%r\d+, %r\d+), 2;)",
              "add.s32$1, 1;", kAll}),
    in_split("split_writes_no_lse", "wrong result",
             {"", kWgmmaRows, "kTile.splits_d && group > 0", R"(@%p\d+ bra)", "bra", kAll}),
    in_split("split_writes_lse_twice", "nothing",
             {"", kWgmmaRows, "kTile.splits_d && group > 0", R"(@%p\d+ bra .*;)", "", kAll},
             "both halves have the same maxima and sums, to the bit"),
    // ---- Stages
    in_split("split_does_not_wait_for_keys", "race",
             no_wait("wait(shared.k_full(pipe.stage())", kSplitSource)),
    in_split("split_does_not_wait_for_values", "race",
             no_wait("wait(shared.v_full(pipe.stage())", kSplitSource)),
    in_split("split_does_not_wait_for_queries", "race",
             no_wait("wait(shared.q_full(group)", kWgmmaRows)),
    in_split("split_overwrites_keys_in_use", "barrier",
             no_wait("wait(shared.k_empty(to.stage())", kWgmmaProducer)),
    in_split("split_overwrites_values_in_use", "race",
             no_wait("wait(shared.v_empty(to.stage())", kWgmmaProducer)),
    in_split("split_frees_no_keys", "deadlock", no_release(0)),
    in_split("split_frees_no_queries", "deadlock", no_release(1)),
    in_split("split_frees_no_values", "deadlock", no_release(2)),
    in_split("split_frees_queries_after_every_tile", "nothing",
             {"", kSplitSource, "if (j + 1 == tiles)",
              R"(setp\.ne\.s32(\s+%p\d+), (%r\d+), %r\d+;)", "setp.ne.s32$1, $2, $2;", 0},
             "with one stage the next block's first keys have waited for this one's last scores"),
    // ---- Products, masks, rescaling
    in_split("split_exchanges_scores_under_way", "wgmma",
             {"", "", "", R"(wait_group\.sync\.aligned 0;)", "wait_group.sync.aligned 1;", 0}),
    in_split("split_frees_values_under_way", "wgmma",
             {"", "", "", R"(wait_group\.sync\.aligned 0;)", "wait_group.sync.aligned 1;", 1}),
    in_split("split_mask_off_by_one", "wrong result",
             {"", kWgmmaRows, "8 * n + c >= sees", R"(setp\.gt\.s32(\s+%p\d+, %r\d+), (\d+);)",
              "setp.ge.s32$1, $2;", kAll}),
    in_split("split_does_not_mask", "wrong result",
             {"", kWgmmaRows, "<= seen_by_all) return",
              R"(setp\.(gt|le)\.s32(\s+%p\d+), (%r\d+), %r\d+;)", "setp.$1.s32$2, 0, 1;", kAll}),
    in_split("split_does_not_rescale_o", "wrong result",
             {"", kWgmmaRows, "c] *= rescale[", R"(mul\.f32(\s+%f\d+), (%f\d+), (%f\d+);)",
              "mov.f32$1, $3;", kAll}),
};

}  // namespace flashbench::cuda
