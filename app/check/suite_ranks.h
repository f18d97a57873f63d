#pragma once

#include <string_view>

#include "app/check/suite_rows.h"

namespace flashbench::app::suite_rows {

// Over ranks: rows that do not divide by them, and ranks that are left without some.
inline constexpr Row kOverRanks[] = {
    {"ranks", "q_len=64 kv_len=64 causal=false,true"},
    {"ranks_of_odd_lengths", "q_len=37 kv_len=37 causal=false,true"},
    {"ranks_that_own_no_row", "q_len=3 kv_len=3 causal=false,true"},
    {"ranks_with_more_keys_than_queries", "q_len=19 kv_len=50 causal=true"},
    {"ranks_with_more_queries_than_keys", "q_len=50 kv_len=19 causal=true"},
    {"ranks_and_one_query", "q_len=1 kv_len=70 causal=true"},
    {"ranks_and_one_key", "q_len=40 kv_len=1"},
    {"ranks_of_grouped_heads", "b=2 h=8 h_kv=2 q_len=41 kv_len=41 causal=true"},
    {"ranks_of_one_head_of_keys", "h=6 h_kv=1 q_len=41 kv_len=41 causal=true"},
    {"ranks_and_padding",
     "b=2 q_len=60 kv_len=61 mask=random mask_keep=0.5,0.02,0 causal=false,true"},
    {"ranks_of_large_scores", "q_len=60 kv_len=60 scale=-3,0,12 causal=false,true"},
    {"ranks_and_window", "q_len=60 kv_len=70 window_left=7 window_right=0,3"},
    {"ranks_and_softcap", "q_len=60 kv_len=60 softcap=0.5 causal=true"},
    {"ranks_and_alibi", "q_len=60 kv_len=70 alibi=standard causal=false,true"},
    {"ranks_and_value_dim", "q_len=45 kv_len=45 d_v=7,40 causal=true"},
    {"ranks_of_real_tensors",
     "q_len=70 kv_len=70 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"ranks_of_many_tiles", "q_len=515 kv_len=515 d=64 causal=false,true mask=none,random"},
    {"ranks_in_one_pass_each", "q_len=45 kv_len=45 causal=true pass=forward,backward"},
};
inline constexpr std::string_view kRanksDefaults =
    "h=4 h_kv=2 d=32 dtype=f32,bf16 type=flash pass=both do=random ";

}  // namespace flashbench::app::suite_rows
