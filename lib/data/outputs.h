#pragma once

#include <string>

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::data {

/// What outputs are called in a .safetensors file.
struct OutputNames {
  std::string o = "o", lse = "lse", dq = "dq", dk = "dk", dv = "dv", dsinks = "dsinks",
              dbias = "dbias";
};

/// Writes a .safetensors file with o, lse and, unless `pass` is the forward one, dq, dk, dv and
/// with sinks dsinks (F32, [h]): in their own dtype and in the layout of the problem's input files.
/// Those of a ragged batch are [row, h, d] in either. lse is F32, [b, h, q_len], or [b, q_len, h]
/// in Layout::kBshd. dbias, where it was asked for, is [b or 1, h or 1, q_len, kv_len] in either
/// layout. The header's metadata says which workload it was. Throws as core/atomic_file.h says.
void write_outputs(const std::string& path, const Problem& p, const Outputs& out, Pass pass);

/// Writes the inputs of a problem as a .safetensors file that --input reads back: q, k, v, do where
/// there is one, mask (u8, [b, kv_len]) where keys are masked, sinks (f32, [h]) where there are
/// some, cu_seqlens_q and cu_seqlens_k (i32, [n + 1]) of a ragged batch, alibi_slopes (f32, [b, h])
/// and bias (as the problem's, in either layout) likewise, k_scale and v_scale (f32, [b, h_kv])
/// where K and V are in 8 bits; layout and metadata as above.
void write_inputs(const std::string& path, const Problem& p, const Inputs& in);

/// Reads another library's results for a resolved problem, as write_outputs() lays them out
/// (`layout` as the problem's). Those that the file lacks stay empty; at least one must be there.
/// o, dq, dk and dv may be f32 or the problem's dtype, dbias f32 or the bias's, and stay what they
/// are; lse and dsinks are f32 (lse also accepted: a last axis of 1). Values are not looked at: a
/// NaN is a wrong result, not bad input. Throws UsageError, one line, for a broken file or a tensor
/// of another shape or dtype.
Outputs read_outputs(const std::string& path, const Problem& p, const OutputNames& names = {});

}  // namespace flashbench::data
