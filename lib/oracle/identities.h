#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "oracle/compare.h"
#include "oracle/definition.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// The statistics of all query rows of a K/V head's group [group, q_len] in O(q_len·d), from the
/// kernel's own (verified) O and LSE. What would need all pairs is estimated: kappa from
/// `probe_keys` (sampled keys and the longest), ΣP|V| by the larger of |O| and the mean |V|.
std::vector<RowStats> estimate_stats(const Definition& def, const Outputs& out, std::int64_t b,
                                     std::int64_t h_kv, std::span<const std::int64_t> probe_keys);

/// Σⱼ dV = Σ dO over non-empty rows, for each column of a K/V head: rows of P sum to 1.
/// Noise: rounding of the entries of dV and P is independent (root of the sum of squares); what
/// shifts a whole row of P (v, and probabilities lost to underflow) adds up.
void check_value_sums(const Definition& def, const Tensor& dv, std::int64_t b, std::int64_t h_kv,
                      std::span<const RowStats> stats, TensorCheck& check);

/// O is a mean of V: each element lies between the smallest and the largest kept V of its column.
/// Says nothing about a row that is wrong in another way, but it looks at every element, in O(N·d).
void check_value_range(const Definition& def, const Tensor& o, std::int64_t b, std::int64_t h_kv,
                       TensorCheck& check);

/// Row noise at sampled rows that see a key (keys that are kept); between them linear in the row.
using NoiseProfile = std::map<std::int64_t, double>;

/// ⟨Q,dQ⟩ = ⟨K,dK⟩ = scale·Σ dS∘S over a K/V head's group. Noise: independent rows, each off by
/// its expected noise along q (k). `dq_noise` [group], one profile for each query head.
void check_inner_products(const Definition& def, const Outputs& out, std::int64_t b,
                          std::int64_t h_kv, std::span<const NoiseProfile> dq_noise,
                          const NoiseProfile& dk_noise, TensorCheck& check);

}  // namespace flashbench::oracle
