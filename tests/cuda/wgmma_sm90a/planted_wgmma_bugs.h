#pragma once

#include <utility>

#include "tests/cuda/planted_bugs.h"

// Bugs planted into the kernels of wgmma_sm90a.
namespace flashbench::cuda {

inline const char* const kWgmma = "wgmma_sm90a_forward_bf16_d64";
inline const char* const kWgmmaSource = "wgmma_sm90a/wgmma_sm90a_forward.cuh";
inline const char* const kWgmmaRows = "wgmma_sm90a/wgmma_sm90a_rows.cuh";
inline const char* const kWgmmaProducer = "wgmma_sm90a/wgmma_sm90a_producer.cuh";
inline const char* const kWgmmaSoftmax = "wgmma_sm90a/wgmma_sm90a_softmax.cuh";
inline const char* const kWgmmaPtx = "wgmma_sm90a/wgmma_sm90a_ptx.cuh";
inline const char* const kWgmmaTile = "wgmma_sm90a/wgmma_sm90a_tile.cuh";
inline const char* const kPack = "wgmma_sm90a_pack";

/// Several blocks of queries for each CTA, more tiles of keys than there are stages, and logits
/// that rise far enough for O to be rescaled.
inline PlantedBug in_wgmma(const char* name, const char* noticed_as, Mutation m,
                           const char* why_not = "") {
  return {name, noticed_as, std::move(m), why_not, 64, 900, 900, 1.0};
}

/// A wait for an mbarrier, made one that is over at once.
inline Mutation no_wait(const char* source, const char* file = kWgmmaSource) {
  return {kWgmma, file, source, R"(mbarrier\.try_wait.* done, .*;)", "setp.eq.b32 done, 0, 0;",
          kAll};
}
/// Of what consumers free, in the order of their code.
inline Mutation no_release(int which) {
  return {kWgmma, kWgmmaTile, "arrive(barrier);", R"(mbarrier\.arrive\.shared::cta\.b64.*;)",
          "",     which};
}
/// The same in a kernel of gradients.
inline const char* const kWgmmaDq = "wgmma_sm90a_dq_bf16_d64";
inline const char* const kWgmmaDkdv = "wgmma_sm90a_dkdv_bf16_d64";
inline const char* const kWgmmaGradients = "wgmma_sm90a/wgmma_sm90a_backward.cuh";
inline Mutation no_wait_in(const char* entry, const char* source) {
  return {entry,
          kWgmmaGradients,
          source,
          R"(mbarrier\.try_wait.* done, .*;)",
          "setp.eq.b32 done, 0, 0;",
          kAll};
}

/// What stands in the line of an instruction's own function.
inline Mutation without(const char* instruction, int occurrence = kAll) {
  return {kWgmma, "", "", instruction, "", occurrence};
}

inline const char* const kWaitsTogether =
    "the emulated wgmma.wait_group joins the four warps of a warpgroup, which hardware need not do";

inline const PlantedBug kWgmmaBugs[] = {
    {.name = "dkdv_window_ends_a_query_early",
     .noticed_as = "wrong result",
     .mutation = {kWgmmaDkdv, kVisible, kBandEnd, R"((add\.s32\s+%r\d+, %r\d+), 1;)", "$1, 0;",
                  kAll},
     .window_left = 70},

    // ---- Stages that are filled and emptied
    in_wgmma("scores_do_not_wait_for_keys", "race", no_wait("wait(shared.k_full(of.stage())")),
    in_wgmma("scores_do_not_wait_for_queries", "race",
             no_wait("wait(shared.q_full(group)", kWgmmaRows)),
    in_wgmma("output_does_not_wait_for_values", "race",
             no_wait("wait(rows.shared.v_full(of.stage())")),
    in_wgmma("keys_overwrite_what_is_in_use", "barrier",
             no_wait("wait(shared.k_empty(to.stage())", kWgmmaProducer)),
    in_wgmma("values_overwrite_what_is_in_use", "race",
             no_wait("wait(shared.v_empty(to.stage())", kWgmmaProducer)),
    in_wgmma("queries_overwrite_what_is_in_use", "race",
             no_wait("wait(shared.q_empty(g)", kWgmmaProducer)),
    in_wgmma("the_first_keys_of_a_block_are_not_freed", "deadlock", no_release(0)),
    in_wgmma("later_keys_are_not_freed", "deadlock", no_release(1)),
    in_wgmma("values_are_not_freed", "deadlock", no_release(2)),
    in_wgmma("queries_are_not_freed", "deadlock", no_release(3)),
    in_wgmma("the_last_values_of_a_block_are_not_freed", "deadlock", no_release(4)),
    in_wgmma("producer_begins_with_the_wrong_parity", "deadlock",
             {kWgmma, kWgmmaProducer, "wait(shared.v_empty(to.stage())",
              R"((mbarrier\.try_wait.* done, \[%r\d+\]), %r\d+;)", "$1, 0;", kAll}),
    in_wgmma(
        "a_stage_wants_fewer_bytes_than_come", "deadlock",
        {kWgmma, "", "", R"((mbarrier\.arrive\.expect_tx.*, \[%r\d+\]), %r\d+;)", "$1, 64;", kAll}),
    in_wgmma("a_stage_expects_one_warp_too_many", "deadlock",
             {kWgmma, kWgmmaProducer, "init_barrier(k_empty(s)",
              R"((mbarrier\.init.*\[%r\d+\]), %r\d+;)", "$1, 13;", kAll}),
    in_wgmma("barriers_are_not_fenced_after_init", "missing proxy fence",
             without(R"(fence\.mbarrier_init.*;)")),
    in_wgmma("nobody_waits_for_the_barriers_to_be_there", "barrier",
             without(R"(bar\.sync\s+0;)", 0)),
    // ---- Mailbox and ping-pong
    in_wgmma("the_mailbox_is_read_before_it_is_written", "race",
             no_wait("wait(shared.mailbox_full(mailbox.stage())", kWgmmaRows)),
    in_wgmma("the_ping_pong_never_arrives", "deadlock", without(R"(bar\.arrive.*;)")),
    in_wgmma("blocks_are_taken_twice", "race",
             {kWgmma, kWgmmaProducer, "atomicAdd(taken, 1)", R"(atom\.global\.add\.u32(.*), 1;)",
              "atom.global.add.u32$1, 0;", kAll}),
    // ---- Products
    in_wgmma("softmax_reads_scores_under_way", "wgmma",
             {kWgmma, kWgmmaPtx, "wgmma.wait_group", R"(wait_group\.sync\.aligned 1;)",
              "wait_group.sync.aligned 2;", kAll}),
    in_wgmma("weights_overwrite_those_in_use", "wgmma",
             {kWgmma, kWgmmaPtx, "wgmma.wait_group", R"(wait_group\.sync\.aligned 0;)",
              "wait_group.sync.aligned 1;", 1}),
    in_wgmma("products_without_a_fence", "wgmma", without(R"(wgmma\.fence\.sync\.aligned;)")),
    in_wgmma("scores_are_not_committed", "wgmma", without(R"(wgmma\.commit_group.*;)", 0)),
    in_wgmma("scores_read_keys_transposed", "wrong result",
             {kWgmma, "", "", R"(add, 1, 1, 0, 0;)", "add, 1, 1, 0, 1;", 5}),
    in_wgmma("output_reads_values_not_transposed", "wrong result",
             {kWgmma, "", "", R"(add, 1, 1, 1;)", "add, 1, 1, 0;", 9}),
    in_wgmma("scores_add_to_those_of_the_last_tile", "wrong result",
             {kWgmma, "", "", R"(setp\.ne\.b32 add, %r\d+, 0;)", "setp.eq.b32 add, 0, 0;", 4}),
    // ---- Masks, boxes and softmax
    in_wgmma("boxes_come_from_another_head", "wrong result",
             {kWgmma, kWgmmaTile, "load_box(to", R"(\{(%r\d+), (%r\d+), (%r\d+), (%r\d+)\})",
              "{$1, $2, $4, $4}", 1}),
    in_wgmma("tiles_across_the_diagonal_are_not_masked", "wrong result",
             {kWgmma, kWgmmaRows, "<= seen_by_all) return",
              R"(setp\.(gt|le)\.s32(\s+%p\d+), (%r\d+), %r\d+;)", "setp.$1.s32$2, 0, 1;", kAll}),
    in_wgmma("o_is_not_rescaled", "wrong result",
             {kWgmma, kWgmmaRows, "c] *= rescale[", R"(mul\.f32(\s+%f\d+), (%f\d+), (%f\d+);)",
              "mov.f32$1, $3;", kAll}),
    in_wgmma("forward_rescales_by_the_old_shift_alone", "wrong result",
             {kWgmma, kSoftmaxOfTiles, "exp2_fast(old.shift",
              R"(sub\.f32(\s+%f\d+), (%f\d+), %f\d+;)", "mov.f32$1, $2;", kAll}),
    in_wgmma("the_last_rows_go_beyond_o", "out of bounds",
             {kWgmma, kTileSource, "if (first + row < to.count",
              R"(setp\.(ge|lt)\.s32(\s+%p\d+), %r\d+, %r\d+;)", "setp.$1.s32$2, 0, 1;", kAll}),
    // ---- Gradients
    in_wgmma("dq_does_not_wait_for_its_own_rows", "race",
             no_wait_in(kWgmmaDq, "wait(shared.resident_full(), 0)")),
    in_wgmma("dq_does_not_wait_for_later_tiles", "race",
             no_wait_in(kWgmmaDq, "wait(shared.full(pipe.stage())")),
    in_wgmma("dq_overwrites_stages_in_use", "barrier",
             no_wait_in(kWgmmaDq, "wait(shared.empty(pipe.stage())")),
    in_wgmma("dq_makes_room_before_all_are_done", "nothing",
             {kWgmmaDq, "", "", R"(bar\.sync\s+%r\d+, 128;)", "", kAll}, kWaitsTogether),
    in_wgmma(
        "dq_reads_dp_under_way", "wgmma",
        {kWgmmaDq, "", "", R"(wait_group\.sync\.aligned 0;)", "wait_group.sync.aligned 1;", 0}),
    in_wgmma("dkdv_does_not_wait_for_tiles", "race",
             no_wait_in(kWgmmaDkdv, "wait(shared().full(pipe.stage())")),
    in_wgmma("dkdv_overwrites_stages_in_use", "barrier",
             no_wait_in(kWgmmaDkdv, "wait(shared.empty(pipe.stage())")),
    in_wgmma("dkdv_frees_no_stage", "deadlock",
             {kWgmmaDkdv, "", "", R"(mbarrier\.arrive\.shared::cta\.b64.*;)", "", kAll}),
    in_wgmma("dkdv_has_no_shifts", "uninitialised",
             {kWgmmaDkdv, kWgmmaGradients, "store_shared(shared.shift(", R"(st\.shared\.f32.*;)",
              "", kAll}),
    in_wgmma("dkdv_is_not_told_whether_maxima_are_large", "uninitialised",
             {kWgmmaDkdv, kWgmmaGradients, "store_shared(shared.apart(", R"(st\.shared\.f32.*;)",
              "", kAll}),
    in_wgmma("dkdv_does_not_divide_by_the_sum", "wrong result",
             {kWgmmaDkdv, kWgmmaGradients, "shift[i] = -fmaf(",
              R"(fma\.rn\.f32(\s+%f\d+), (%f\d+), (%f\d+), %f\d+;)", "mul.f32$1, $2, $3;", kAll}),
    in_wgmma("dkdv_reads_scores_under_way", "wgmma",
             {kWgmmaDkdv, "", "", R"(wait_group\.sync\.aligned 1;)", "wait_group.sync.aligned 2;",
              kAll}),
    in_wgmma("dkdv_makes_room_before_all_are_done", "nothing",
             {kWgmmaDkdv, "", "", R"(bar\.sync\s+%r\d+, 128;)", "", kAll}, kWaitsTogether),
    // ---- Packing
    in_wgmma(
        "pack_copies_keys_that_are_not_kept", "out of bounds",
        {kPack, "", "", R"(setp\.le\.s32(\s+%p\d+), %r\d+, %r\d+;)", "setp.le.s32$1, 1, 0;", kAll}),
};

}  // namespace flashbench::cuda
