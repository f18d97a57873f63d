#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "oracle/compare.h"
#include "oracle/definition.h"
#include "oracle/reference.h"

namespace flashbench::oracle {

/// What level sample knows of one K/V head: the parts with rows of its group's query heads.
struct SampledGroup {
  std::int64_t b, h_kv;
  std::vector<const RowPart*> rows;
};

/// The statistics of all query rows of a group [group, q_len] in O(q_len·d), from the kernel's own
/// (verified) O and LSE. Noise that would need all pairs is that of the nearest sampled rows.
std::vector<RowStats> estimate_stats(const Definition& def, const Outputs& out,
                                     const SampledGroup& group);

/// Σⱼ dV = Σ dO over non-empty rows, for each column of a K/V head: rows of P sum to 1, or to what
/// a sink leaves of it.
void check_value_sums(const Definition& def, const Tensor& dv, const SampledGroup& group,
                      std::span<const RowStats> stats, const ColumnPart& keys, TensorCheck& check);

/// O is a mean of V: each element lies between the smallest and the largest kept V of its column.
/// Says nothing about a row that is wrong in another way, but it looks at every element, in O(N·d).
void check_value_range(const Definition& def, const Tensor& o, std::int64_t b, std::int64_t h_kv,
                       TensorCheck& check);

/// Both for some random vectors a and b, in O(N·d): every element of the four tensors has its part
/// in them, and where one of them is off by much more than its noise, so is the sum.
///   Σ_i (q_i·a)(dq_i·b) = Σ_j (dk_j·a)(k_j·b) = scale·Σ_ij dS_ij (q_i·a)(k_j·b)
///   Σ_i (o_i·a)(do_i·b) = Σ_j (v_j·a)(dv_j·b) = Σ_ij P_ij (v_j·a)(do_i·b)
void check_score_products(const Definition& def, const Outputs& out, const SampledGroup& group,
                          const ColumnPart& keys, TensorCheck& check);
void check_value_products(const Definition& def, const Outputs& out, const SampledGroup& group,
                          const ColumnPart& keys, TensorCheck& check);

}  // namespace flashbench::oracle
