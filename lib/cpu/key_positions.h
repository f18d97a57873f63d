#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/problem.h"
#include "core/visibility.h"
#include "cpu/tile_ops.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// Where the keys of each batch element lie, as f32, for scores that depend on the distance to a
/// query. Readable a register tile beyond the last key.
class KeyPositions {
 public:
  KeyPositions(const Problem& p, const TileOps& ops)
      : shape_(p.shape), wanted_(p.alibi != Alibi::kNone), beyond_(ops.cols) {}

  std::size_t bytes() const {
    return wanted_ ? static_cast<std::size_t>(first(shape_.b)) * sizeof(float) : 0;
  }
  void allocate() { positions_ = Buffer(bytes()); }
  /// Kept keys by their numbers.
  void load(const std::vector<Visibility>& sees) {
    for (std::int64_t b = 0; wanted_ && b < shape_.b; ++b) {
      const KeptKeys& kept = sees[static_cast<std::size_t>(b)].kept();
      float* to = positions_.as<float>() + first(b);
      for (std::int64_t i = 0; i < kept.count(); ++i)
        to[i] = static_cast<float>(kept.rows().row(i));
      std::fill(to + kept.count(), positions_.as<float>() + first(b + 1), 0.0f);
    }
  }
  /// All keys, hidden ones too.
  void load_all() {
    for (std::int64_t b = 0; wanted_ && b < shape_.b; ++b)
      std::iota(positions_.as<float>() + first(b), positions_.as<float>() + first(b + 1), 0.0f);
  }
  /// From key number `number` on; null where they are not wanted.
  const float* of(std::int64_t b, std::int64_t number = 0) const {
    return wanted_ ? positions_.as<float>() + first(b) + number : nullptr;
  }

 private:
  std::int64_t first(std::int64_t b) const { return shape_.k_dims().rows_before(b) + b * beyond_; }

  Shape shape_;
  bool wanted_;
  std::int64_t beyond_;  ///< the last key of each batch element
  Buffer positions_;
};

}  // namespace flashbench::cpu
