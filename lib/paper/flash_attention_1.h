#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

/// FlashAttention-1 as the paper writes it (Dao et al. 2022, arXiv 2205.14135), for one head and
/// any scalar type: float to run it, double to check it, a differentiating type to differentiate
/// it. Loops read like the paper: over blocks of K and V outside, over blocks of queries inside.
namespace flashbench::paper {

/// One head. Matrices are row-major with d columns.
struct Head {
  std::int64_t q_len, kv_len, d;
  bool causal;                   ///< bottom-right aligned
  const std::uint8_t* key_mask;  ///< [kv_len], 1 = keep; null: all kept
  std::int64_t q_block, kv_block;

  bool sees(std::int64_t query, std::int64_t key) const {
    return (key_mask == nullptr || key_mask[key] != 0) &&
           (!causal || key <= query + kv_len - q_len);
  }
  std::int64_t queries_in(std::int64_t first) const { return std::min(q_block, q_len - first); }
  std::int64_t keys_in(std::int64_t first) const { return std::min(kv_block, kv_len - first); }
};

/// On-chip memory of one head: what the paper loads into SRAM or keeps there.
template <typename T>
struct OnChip {
  T* s;    ///< [q_block][kv_block]: S, then P
  T* dp;   ///< [q_block][kv_block]: dP, then dS; backward only
  T* k_t;  ///< [d][kv_block]: the block of K, transposed, so that inner loops run along keys
  T* v_t;  ///< [d][kv_block]: the block of V, transposed; backward only

  static std::int64_t count(const Head& h, bool backward) {
    return (backward ? 2 : 1) * (h.q_block * h.kv_block + h.d * h.kv_block);
  }
  static OnChip carve(T* memory, const Head& h, bool backward) {
    OnChip c{};
    c.s = memory;
    c.k_t = c.s + h.q_block * h.kv_block;
    c.dp = backward ? c.k_t + h.d * h.kv_block : nullptr;
    c.v_t = backward ? c.dp + h.q_block * h.kv_block : nullptr;
    return c;
  }
};

/// to[d][kv_block] = the rows [first, first + keys) of from, transposed. A row that the padding
/// mask hides is loaded as zeros: 0 · NaN would be NaN.
template <typename T>
void load_transposed(const Head& h, const T* from, std::int64_t first, T* to) {
  for (std::int64_t j = 0; j < h.keys_in(first); ++j) {
    const bool kept = h.key_mask == nullptr || h.key_mask[first + j] != 0;
    for (std::int64_t c = 0; c < h.d; ++c)
      to[c * h.kv_block + j] = kept ? from[(first + j) * h.d + c] : T(0);
  }
}

/// out[i][j] = Σ_c rows[first_q + i][c] · block_t[c][j].
template <typename T>
void product_with_block(const Head& h, const T* rows, std::int64_t first_q, const T* block_t,
                        std::int64_t keys, T* out) {
  for (std::int64_t i = 0; i < h.queries_in(first_q); ++i) {
    T* out_row = out + i * h.kv_block;
    std::fill_n(out_row, keys, T(0));
    for (std::int64_t c = 0; c < h.d; ++c) {
      const T x = rows[(first_q + i) * h.d + c];
      for (std::int64_t j = 0; j < keys; ++j) out_row[j] += x * block_t[c * h.kv_block + j];
    }
  }
}

/// Algorithm 1 (with the masks of Algorithm 2), lines 5-16. Writes o [q_len][d], and per query the
/// running max m and sum l of exp(S - m): LSE = m + log l. A query that sees nothing keeps o = 0
/// and l = 0; its m is meaningless.
template <typename T>
void forward(const Head& h, const T& scale, const T* q, const T* k, const T* v, T* o, T* m, T* l,
             const OnChip<T>& chip) {
  using std::exp;
  std::fill_n(o, h.q_len * h.d, T(0));
  std::fill_n(l, h.q_len, T(0));
  std::fill_n(m, h.q_len, T(0));
  for (std::int64_t j0 = 0; j0 < h.kv_len; j0 += h.kv_block) {
    const std::int64_t keys = h.keys_in(j0);
    load_transposed(h, k, j0, chip.k_t);
    for (std::int64_t i0 = 0; i0 < h.q_len; i0 += h.q_block) {
      product_with_block(h, q, i0, chip.k_t, keys, chip.s);
      for (std::int64_t i = 0; i < h.queries_in(i0); ++i) {
        const std::int64_t query = i0 + i;
        T* p = chip.s + i * h.kv_block;

        // m~ = rowmax(S), over what this query sees of the block.
        std::int64_t seen = 0;
        T block_max(0);
        for (std::int64_t j = 0; j < keys; ++j) {
          if (!h.sees(query, j0 + j)) continue;
          p[j] *= scale;
          block_max = seen == 0 ? p[j] : std::max(block_max, p[j]);
          ++seen;
        }
        if (seen == 0) continue;

        // P~ = exp(S - m~), l~ = rowsum(P~).
        T block_sum(0);
        for (std::int64_t j = 0; j < keys; ++j) {
          p[j] = h.sees(query, j0 + j) ? T(exp(p[j] - block_max)) : T(0);
          block_sum += p[j];
        }

        // m_new, l_new; the first block that a query sees has nothing to rescale.
        const bool first = l[query] == T(0);
        const T new_max = first ? block_max : T(std::max(m[query], block_max));
        const T old_share = first ? T(0) : T(exp(m[query] - new_max) * l[query]);
        const T new_share = exp(block_max - new_max);
        const T new_sum = old_share + new_share * block_sum;

        // O = diag(l_new)^-1 (diag(l) e^(m - m_new) O + e^(m~ - m_new) P~ V).
        T* out = o + query * h.d;
        for (std::int64_t c = 0; c < h.d; ++c) out[c] *= old_share / new_sum;
        for (std::int64_t j = 0; j < keys; ++j) {
          if (!h.sees(query, j0 + j)) continue;
          const T weight = new_share * p[j] / new_sum;
          const T* value = v + (j0 + j) * h.d;
          for (std::int64_t c = 0; c < h.d; ++c) out[c] += weight * value[c];
        }
        m[query] = new_max;
        l[query] = new_sum;
      }
    }
  }
}

/// Algorithm 4, lines 6-24: recomputes P = exp(S - LSE) block by block, which is diag(l)^-1 exp(S -
/// m). lse [q_len] of the forward, -inf for a query that sees nothing; delta [q_len] is scratch for
/// D = rowsum(dO∘O). Adds to dq [q_len][d] and to dk, dv [kv_len][d], which the caller has zeroed
/// (query heads of a group add to the same dk and dv).
template <typename T>
void backward(const Head& h, const T& scale, const T* q, const T* k, const T* v, const T* o,
              const T* d_o, const T* lse, T* delta, T* dq, T* dk, T* dv, const OnChip<T>& chip) {
  using std::exp;
  for (std::int64_t i = 0; i < h.q_len; ++i) {
    delta[i] = T(0);
    for (std::int64_t c = 0; c < h.d; ++c) delta[i] += d_o[i * h.d + c] * o[i * h.d + c];
  }
  for (std::int64_t j0 = 0; j0 < h.kv_len; j0 += h.kv_block) {
    const std::int64_t keys = h.keys_in(j0);
    load_transposed(h, k, j0, chip.k_t);
    load_transposed(h, v, j0, chip.v_t);
    for (std::int64_t i0 = 0; i0 < h.q_len; i0 += h.q_block) {
      product_with_block(h, q, i0, chip.k_t, keys, chip.s);     // S
      product_with_block(h, d_o, i0, chip.v_t, keys, chip.dp);  // dP = dO·Vᵀ
      for (std::int64_t i = 0; i < h.queries_in(i0); ++i) {
        const std::int64_t query = i0 + i;
        for (std::int64_t j = 0; j < keys; ++j) {
          const std::int64_t key = j0 + j;
          if (!h.sees(query, key)) continue;
          const T p = exp(scale * chip.s[i * h.kv_block + j] - lse[query]);
          const T ds = scale * p * (chip.dp[i * h.kv_block + j] - delta[query]);
          for (std::int64_t c = 0; c < h.d; ++c) {
            dv[key * h.d + c] += p * d_o[query * h.d + c];  // dV += Pᵀ·dO
            dq[query * h.d + c] += ds * k[key * h.d + c];   // dQ += τ·dS·K
            dk[key * h.d + c] += ds * q[query * h.d + c];   // dK += τ·dSᵀ·Q
          }
        }
      }
    }
  }
}

}  // namespace flashbench::paper
