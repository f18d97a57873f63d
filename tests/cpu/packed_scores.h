#pragma once

#include <cstdint>
#include <vector>

#include "cpu/tile_ops.h"
#include "tests/cpu/tile_forms.h"

namespace flashbench::cpu {

/// Queries and keys as the operands of a product of 30 x 45 scores.
struct PackedScores {
  static constexpr std::int64_t kM = 30, kN = 45, kK = 20;

  const TileOps& ops;
  std::int64_t words, stride;  ///< of an operand along k; columns of whole register tiles
  std::vector<float> a, b;

  explicit PackedScores(const TileOps& operations)
      : ops(operations), words(ops.words(kK)), stride(round_up(kN, ops.cols)) {
    const auto q = random_values(kM * kK, 21), k = random_values(kN * kK, 22);
    a.resize(static_cast<std::size_t>(kM * a_stride()));
    ops.pack_rows({q.data(), Dtype::kF32, kK}, kM, kK, 1.0f, a.data(), a_stride());
    b.resize(static_cast<std::size_t>(stride * words));
    ops.pack_panels_transposed({k.data(), Dtype::kF32, kK}, kN, kK, 1.0f, b.data());
  }
  std::int64_t a_stride() const { return round_up(words, ops.lanes); }
  MatrixA left() const { return {a.data(), a_stride(), 1}; }
  MatrixB right() const { return {b.data(), ops.cols, words * ops.cols}; }
};

}  // namespace flashbench::cpu
