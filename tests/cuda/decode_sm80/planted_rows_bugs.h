#pragma once

#include "tests/cuda/decode_sm80/planted_decode_bugs.h"
#include "tests/cuda/planted_bugs.h"

// Bugs planted into what decode_sm80 has for more than 16 query rows: row tiles and blocks of them.
namespace flashbench::cuda {

/// Two batch elements of different length, two query heads of 70 queries each: a block of 32 rows
/// of both, and one of 12 rows at the end; four CTAs of four warps, whose shares begin and end
/// within blocks; logits whose maxima differ from warp to warp and from row to row.
inline PlantedBug in_rows(const char* name, const char* noticed_as, const char* file,
                          const char* source, const char* instruction, const char* replacement,
                          int occurrence = kAll) {
  PlantedBug bug = {name, noticed_as,
                    Mutation{"decode_sm80_forward_rows32_bf16_d64", file, source, instruction,
                             replacement, occurrence}};
  bug.q_len = 70;
  bug.kv_len = 330;
  bug.scale = 0.5;
  bug.b = 2;
  bug.shared_bytes = 60 * 1024;
  return bug;
}

inline const PlantedBug kDecodeRowsBugs[] = {
    // ---- Row tiles
    in_rows("columns_of_the_second_row_tile_are_not_rescaled", "wrong result", kSoftmaxOfTiles,
            "o[t][n][2 * half] *= rescale", R"(mul\.f32(\s+%f\d+), (%f\d+), (%f\d+);)",
            "mov.f32$1, $3;", 16),
    in_rows("second_row_tile_never_raises_its_maximum", "wrong result", kSoftmaxOfTiles,
            "const bool rises = max >", R"(setp\.leu\.f32(\s+%p\d+), .*;)", "setp.eq.s32$1, 0, 0;",
            2),
    in_rows("second_row_tile_is_masked_as_the_first", "wrong result", kDecodeRows,
            "const int query = (first_row", R"(((?:add\.s|or\.b)32\s+%r\d+, %r\d+), 16;)",
            "$1, 0;"),
    in_rows("row_tiles_have_the_queries_of_the_first", "wrong result", kDecodeShares,
            "block * kTile.rows()", R"(shl\.b32(\s+%r\d+), %r\d+, 4;)", "mov.u32$1, 0;"),
    in_rows("row_tile_is_put_over_the_one_that_is_read", "race", kDecodeMerge,
            "__syncthreads();  // all have read the row tile", R"(bar\.sync\s+0;)", "", 0),
    in_rows("second_row_tile_is_added_before_it_is_put", "race", kDecodeMerge,
            "__syncthreads();  // all warps have put", R"(bar\.sync\s+0;)", "", 1),
    in_rows("second_row_tile_has_the_states_of_the_first", "wrong result", kDecodeMerge,
            "states[warp()].rows[row] = {max", R"(st\.shared\.v2\.f32.*;)", "", 2),
    in_rows("second_row_tile_of_a_part_is_written_over_the_first", "wrong result", kDecodeMerge,
            "*parts.o(cta, tile_row + row", R"((add\.s32\s+%r\d+, %r\d+), 16;)", "$1, 0;"),
    in_rows("second_row_tile_is_stored_in_the_first_block", "wrong result", kDecodeMerge,
            "first_row + tile_row + row", R"(add\.s32(\s+%r\d+), %r\d+, (%r\d+);)",
            "mov.u32$1, $2;", 1),
    // ---- Blocks
    in_rows("last_block_is_as_long_as_the_others", "out of bounds", kDecodeMerge,
            ": min(kTile.rows(), rows_of_head", R"(min\.s32(\s+%r\d+), %r\d+, 32;)",
            "mov.u32$1, 32;"),
    in_rows("last_block_is_forgotten", "wrong result", kDecodeShares,
            "return (rows_of_head(a) + kTile.rows() - 1)", R"((mad\.lo\.s32.*), 31;)", "$1, 0;"),
    in_rows("blocks_end_before_their_last_queries_do", "wrong result", kDecodeShares,
            "if (last - first_of_head >= a.q_len)", R"(add\.s32\s+(%r\d+), %r\d+, %r\d+;)",
            "$&\n\tadd.s32 $1, $1, -20;"),
    with_window(in_rows("block_of_two_heads_begins_where_its_first_row_does", "wrong result",
                        kDecodeShares, "if (last - first_of_head >= a.q_len)",
                        R"(setp\.lt\.s32(\s+%p\d+), .*;)", "setp.eq.s32$1, 0, 0;")),
    in_rows("ends_of_rows_are_not_masked", "wrong result", kDecodeRows, "> seen.end) return true",
            R"(setp\.le\.s32(\s+%p\d+), .*;)", "setp.eq.s32$1, 0, 0;"),
    with_window(in_rows("beginnings_of_rows_are_not_masked", "wrong result", kDecodeRows,
                        "first_key < seen.begin", R"(setp\.le\.s32(\s+%p\d+), .*;)",
                        "setp.eq.s32$1, 0, 0;")),
    in_rows("blocks_have_the_counter_of_their_head", "wrong result", kDecodeMerge, "+ place.block;",
            R"(add\.s64(\s+%rd\d+), (%rd\d+), %rd\d+;)", "mov.u64$1, $2;", 0),
    with_window(in_rows("owners_are_counted_from_the_first_key", "wrong result", kDecodeMerge,
                        "const int begin = place.position -",
                        R"(add\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, $2;", 0)),
    // ---- Where a share begins
    in_rows("blocks_before_a_share_are_not_counted", "wrong result", kDecodeShares,
            "if (lane() >= n) until", R"(selp\.b32(\s+%r\d+), 0, %r\d+, %p\d+;)", "mov.u32$1, 0;"),
    in_rows("share_begins_with_the_steps_before_its_block", "wrong result", kDecodeShares,
            "step -= __shfl_sync", R"(sub\.s32(\s+%r\d+), (%r\d+), %r\d+;)", "mov.u32$1, $2;", 1),
    in_rows("share_never_comes_to_the_next_head", "wrong result", kDecodeShares,
            "++block == blocks_of_head", R"(setp\.ne\.s32(\s+%p\d+), .*;)", "setp.eq.s32$1, 0, 0;"),
};

}  // namespace flashbench::cuda
