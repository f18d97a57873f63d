#pragma once

#include <string_view>

/// The cases of check's suite.
namespace flashbench::app::suite_rows {

/// Rows are named after the failure that they guard against; settings are written as flags are.
struct Row {
  std::string_view name;
  std::string_view settings;
  std::string_view emulated = {};  ///< what takes the place of some where seconds are minutes
};

// Three tiles of queries and four of keys at the least, the last of either not full.
inline constexpr std::string_view kFewerTiles = "h=2 q_len=290 kv_len=500";

// Every shape is swept over masks and dtypes; each case runs forward and backward with a random dO;
// what decodes without gradients is a kernel of its own.
inline constexpr std::string_view kEveryMask =
    "causal=false,true mask=none,random pass=both do=random ";
inline constexpr std::string_view kFastTypes = "type=flash,normal dtype=f32,bf16,f16 ";
inline constexpr std::string_view kPaperType = "type=paper dtype=f32 q_block=16 kv_block=24 ";

inline constexpr Row kShapes[] = {
    {"one_of_everything", "h=1 q_len=1 kv_len=1 d=1"},
    {"one_query_decode", "h=4 h_kv=2 q_len=1 kv_len=257 d=64 pass=forward,both"},
    {"one_key", "h=2 q_len=33 kv_len=1 d=8"},
    {"full_tiles", "h=2 q_len=128 kv_len=192 d=64"},
    {"ragged_both_tiles", "h=2 q_len=65 kv_len=130 d=64"},
    {"one_short_of_a_tile", "h=1 q_len=63 kv_len=95 d=31"},
    {"rows_that_see_nothing", "h=2 q_len=100 kv_len=37 d=32"},  // causal, more queries than keys
    {"more_keys_than_queries", "h=2 q_len=37 kv_len=300 d=32"},
    {"grouped_heads", "h=8 h_kv=2 q_len=50 kv_len=70 d=40"},
    {"one_kv_head", "h=6 h_kv=1 q_len=45 kv_len=33 d=24"},
    {"batch_strides", "b=3 h=2 q_len=40 kv_len=56 d=48"},
    {"head_dim_tails", "h=1 q_len=34 kv_len=41 d=2,3,7,15,17,33,100,129"},
    {"wide_head_dim", "h=1 q_len=30 kv_len=52 d=256,300,512,1024"},
    {"many_key_blocks", "h=1 q_len=70 kv_len=1100 d=64"},
    {"many_query_blocks", "h=1 q_len=700 kv_len=90 d=64"},
};

// What a sweep over shapes does not reach.
inline constexpr Row kEdges[] = {
    {"scores_that_overflow_without_the_max",
     "q_len=70 kv_len=150 d=64 scale=3,12 causal=false,true"},
    {"negative_scale", "q_len=60 kv_len=80 d=32 scale=-0.5 causal=false,true"},
    {"scale_zero_is_a_mean", "q_len=60 kv_len=80 d=32 scale=0 causal=false,true"},
    {"scale_is_not_the_default", "q_len=60 kv_len=80 d=32 scale=0.01,1"},
    {"scores_beyond_the_precision_of_lse",
     "h=1 q_len=1,48 kv_len=150 d=64,256 scale=1e4,1e8,-1e30 causal=false,true "
     "pass=forward,both"},
    {"nothing_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=0 causal=false,true"},
    {"everything_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=1 causal=false,true"},
    {"few_kept", "b=2 q_len=70 kv_len=500 d=32 mask=random mask_keep=0.01 causal=false,true"},
    {"loss_is_sum_of_o", "q_len=90 kv_len=90 d=64 do=ones causal=false,true"},
    {"other_seeds", "q_len=48 kv_len=72 d=64 seed=1,18446744073709551615"},
    {"values_of_real_tensors",
     "h_kv=1 q_len=70 kv_len=150 d=64,129 causal=false,true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"values_that_are_alike_decode",
     "h=4 h_kv=2 q_len=1 kv_len=300 d=64 pass=forward,both "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"passes_apart", "h_kv=1 q_len=90 kv_len=110 d=64 pass=forward,backward causal=false,true"},
    {"deterministic", "q_len=200 kv_len=130 d=64 deterministic=true causal=false,true"},
    {"one_thread", "q_len=90 kv_len=110 d=64 threads=1 causal=false,true"},
    {"more_threads_than_work", "h=1 q_len=5 kv_len=9 d=16 threads=7 causal=false,true"},
    {"odd_threads", "h=5 q_len=70 kv_len=200 d=64 threads=3 causal=false,true"},
};
// Bands around the diagonal, with rows that begin in later tiles and keys that nobody sees.
inline constexpr Row kWindows[] = {
    {"window_on_the_left",
     "q_len=200 kv_len=200 d=64 causal=true window_left=0,1,63,128 mask=none,random"},
    {"window_on_both_sides",
     "q_len=130 kv_len=170 d=64 window_left=none,0,17 window_right=1,40 mask=none,random"},
    {"window_of_real_tensors",
     "q_len=150 kv_len=400 d=64 causal=true window_left=50 "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"window_wider_than_all", "q_len=40 kv_len=60 d=32 window_left=500 window_right=59"},
    {"window_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 window_left=5 causal=false,true"},
    {"window_beside_keys_that_nobody_sees",
     "q_len=37 kv_len=300 d=32 window_left=20 causal=true mask=none,random"},
    {"window_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 window_left=300 causal=true",
     "h=2 q_len=290 kv_len=500 window_left=150"},
    {"window_and_decode",
     "h=4 q_len=1 kv_len=257 d=64 window_left=0,64 causal=false,true mask=none,random "
     "pass=forward,both"},
};
// Caps far above the scores, near them, and far below, where the slope of tanh is nearly 0.
inline constexpr Row kSoftcaps[] = {
    {"softcap", "q_len=90 kv_len=110 d=64,33 softcap=0.5,2,50 causal=false,true mask=none,random"},
    {"softcap_that_hides_all_differences", "q_len=60 kv_len=80 d=32 softcap=1e-6,0.01 scale=3"},
    {"softcap_that_saturates_alike",
     "q_len=300 kv_len=17 d=128 softcap=0.3 values=uniform,positive"},
    {"softcap_above_all_scores", "q_len=60 kv_len=80 d=32 softcap=1e6"},
    {"softcap_of_large_scores",
     "q_len=70 kv_len=150 d=64 softcap=30,100 scale=-3,12,1e8 causal=false,true"},
    {"softcap_scale_zero", "q_len=40 kv_len=60 d=32 softcap=20 scale=0"},
    {"softcap_of_real_tensors",
     "q_len=70 kv_len=150 d=64 softcap=5 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"softcap_and_window",
     "q_len=200 kv_len=260 d=64 softcap=2 causal=true window_left=63 mask=none,random"},
    {"softcap_and_rows_that_see_nothing", "q_len=100 kv_len=37 d=32 softcap=2 causal=true"},
    {"softcap_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 softcap=3 causal=true",
     kFewerTiles},
    {"softcap_and_decode",
     "h=4 q_len=1 kv_len=257 d=64,33 softcap=2,50 mask=none,random pass=forward,both"},
};
// Sinks have about the weight of all keys of a row; with and without rows that see nothing else.
inline constexpr Row kSinks[] = {
    {"sinks", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"sinks_of_grouped_heads_and_batches", "b=2 h=6 h_kv=2 q_len=40 kv_len=56 d=32 causal=true"},
    {"sinks_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 causal=true do=ones,random mask=none,random"},
    {"sinks_and_nothing_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=0"},
    {"sinks_of_real_tensors",
     "q_len=70 kv_len=150 d=64 causal=true do=ones,random "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"sinks_and_large_scores", "q_len=70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"sinks_and_window",
     "h=4 q_len=200 kv_len=260 d=64 causal=true window_left=63 mask=none,random"},
    {"sinks_and_softcap", "q_len=90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"sinks_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=true", kFewerTiles},
    {"sinks_and_decode",
     "h=4 q_len=1 kv_len=257 d=64,33 mask=none,random window_left=none,64 pass=forward,both"},
};
// Slopes of 2^-1 to 2^-8 and less, so that far keys weigh nothing.
inline constexpr Row kAlibis[] = {
    {"alibi", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"alibi_of_many_heads", "h=12 h_kv=4 q_len=60 kv_len=60 d=32 causal=true"},
    {"alibi_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=false,true", kFewerTiles},
    {"alibi_with_more_queries_than_keys", "q_len=300 kv_len=37 d=32 causal=false,true"},
    {"alibi_far_from_all_keys", "q_len=40 kv_len=1500 d=32 mask=random mask_keep=0.01"},
    {"alibi_of_real_tensors",
     "q_len=70 kv_len=150 d=64 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"alibi_and_large_scores", "q_len=70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"alibi_and_window",
     "h=4 q_len=200 kv_len=260 d=64 window_left=63 window_right=9 mask=none,random"},
    {"alibi_and_softcap", "q_len=90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"alibi_and_sinks", "q_len=90 kv_len=110 d=64 sinks=random causal=true mask=none,random"},
    {"alibi_softcap_sinks_and_window",
     "h=4 q_len=200 kv_len=260 d=64 softcap=5 sinks=random causal=true window_left=63"},
    {"alibi_and_decode",
     "h=4 q_len=1,3 kv_len=257,1100 d=64,33 mask=none,random pass=forward,both"},
};
// One pair in 16 is hidden, so that of few keys some rows lose all. dbias is summed over what
// shares a bias: heads, batch elements, or both.
inline constexpr Row kBiases[] = {
    {"bias", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"bias_of_every_shape",
     "b=2 h=6 h_kv=2 q_len=40 kv_len=56 d=32 bias_shape=1x1,1xh,bx1,bxh causal=false,true"},
    {"bias_without_its_gradient", "q_len=65 kv_len=130 d=64 bias_grad=false causal=false,true"},
    {"bias_summed_by_many_threads",
     "b=3 h=5 q_len=70 kv_len=90 d=32 bias_shape=1x1,bx1 threads=3,7 causal=true"},
    {"bias_summed_in_a_fixed_order",
     "b=2 q_len=200 kv_len=130 d=64 bias_shape=1x1,bxh deterministic=true"},
    {"bias_that_hides_all_that_is_left",
     "b=3 h=8 q_len=50 kv_len=1,2 d=8 bias_shape=1x1,bxh do=ones,random"},
    {"bias_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 causal=true do=ones,random mask=none,random"},
    {"bias_and_nothing_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=0"},
    {"bias_and_few_kept", "b=2 q_len=70 kv_len=500 d=32 mask=random mask_keep=0.01"},
    {"bias_of_real_tensors",
     "q_len=70 kv_len=150 d=64 causal=true do=ones,random "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"bias_and_large_scores", "q_len=70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"bias_and_window",
     "h=4 q_len=200 kv_len=260 d=64 window_left=63 window_right=9 mask=none,random"},
    {"bias_and_softcap", "q_len=90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"bias_and_alibi", "q_len=90 kv_len=110 d=64 alibi=standard causal=true mask=none,random"},
    {"bias_and_sinks", "q_len=90 kv_len=110 d=64 sinks=random causal=true mask=none,random"},
    {"bias_and_value_dim", "q_len=90 kv_len=110 d=64 d_v=40,96 causal=true mask=none,random"},
    {"bias_softcap_alibi_sinks_and_window",
     "h=4 q_len=200 kv_len=260 d=64 softcap=5 alibi=standard sinks=random causal=true "
     "window_left=63"},
    {"bias_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=false,true"},
    {"bias_and_decode", "h=4 q_len=1,3 kv_len=257,1100 d=64,33 mask=none,random pass=forward,both"},
    {"bias_sinks_alibi_and_decode",
     "h=4 q_len=1 kv_len=257 d=64 d_v=48 sinks=random alibi=standard pass=forward,both"},
};
// Narrower and wider than Q and K, with tails on either side.
inline constexpr Row kValueDims[] = {
    {"value_dim", "q_len=65 kv_len=110 d=64 d_v=1,7,33,128,320 causal=false,true mask=none,random"},
    {"value_dim_of_narrow_heads", "q_len=50 kv_len=70 d=1,15 d_v=40,600"},
    {"value_dim_of_mla", "q_len=90 kv_len=150 d=192 d_v=128 causal=true do=ones,random"},
    {"value_dim_of_absorbed_mla", "h=4 q_len=1,2 kv_len=300 d=576 d_v=512 pass=forward,both"},
    {"value_dim_and_decode",
     "h=4 q_len=1 kv_len=257 d=64,33 d_v=48,100 mask=none,random pass=forward,both"},
    {"value_dim_of_real_tensors",
     "q_len=70 kv_len=150 d=48 d_v=80 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"value_dim_and_window", "q_len=200 kv_len=260 d=64 d_v=32 causal=true window_left=63"},
    {"value_dim_and_softcap",
     "q_len=90 kv_len=110 d=64 d_v=96 softcap=2 causal=true mask=none,random"},
    {"value_dim_and_alibi", "q_len=90 kv_len=110 d=64 d_v=40 alibi=standard causal=true"},
    {"value_dim_and_sinks", "q_len=90 kv_len=110 d=64 d_v=40 sinks=random causal=true"},
    {"value_dim_alibi_and_sinks",
     "q_len=90 kv_len=110 d=64 d_v=96 alibi=standard sinks=random causal=true"},
    {"value_dim_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=96 d_v=64 causal=true", kFewerTiles},
};
// V is columns of K: wherever K lies, and as it is stored.
inline constexpr Row kValuesInKeys[] = {
    {"v_in_k", "q_len=65 kv_len=110 d=64,33 d_v=1,33 causal=false,true mask=none,random"},
    {"v_in_k_all_of_it", "q_len=1,65 kv_len=110 d=40 causal=true"},
    {"v_in_k_of_absorbed_mla", "h=16 h_kv=1 q_len=1,2 kv_len=300 d=576 d_v=512"},
    {"v_in_k_and_decode", "h=4 q_len=1,3 kv_len=257,1100 d=64,33 d_v=32,20 mask=none,random"},
    {"v_in_k_over_many_tiles", "q_len=300 kv_len=1100 d=96 d_v=64 causal=true"},
    {"v_in_k_of_real_tensors",
     "q_len=1,70 kv_len=150 d=48 d_v=40 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"v_in_k_and_window", "q_len=1,200 kv_len=260 d=64 d_v=32 causal=true window_left=63"},
    {"v_in_k_and_softcap", "q_len=1,90 kv_len=110 d=64 d_v=48 softcap=2 causal=true"},
    {"v_in_k_alibi_and_sinks",
     "q_len=1,90 kv_len=110 d=64 d_v=48 alibi=standard sinks=random causal=true"},
    {"v_in_k_and_bias", "q_len=1,90 kv_len=110 d=64 d_v=48 bias=random causal=true"},
    {"v_in_k_and_pages", "q_len=1,90 kv_len=110 d=64,33 d_v=32 page_size=7,16 causal=true"},
    {"v_in_k_of_8_bits",
     "q_len=1,90 kv_len=110 d=64,33 d_v=32 kv_dtype=e4m3,e5m2 page_size=0,16 causal=true"},
    {"v_in_k_and_sequences",
     "ragged=q33_3q1s70_q64s65_q5s300 d=64,33 d_v=32 page_size=0,16 causal=false,true"},
};
inline constexpr Row kValuesInKeysLevels[] = {
    {"every_isa_v_in_k", "q_len=1,65 kv_len=130 d=64,33 d_v=33 page_size=0,16 causal=true"},
};
inline constexpr std::string_view kValuesInKeysDefaults = "h=4 h_kv=2 pass=forward v_in_k=true ";
// Sequences of their own lengths lie one behind the other: short ones and long ones, more queries
// than keys and fewer, and such as decode beside such as do not.
inline constexpr Row kRaggedBatches[] = {
    {"sequences", "ragged=q33_3q1s70_q64s65_2q130_q5s300 d=64,33 causal=false,true"},
    {"sequences_forward",
     "ragged=q33_3q1s70_q64s65_2q130_q5s300 d=64,33 causal=false,true pass=forward,backward"},
    {"sequences_that_all_decode", "ragged=5q1s257_q3s40_2q1s1100 d=64,33 pass=forward,both"},
    {"one_sequence", "ragged=q70s90 d=32 causal=false,true pass=forward,both"},
    {"sequences_of_one_query_and_one_key", "ragged=40q1s1 d=8 pass=forward,both"},
    {"sequences_with_more_queries_than_keys",
     "ragged=q100s37_q37s100_q65s1 d=32 causal=true do=ones,random"},
    {"sequences_over_many_tiles", "ragged=q700_q20_q300s1100 d=64 causal=true",
     "ragged=q290_q20_q140s500"},
    {"sequences_of_many_heads",
     "h=12 h_kv=3 ragged=7q20_q90_9q3s60 d=32 causal=true threads=1,3,7"},
    {"sequences_in_a_fixed_order", "ragged=q200_q31s90_q150 d=64 deterministic=true causal=true"},
    {"sequences_of_real_tensors",
     "ragged=q70s150_2q1s90_q150s70 d=64 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"sequences_and_large_scores", "ragged=q70s150_q1s40_q40s60 d=64 scale=-3,0,12,1e8"},
    {"sequences_and_window",
     "ragged=q200_3q1s150_q30s130_q90s20 d=64 window_left=none,20 window_right=0,9 "
     "pass=forward,both"},
    {"sequences_and_softcap", "ragged=q90_3q1s70_q64s165 d=64 softcap=0.5,20 pass=forward,both"},
    {"sequences_and_alibi",
     "ragged=q90_3q1s70_q64s165_q70s30 d=64 alibi=standard pass=forward,both"},
    {"sequences_and_sinks",
     "ragged=q90_3q1s70_q64s165_q70s30 d=64 sinks=random causal=true do=ones,random "
     "pass=forward,both"},
    {"sequences_and_value_dim", "ragged=q90_3q1s70_q64s165 d=64 d_v=40,96 pass=forward,both"},
    {"sequences_window_softcap_alibi_sinks_and_value_dim",
     "ragged=q90_3q1s70_q64s165_q70s30 d=64 d_v=48 softcap=5 alibi=standard sinks=random "
     "window_left=40 causal=true pass=forward,both"},
};
inline constexpr Row kRaggedLevels[] = {
    {"every_isa_sequences",
     "ragged=q65_3q1s130_q20s90 d=64,33 causal=false,true pass=forward,both"},
};
inline constexpr std::string_view kRaggedDefaults = "h=4 h_kv=2 pass=both do=random ";
// K and V in 8 bits with a descale a head, other ones in K and V: there are no gradients.
inline constexpr Row kKvDtypes[] = {
    {"kv_dtype", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"kv_dtype_of_grouped_heads_and_batches",
     "b=2 h=6 h_kv=3 q_len=1,40 kv_len=56 d=32 causal=true"},
    {"kv_dtype_beside_rows_that_see_nothing", "q_len=100 kv_len=37 d=32 causal=true"},
    {"kv_dtype_of_real_tensors",
     "q_len=1,70 kv_len=150 d=64,129 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"kv_dtype_and_large_scores", "q_len=1,70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"kv_dtype_and_value_dim",
     "q_len=1,65 kv_len=110 d=64 d_v=7,33,128 causal=true mask=none,random"},
    {"kv_dtype_and_window",
     "q_len=1,7,200 kv_len=260 d=64 window_left=63 window_right=0,9 mask=none,random"},
    {"kv_dtype_and_softcap",
     "q_len=1,90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"kv_dtype_and_alibi",
     "q_len=1,90 kv_len=110 d=64 alibi=standard causal=true mask=none,random"},
    {"kv_dtype_and_sinks", "q_len=1,90 kv_len=110 d=64 sinks=random causal=true mask=none,random"},
    {"kv_dtype_and_bias",
     "q_len=1,90 kv_len=110 d=64,33 bias=random causal=false,true mask=none,random"},
    {"kv_dtype_bias_alibi_softcap_and_sinks",
     "q_len=1,90 kv_len=300 d=64 bias=random alibi=standard softcap=5 sinks=random causal=true"},
    {"kv_dtype_alibi_softcap_sinks_and_window",
     "q_len=1,200 kv_len=260 d=64 alibi=standard softcap=5 sinks=random causal=true "
     "window_left=63"},
    {"kv_dtype_value_dim_bias_alibi_softcap_and_sinks",
     "q_len=1,90 kv_len=300 d=80 d_v=48 bias=random alibi=standard softcap=5 sinks=random "
     "causal=true mask=none,random"},
    {"kv_dtype_of_mla", "q_len=1,90 kv_len=150 d=192 d_v=128 causal=true"},
    {"kv_dtype_and_decode", "h=8 h_kv=2 q_len=1,3 kv_len=257,1100 d=64,33,128 mask=none,random"},
    {"kv_dtype_and_sequences",
     "ragged=q70_3q1s90_q20s150_q30s10 d=64,33 sinks=none,random causal=false,true"},
    {"kv_dtype_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=true"},
};
// K and V in pages of a pool, among which NaN lie; pages of one row, of a tile, of more than all.
inline constexpr Row kPages[] = {
    {"pages",
     "q_len=1,90 kv_len=110 d=64,33 page_size=1,16,100 causal=false,true mask=none,random"},
    {"pages_of_grouped_heads_and_batches",
     "b=2 h=6 h_kv=3 q_len=1,40 kv_len=56 d=32 page_size=7 causal=true"},
    {"pages_beside_keys_that_nobody_sees",
     "q_len=1,37 kv_len=300 d=32 page_size=16 window_left=20 causal=true mask=none,random"},
    {"pages_and_few_kept", "q_len=1,70 kv_len=500 d=32 page_size=16 mask=random mask_keep=0.01"},
    {"pages_and_sequences",
     "ragged=q70_3q1s90_q20s150_q30s10 d=64,33 page_size=16 sinks=none,random causal=false,true"},
    {"pages_and_kv_dtype",
     "q_len=1,90 kv_len=110 d=64,33 page_size=16 kv_dtype=e4m3,e5m2 mask=none,random"},
    {"pages_and_value_dim", "q_len=1,65 kv_len=110 d=64 d_v=7,128 page_size=16 causal=true"},
    {"pages_and_bias", "q_len=1,90 kv_len=110 d=64 page_size=16 bias=random mask=none,random"},
    {"pages_softcap_alibi_and_sinks",
     "q_len=1,90 kv_len=300 d=64 page_size=16 softcap=5 alibi=standard sinks=random causal=true"},
    {"pages_and_decode", "h=8 h_kv=2 q_len=1,3 kv_len=257,1100 d=64,128 page_size=16,128"},
    {"pages_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 page_size=16 causal=true"},
};
// K and V in pieces: of one key, of a number that divides nothing, of more than there are.
inline constexpr Row kPieces[] = {
    {"pieces", "q_len=90 kv_len=110 d=64,33 kv_chunk=1,17,500 causal=false,true mask=none,random"},
    {"pieces_of_grouped_heads_and_batches",
     "b=2 h=6 q_len=40 kv_len=56 d=32 kv_chunk=16 causal=true"},
    {"pieces_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 kv_chunk=8 causal=true mask=none,random"},
    {"pieces_without_a_kept_key",
     "b=2 q_len=70 kv_len=500 d=32 kv_chunk=24 mask=random mask_keep=0.01"},
    {"pieces_and_large_scores",
     "q_len=70 kv_len=150 d=64 kv_chunk=40 scale=-3,0,12,1e8 causal=false,true"},
    {"pieces_of_real_tensors",
     "q_len=70 kv_len=150 d=64 kv_chunk=40 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"pieces_and_window", "q_len=200 kv_len=260 d=64 kv_chunk=50 causal=true window_left=63"},
    {"pieces_softcap_alibi_and_sinks",
     "q_len=90 kv_len=300 d=64 kv_chunk=70 softcap=0,5 alibi=standard sinks=random causal=true"},
    {"pieces_and_value_dim", "q_len=65 kv_len=110 d=64 d_v=7,128 kv_chunk=32 causal=true"},
    {"pieces_in_a_fixed_order", "q_len=200 kv_len=230 d=64 kv_chunk=90 deterministic=true"},
    {"pieces_and_decode", "h=4 q_len=1 kv_len=257 d=64 kv_chunk=100 pass=forward,both"},
    {"pieces_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 kv_chunk=400 causal=true"},
};
inline constexpr Row kPiecesLevels[] = {
    {"every_isa_pieces", "q_len=65 kv_len=330 d=64,33 kv_chunk=100 causal=true"},
};
inline constexpr std::string_view kPiecesTypes = "type=flash dtype=f32,bf16,f16 ";
inline constexpr Row kPagesLevels[] = {
    {"every_isa_pages", "q_len=1,65 kv_len=130 d=64,33 page_size=16 mask=none,random"},
};
inline constexpr std::string_view kPagesDefaults = "h=4 h_kv=2 pass=forward ";
inline constexpr std::string_view kKvDtypeDefaults = "h=4 h_kv=2 pass=forward kv_dtype=e4m3,e5m2 ";
inline constexpr std::string_view kVariantDefaults = "h=2 h_kv=1 pass=both do=random ";
inline constexpr std::string_view kEdgeDefaults = "h=2 pass=both do=random ";

// Every ISA level has its own tile operations: tails, masks and dtypes at each of them.
inline constexpr Row kLevels[] = {
    {"every_isa", "h=2 h_kv=1 q_len=65 kv_len=130 d=64,33,320"},
    {"every_isa_window", "h=2 h_kv=1 q_len=65 kv_len=530 d=64 window_left=40"},
    {"every_isa_softcap", "h=2 h_kv=1 q_len=65 kv_len=130 d=64 softcap=2"},
    {"every_isa_softcap_decode", "h=2 h_kv=1 q_len=1 kv_len=200 d=128 softcap=2 pass=forward,both"},
    {"every_isa_value_dim", "h=2 h_kv=1 q_len=65 kv_len=130 d=33 d_v=64,130"},
    {"every_isa_value_dim_decode", "h=2 h_kv=1 q_len=1 kv_len=130 d=64 d_v=40 pass=forward,both"},
    {"every_isa_alibi", "h=2 h_kv=1 q_len=65 kv_len=330 d=64 alibi=standard sinks=random"},
    {"every_isa_bias", "h=2 h_kv=1 q_len=65 kv_len=330 d=64 bias=random bias_grad=true"},
    {"every_isa_bias_decode",
     "h=2 h_kv=1 q_len=1 kv_len=200 d=128 bias=random bias_grad=true pass=forward,both"},
    {"every_isa_sinks", "h=2 h_kv=1 q_len=65 kv_len=130 d=64 sinks=random"},
    {"every_isa_decode", "h=2 h_kv=1 q_len=1 kv_len=200 d=128 pass=forward,both"},
};

// Without gradients: those of 8 bits.
inline constexpr Row kKvDtypeLevels[] = {
    {"every_isa_kv_dtype", "q_len=65 kv_len=130 d=64,33 causal=false,true mask=none,random"},
    {"every_isa_kv_dtype_decode", "q_len=1,3 kv_len=200 d=128,40 causal=true mask=none,random"},
};

// One size that is no toy: many blocks of both kinds, on all threads.
inline constexpr Row kSizes[] = {
    {"real_size", "h=4 h_kv=2 q_len=1k kv_len=1k d=128 causal=true pass=both do=random",
     "q_len=400 kv_len=400"},
};

inline constexpr Row kPaperBlocks[] = {
    {"paper_blocks", "q_len=50 kv_len=70 d=16 q_block=1,7,64 kv_block=1,9,128"},
};

}  // namespace flashbench::app::suite_rows
