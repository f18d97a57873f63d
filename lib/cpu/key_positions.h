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
      : shape_(p.shape), wanted_(p.alibi != Alibi::kNone), stride_(p.shape.kv_len + ops.cols) {}

  std::size_t bytes() const {
    return wanted_ ? static_cast<std::size_t>(shape_.b * stride_) * sizeof(float) : 0;
  }
  void allocate() { positions_ = Buffer(bytes()); }
  /// Kept keys by their numbers.
  void load(const std::vector<Visibility>& sees) {
    for (std::int64_t b = 0; wanted_ && b < shape_.b; ++b) {
      const KeptKeys& kept = sees[static_cast<std::size_t>(b)].kept();
      float* to = positions_.as<float>() + b * stride_;
      std::fill_n(to, stride_, 0.0f);
      for (std::int64_t i = 0; i < kept.count(); ++i)
        to[i] = static_cast<float>(kept.rows().row(i));
    }
  }
  /// All keys, hidden ones too.
  void load_all() {
    for (std::int64_t b = 0; wanted_ && b < shape_.b; ++b) {
      float* to = positions_.as<float>() + b * stride_;
      std::iota(to, to + stride_, 0.0f);
    }
  }
  /// From key number `first` on; null where they are not wanted.
  const float* of(std::int64_t b, std::int64_t first = 0) const {
    return wanted_ ? positions_.as<float>() + b * stride_ + first : nullptr;
  }

 private:
  Shape shape_;
  bool wanted_;
  std::int64_t stride_;
  Buffer positions_;
};

}  // namespace flashbench::cpu
