#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/enumerators.h"
#include "core/features.h"
#include "core/problem.h"
#include "cuda/contract/arguments.h"
#include "kernel/supports.h"

// How a family of CUDA kernels declares itself: pure host code, no CUDA.
namespace flashbench::cuda {

/// The matrix products of normal attention; Device::multiply computes them. See gemm.h.
enum class Product {
  kNone,
  kScores,
  kOutput,
  kScoreGradients,
  kQueryGradients,
  kKeyGradients,
  kValueGradients
};

/// What the list of a launch over a ragged batch has an entry for: each tile of the queries of a
/// sequence, of its keys, or each sequence. kNone: there is no list, and the kernel takes
/// Attention.
enum class ListOf { kNone, kQueryTiles, kKeyTiles, kSequences };

/// One kernel launch of a pass, or one product. Entry points are extern "C":
/// <family>_<what>[_<element>]_d<padded d>, e.g. "simt_f32_forward_d64", "mma_sm80_dq_bf16_d128".
struct Launch {
  /// kNone: a kernel. Of a product, which BLAS computes, only its FLOP are set.
  Product product = Product::kNone;
  std::string entry;
  std::string phase;  ///< as --profile shows it: "forward", "delta", "dq", "dkdv"
  std::int64_t grid_x = 1, grid_y = 1, grid_z = 1;
  int threads = 0;                ///< of one block, in x
  std::size_t dynamic_bytes = 0;  ///< dynamic shared memory
  // The work: every pair of a tile of q_tile queries and kv_tile kept keys, unless all are hidden.
  // Of a Product: every pair.
  int q_tile = 0, kv_tile = 0;
  int heads_a_tile = 1;        ///< query heads whose rows of the same queries share a tile
  int padded_d = 0;            ///< the head dimension that the kernel was compiled for
  std::int64_t pair_flop = 0;  ///< of the matrix products, for each of these pairs; 0: no product
  // Of a kernel that takes BoxedAttention: rows of its boxes.
  int box_queries = 0;  ///< 0: it takes Attention
  int box_keys = 0;
  std::int64_t heads_at_once = 0;  ///< how many heads' K and V the L2 cache is to hold
  ListOf list = ListOf::kNone;     ///< kNone: it does not take RaggedAttention
};

/// The launch that adds up the gradients of sinks: a block a head. D must be known.
inline Launch sink_gradient(std::string entry, std::int64_t heads, ListOf list = ListOf::kNone) {
  Launch launch;
  launch.entry = std::move(entry);
  launch.list = list;
  launch.phase = "dsinks";
  launch.grid_x = heads;
  launch.threads = kSinkThreads;
  return launch;
}

/// What the grid depends on, besides the problem: padded keys are in no tile.
struct Extent {
  Shape shape;
  Dtype dtype = Dtype::kF32;
  std::int64_t most_kept = 0;    ///< the largest number of kept keys of a batch element
  bool padded = false;           ///< there is a padding mask
  int multiprocessors = 0;       ///< of the device; 0 where it does not matter
  std::size_t shared_bytes = 0;  ///< that one block of the device may have; 0: no matter
  Features features = {};        ///< that the problem uses
};

/// The query rows that meet each K/V head, and its keys.
struct QueryRows {
  std::int64_t kv_heads = 1;  ///< of all batch elements
  std::int64_t group = 1;     ///< query heads of each of them
  std::int64_t q_len = 1, kv_len = 1;

  constexpr std::int64_t rows() const { return group * q_len; }
};

/// n / unit, rounded up: how many tiles of `unit` rows cover n.
constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit; }

/// Everything that the route table and the plan need of a family; every limit is plain data, so
/// that routing is a constant expression.
struct KernelFamily {
  std::string_view name;  ///< as --kernel takes it
  std::string_view description;
  AttentionType type = AttentionType::kFlash;
  Supports supports;
  int min_capability = 0;  ///< 75 is compute capability 7.5
  int max_capability = 0;  ///< 0: none; 90 for code that runs on 9.0 only
  /// Query rows that meet a K/V head: its group's heads times q_len. 0: any number.
  std::int64_t max_rows = 0;
  /// The route gives it problems of up to always_rows of these, and of more where it pays. Null:
  /// everything that it takes.
  std::int64_t always_rows = 0;
  bool (*pays)(const QueryRows& rows, std::int64_t d, int multiprocessors) = nullptr;
  bool boxed = false;         ///< some of its launches take BoxedAttention
  bool deterministic = true;  ///< its gradients are bitwise equal from run to run

  /// Shared memory that a block must be able to have for every launch of a pass, static and dynamic
  /// together. A launch may take more where the device has more: see Extent::shared_bytes.
  std::size_t (*shared_bytes)(Pass pass, std::int64_t d) = nullptr;
  /// Memory that its launches leave each other notes in: zero before the first launch, whose end
  /// leaves it as the next one wants it. Never less for a larger Extent. Null: none.
  std::size_t (*workspace_bytes)(const Extent& e) = nullptr;
  /// The launches, in order. They run in one stream: each sees what those before it wrote.
  std::vector<Launch> (*forward)(const Extent& e) = nullptr;
  std::vector<Launch> (*backward)(const Extent& e) = nullptr;  ///< null: no gradients
};

/// How many entries the list of a launch has for sequence b. Sequences without queries have none,
/// nor have those without keys in a list of key tiles: there is nothing to launch for.
inline std::int64_t entries_of(const Shape& s, std::int64_t b, ListOf list,
                               std::int64_t tile_rows) {
  if (s.q_len_of(b) == 0) return 0;
  switch (list) {
    case ListOf::kNone:
      return 0;
    case ListOf::kQueryTiles:
      return ceil_div(s.q_len_of(b), tile_rows);
    case ListOf::kKeyTiles:
      return ceil_div(s.kv_len_of(b), tile_rows);
    case ListOf::kSequences:
      return 1;
  }
  no_such_enumerator();
}
inline std::int64_t entries(const Shape& s, ListOf list, std::int64_t tile_rows) {
  std::int64_t sum = 0;
  for (std::int64_t b = 0; b < s.b; ++b) sum += entries_of(s, b, list, tile_rows);
  return sum;
}

}  // namespace flashbench::cuda
