#pragma once

#include <functional>

#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "tests/attention_case.h"

// Problems whose keys come in parts.
namespace flashbench::cpu {

inline const Kernel& flash() { return *kernels().front(); }

struct ChunkCase : AttentionCase {
  std::function<void(Problem&)> with = [](Problem&) {};
};

inline const ChunkCase kChunkCases[] = {
    {{"plain", {1, 2, 2, 60, 90, 24}}},
    {{"causal_and_more_keys_than_queries", {2, 4, 2, 40, 130, 16}, true}},
    {{"causal_and_more_queries_than_keys", {1, 2, 1, 130, 50, 32}, true}},
    {{"grouped_heads_and_a_tail_of_d", {2, 6, 2, 33, 70, 17}}},
    {{"chunks_without_a_kept_key", {2, 2, 1, 50, 120, 16}, false, 0.02}},
    {{"padding_under_the_diagonal", {2, 2, 2, 70, 70, 24}, true, 0.5}},
    {{"nothing_kept", {1, 2, 2, 20, 30, 16}, false, 0.0}},
    {{"negative_scale", {1, 2, 2, 40, 60, 16}, true, 1.0, -0.5}},
    {{"scale_zero", {1, 2, 2, 40, 60, 16}, true, 1.0, 0.0}},
    {{"scores_beyond_the_precision_of_lse", {1, 1, 1, 48, 90, 64}, true, 1.0, 1e4}},
    {{"several_tiles", {1, 2, 1, 210, 560, 64}, true}},
    {{"wide_head", {1, 1, 1, 60, 200, 160}, true}},
    {{"window", {1, 2, 2, 90, 150, 16}, true}, [](Problem& p) { p.window_left = 20; }},
    {{"window_on_both_sides", {1, 2, 2, 90, 60, 16}},
     [](Problem& p) {
       p.window_left = 9;
       p.window_right = 30;
     }},
    {{"softcap", {1, 2, 2, 50, 80, 32}, true}, [](Problem& p) { p.softcap = 2; }},
    {{"alibi", {2, 4, 2, 50, 80, 32}, false, 0.7}, [](Problem& p) { p.alibi = Alibi::kStandard; }},
    {{"alibi_far_keys_first", {1, 2, 2, 30, 600, 16}, true},
     [](Problem& p) { p.alibi = Alibi::kStandard; }},
    {{"sinks_are_counted_once", {2, 4, 2, 50, 80, 32}, true},
     [](Problem& p) { p.sinks = Sinks::kRandom; }},
    {{"sinks_of_rows_that_see_nothing", {1, 2, 2, 90, 30, 16}, true, 0.5},
     [](Problem& p) { p.sinks = Sinks::kRandom; }},
    {{"values_of_another_width", {1, 2, 2, 50, 80, 32}, true},
     [](Problem& p) { p.shape.own_d_v = 7; }},
    {{"stored_in_8_bits", {1, 4, 2, 50, 80, 32}, true},
     [](Problem& p) {
       p.own_kv_dtype = Dtype::kE4m3;
       p.pass = Pass::kForward;
     }},
    {{"values_in_keys", {1, 4, 1, 50, 80, 32}, true},
     [](Problem& p) {
       p.v_in_k = true;
       p.shape.own_d_v = 16;
       p.pass = Pass::kForward;
     }},
    {{"values_of_outliers", {1, 2, 1, 60, 120, 32}, true},
     [](Problem& p) { p.values = Values::kOutlierRows; }},
};

inline Problem problem_of(const ChunkCase& c, Dtype dtype, std::int64_t chunk = 0) {
  Problem p = c.problem(dtype);
  c.with(p);
  p.kv_chunk = chunk;
  return p;
}

inline Execution execution(Isa isa, int threads = 1) {
  Execution e;
  e.isa = isa;
  e.threads = threads;
  return e;
}
inline Execution best(Dtype dtype, int threads = 1) { return execution(best_isa(dtype), threads); }

}  // namespace flashbench::cpu
