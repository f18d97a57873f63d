#pragma once

#include <utility>

#include "tests/cuda/planted_bugs.h"

// Bugs planted into the kernel of decode_sm80.
namespace flashbench::cuda {

inline const char* const kDecode = "decode_sm80_forward_bf16_d64";
inline const char* const kDecodeSource = "decode_sm80/decode_sm80_forward.cuh";
inline const char* const kDecodeShares = "decode_sm80/decode_sm80_shares.cuh";
inline const char* const kDecodeRows = "decode_sm80/decode_sm80_rows.cuh";
inline const char* const kDecodeMerge = "decode_sm80/decode_sm80_merge.cuh";

/// Three K/V heads of different length, two query heads of three queries each, four CTAs of two
/// warps: shares that begin and end within heads, more steps than a ring has stages, and logits
/// whose maxima differ from warp to warp.
inline PlantedBug in_decode(const char* name, const char* noticed_as, Mutation m,
                            const char* why_not = "", int launches = 1) {
  PlantedBug bug = {name, noticed_as, std::move(m), why_not, 64, 3, 1503, 0.5};
  bug.b = 3;
  bug.shared_bytes = 60 * 1024;
  bug.launches = launches;
  return bug;
}

/// What stands in a line of the source, changed wherever it became an instruction.
inline Mutation at(const char* file, const char* source, const char* instruction,
                   const char* replacement, int occurrence = kAll) {
  return {kDecode, file, source, instruction, replacement, occurrence};
}

inline PlantedBug with_window(PlantedBug bug) {
  bug.window_left = 70;
  return bug;
}

inline const PlantedBug kDecodeBugs[] = {
    // ---- A warp's ring
    in_decode("step_is_multiplied_before_it_arrived", "race",
              at("", "", R"(wait_group 2)", "wait_group 3")),
    in_decode("steps_are_not_committed", "race", at("", "", R"(cp\.async\.commit_group;)", "")),
    in_decode("first_steps_are_one_group", "race",
              at("", "", R"(cp\.async\.commit_group;)", "", 0)),
    in_decode("other_lanes_copies_are_not_waited_for", "race",
              at("", "", R"(bar\.warp\.sync\s+-1;)", "", 0)),
    in_decode("stage_is_refilled_while_lanes_read_it", "race",
              at("", "", R"(bar\.warp\.sync\s+-1;)", "", 1)),
    in_decode("next_step_goes_to_the_stage_in_use", "race",
              at(kDecodeSource, "return at(stage == 0", R"((add\.s32\s+%r\d+, %r\d+), -8192;)",
                 "$1, 0;")),
    in_decode("ring_has_a_stage_too_many", "race",
              at(kDecodeSource, "stage = stage + 1 == kStages", R"(setp\.eq\.s32(.*), 2;)",
                 "setp.eq.s32$1, 3;")),
    // ---- The line and its shares
    in_decode("shares_do_not_know_which_are_longer", "wrong result",
              at(kDecodeShares, "cta * each + min(cta, longer)", R"(min\.s32(\s+%r\d+), .*;)",
                 "mov.u32$1, 0;")),
    in_decode("share_begins_a_step_late", "wrong result",
              at(kDecodeSource, "int position = block.position + warp()",
                 R"((add\.s32\s+%r\d+, %r\d+), %r\d+;)", "$1, 1;")),
    in_decode("head_loses_its_first_step", "wrong result",
              at(kDecodeShares, "steps -= left", R"(sub\.s32(\s+%r\d+, %r\d+), %r\d+;)",
                 "add.s32$1, 1;")),
    in_decode("head_ends_where_the_longest_one_does", "wrong result",
              at(kDecodeSource, "const int stop = min", R"(min\.s32(\s+%r\d+), (%r\d+), (%r\d+);)",
                 "mov.u32$1, $3;")),
    in_decode("loads_go_on_behind_the_share", "out of bounds",
              at(kDecodeSource, "if (ahead.position < end)", R"(setp\.ge\.s32(\s+%p\d+), .*;)",
                 "setp.ne.s32$1, 0, 0;")),
    // ---- Rows, masks, lengths
    in_decode("queries_are_read_before_they_are_there", "race",
              at(kDecodeRows, "__syncthreads();", R"(bar\.sync\s+0;)", "")),
    in_decode("second_head_of_the_group_has_no_queries", "wrong result",
              at(kDecodeRows, "const bool present = row <",
                 R"(setp\.(lt|ge)\.s32(\s+%p\d+, %r\d+), %r\d+;)", "setp.$1.s32$2, 3;")),
    in_decode("all_rows_see_as_the_first_query_does", "wrong result",
              at(kDecodeRows, "fragment_row(half)) % a.q_len",
                 R"(rem\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, 0;")),
    in_decode("mask_off_by_one", "wrong result",
              at(kDecodeRows, "8 * n + c >= end) s", R"(setp\.lt\.s32(\s+%p\d+, %r\d+), (\d+);)",
                 "setp.le.s32$1, $2;")),
    in_decode("last_steps_are_not_masked", "wrong result",
              at(kDecodeRows, "> seen.end) return true",
                 R"(setp\.le\.s32(\s+%p\d+), %r\d+, %r\d+;)", "setp.eq.s32$1, 0, 0;")),
    in_decode("causal_offset_off_by_one", "wrong result",
              at(kVisible, kBandEnd, R"((add\.s32\s+%r\d+, %r\d+), 1;)", "$1, 0;")),
    with_window(in_decode("window_begins_a_key_late", "wrong result",
                          at(kVisible, kBandBegin, kDifference, "$&\n\tadd.s32 $1, $1, 1;"))),
    in_decode("which_keys_are_kept_is_ignored", "wrong result",
              at("contract/arguments.h", "return a.kept == nullptr",
                 R"(ld\.global\.u32(\s+)(%r\d+), .*;)", "mov.u32$1$2, $2;")),
    in_decode("keys_behind_the_last_are_read", "nothing",
              at(kDecodeSource, "first + r * kRowStep < place.end",
                 R"(setp\.(lt|ge)\.s32(\s+%p\d+), (%r\d+), %r\d+;)", "setp.eq.s32$2, $3, $3;"),
              "the last key is read in their place, and they are masked by their numbers as well"),
    // ---- Softmax
    in_decode("o_is_not_rescaled", "wrong result",
              at(kSoftmaxOfTiles, "if (__any_sync", R"(vote\.sync\.any\.pred(\s+%p\d+), .*;)",
                 "setp.ne.s32$1, 0, 0;")),
    in_decode("maximum_is_that_of_two_lanes", "wrong result",
              at(kAccumulators, "return fmaxf(x, __shfl_xor_sync",
                 R"(shfl\.sync\.bfly\.b32(\s+%r\d+)\|%p\d+, (%r\d+),.*)", "mov.b32$1, $2;")),
    in_decode("sum_is_that_of_two_lanes", "wrong result",
              at(kAccumulators, "return x + __shfl_xor_sync",
                 R"(shfl\.sync\.bfly\.b32(\s+%r\d+)\|%p\d+, (%r\d+),.*)", "mov.b32$1, 0;")),
    // ---- The warps of a CTA
    in_decode("warps_are_added_before_all_have_put_their_o", "race",
              at(kDecodeMerge, "__syncthreads();  // all warps have put", R"(bar\.sync\s+0;)", "")),
    in_decode("warps_are_added_as_if_they_had_one_maximum", "wrong result",
              at(kDecodeMerge, "const float factor = rescaling(state.max",
                 R"(sub\.f32(\s+%f\d+), .*;)", "mov.f32$1, 0f00000000;")),
    in_decode("a_warps_sum_is_forgotten", "wrong result",
              at(kDecodeMerge, "x.sum = fmaf(factor, state.sum",
                 R"(fma\.rn\.f32(\s+%f\d+), %f\d+, %f\d+, (%f\d+);)", "mov.f32$1, $2;", 1)),
    in_decode("maxima_of_warps_are_forgotten", "wrong result",
              at(kDecodeMerge, "x.max = fmaxf(x.max, exchange.states[w]",
                 R"(max\.f32(\s+%f\d+), (%f\d+), (%f\d+);)", "mov.f32$1, $2;")),
    in_decode("o_is_read_from_other_columns_than_it_was_put_to", "wrong result",
              at(kDecodeMerge, "column ^ (row % 4 * 8)", R"(xor\.b32(\s+%r\d+), (%r\d+), %r\d+;)",
                 "mov.u32$1, $2;", 0)),
    // ---- The CTAs of a head
    in_decode(
        "last_part_is_forgotten", "wrong result",
        at(kDecodeMerge, "const int count = min(32", R"((add\.s32\s+%r\d+, %r\d+), 1;)", "$1, 0;")),
    in_decode("parts_are_written_over_each_other", "wrong result",
              at(kDecodeMerge, "kPartsOfCta * cta + (cta == first)",
                 R"(selp\.u32(\s+%r\d+), 1, 0, %p\d+;)", "mov.u32$1, 0;")),
    in_decode("parts_are_added_as_if_they_had_one_maximum", "wrong result",
              at(kDecodeMerge, "const float factor = rescaling(state.x",
                 R"(sub\.f32(\s+%f\d+), .*;)", "mov.f32$1, 0f00000000;")),
    in_decode("parts_are_added_with_the_factor_of_their_neighbour", "wrong result",
              at(kDecodeMerge, "__shfl_sync(0xffffffffu, factor, from + n)",
                 R"((shfl\.sync\.idx\.b32\s+%r\d+\|%p\d+, %r\d+), %r\d+,)", "$1, 0,")),
    in_decode("everybody_is_the_last_cta", "race",
              at(kDecodeMerge, "*exchange.is_last = count_up_to",
                 R"(selp\.u32(\s+%r\d+), 1, 0, %p\d+;)", "mov.u32$1, 1;")),
    in_decode("nobody_is_the_last_cta", "wrong result",
              at(kDecodeMerge, "*exchange.is_last = count_up_to",
                 R"(selp\.u32(\s+%r\d+), 1, 0, %p\d+;)", "mov.u32$1, 0;")),
    in_decode("last_cta_does_not_wait_to_be_told", "race",
              at(kDecodeMerge, "__syncthreads();  // all are told", R"(bar\.sync\s+0;)", "")),
    in_decode("part_is_announced_before_all_threads_wrote_it", "race",
              at(kDecodeMerge, "__syncthreads();  // all threads", R"(bar\.sync\s+0;)", "")),
    in_decode(
        "all_but_the_last_cta_are_the_last", "race",
        at(kDecodeMerge, "*exchange.is_last = count_up_to", R"(setp\.eq\.s32)", "setp.ne.s32")),
    in_decode("parts_are_read_without_acquiring_them", "race",
              at("", "", R"(atom\.acq_rel)", "atom.relaxed")),
    in_decode("counter_is_not_reset", "wrong result", at("", "", R"((atom.*)\.inc\.)", "$1.add."),
              "", 2),
    in_decode(
        "lse_is_in_units_of_log2", "wrong result",
        at(kDecodeMerge, "(x.max * scale_log2 + log2_sum) * kLn2", R"(0f3F317218)", "0f3F800000")),
};

}  // namespace flashbench::cuda
