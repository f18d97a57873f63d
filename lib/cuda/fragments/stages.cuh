#pragma once

#include "cuda/fragments/tile.cuh"

/// Two stages of what a CTA streams: while a tile of K and V (or of Q and dO) is multiplied, the
/// next one arrives.
namespace flashbench::cuda::fragments {

/// Where the stages lie, which all kThreads load: two tiles of K (or Q), then two of V (or dO). A
/// row is kD units of 16 bits, of which an element takes kOfElement.
template <int kD, int kRows, int kThreads, int kOfElement = 1>
struct Stages {
  static constexpr int kColumns = kRows;  ///< of the scores, which a tile's rows are
  static constexpr int kUnits = kOfElement;
  static constexpr std::uint32_t kTileBytes = kMatrixRowBytes<kD> / kMatrixRows * kColumns;
  std::uint32_t base;

  __device__ std::uint32_t first(int stage) const { return base + stage * kTileBytes; }
  __device__ std::uint32_t second(int stage) const { return first(2) + stage * kTileBytes; }
  __device__ std::uint32_t behind() const { return second(2); }

  template <int kCount>
  __device__ __forceinline__ void load(std::uint32_t tile, const HeadRows& from,
                                       int from_row) const {
    load_tile<kD, kCount, kThreads>(tile, from, from_row);
  }
};

/// Requests tile j of K and of V, and closes the group of copies. Places: Stages, or a layout with
/// its members.
template <Variant kVariant, typename Places>
__device__ __forceinline__ void load_keys(const Places& at, const Attention& a, int b, int h_kv,
                                          int j) {
  constexpr int kKeys = Places::kColumns;
  at.template load<kKeys>(at.first(j % 2), key_rows<Places::kUnits>(a, a.k, b, h_kv), j * kKeys);
  at.template load<kKeys>(at.second(j % 2), key_values<kVariant, Places::kUnits>(a, a.v, b, h_kv),
                          j * kKeys);
  commit_copies();
}

/// What is known of the queries of two stages, f32 each.
template <int kQueries, int kThreads>
struct RowValues {
  static constexpr std::uint32_t kBytes = kQueries * sizeof(float);
  std::uint32_t base;

  __device__ std::uint32_t max(int stage) const { return base + stage * kBytes; }
  __device__ std::uint32_t log2_sum(int stage) const { return max(2) + stage * kBytes; }
  __device__ std::uint32_t delta(int stage) const { return log2_sum(2) + stage * kBytes; }

  /// Requests them, from query `first` on.
  __device__ __forceinline__ void load(const Attention& a, int b, int h, int first,
                                       int stage) const {
    static_assert(3 * kQueries <= kThreads);
    const unsigned which = thread() / kQueries, column = thread() % kQueries;
    if (which > 2) return;
    const int query = first + static_cast<int>(column);
    const bool valid = query < a.q_len;
    const float* const values = which == 0 ? a.row_max : which == 1 ? a.row_log2_sum : a.delta;
    const float* const from = values + row_offset(a, b, h);
    copy_4_async(max(stage) + (which * 2 * kQueries + column) * sizeof(float),
                 valid ? from + query : from, valid);
  }
};

/// Requests a tile of Q and of dO with what is known of its queries, and closes the group of
/// copies.
template <Variant kVariant, typename Places, typename Values>
__device__ __forceinline__ void load_queries(const Places& at, const Values& values,
                                             const Attention& a, int b, int h, int first,
                                             int stage) {
  constexpr int kQueries = Places::kColumns;
  at.template load<kQueries>(at.first(stage), query_rows<Places::kUnits>(a, a.q, b, h), first);
  at.template load<kQueries>(at.second(stage),
                             query_values<kVariant, Places::kUnits>(a, a.d_o, b, h), first);
  values.load(a, b, h, first, stage);
  commit_copies();
}

}  // namespace flashbench::cuda::fragments
