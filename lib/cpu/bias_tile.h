#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/row_map.h"
#include "cpu/attention_pass.h"

namespace flashbench::cpu {

/// The bias of a tile of scores in f32, rows of queries by columns of keys, in a thread's own
/// memory. Where there is no bias it takes none, and does nothing.
class BiasTile {
 public:
  enum class Keys { kAll, kKept };

  /// `keys`: kept ones may have gaps between them.
  BiasTile(const Problem& p, const Execution& e, std::int64_t rows, std::int64_t columns, Keys keys)
      : wanted_(p.bias != Bias::kNone),
        dtype_(p.bias_dtype()),
        tile_floats_(rows * tile_stride(columns)),
        stride_(tile_stride(columns)),
        line_floats_(keys == Keys::kKept && p.padding != PaddingMask::kNone
                         ? tile_stride(p.shape.kv_len)
                         : 0),
        ops_(tile_ops(e.isa)) {}

  bool wanted() const { return wanted_; }
  /// Of a thread's memory.
  std::int64_t floats() const { return wanted_ ? tile_floats_ + line_floats_ : 0; }
  float* carve(Carver& carver) const { return wanted_ ? carver.take(floats()) : nullptr; }
  /// Of loading a tile, and of reading it.
  PhaseCost cost(std::int64_t rows, std::int64_t columns) const {
    const auto elements = static_cast<double>(wanted_ ? rows * columns : 0);
    return {0, elements * (static_cast<double>(size_bytes(dtype_)) + 2 * sizeof(float))};
  }

  /// The bias of queries [q, q + rows) of head (b, h) and `columns` keys that lie at `keys`, in
  /// `tile`: readable up to a multiple of 16 columns.
  BiasRows load(const Inputs& in, std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t rows,
                RowMap keys, std::int64_t columns, float* tile) const {
    if (!wanted_) return {};
    const auto [of_b, of_h] = slice(in, b, h);
    RowSource source = rows_of(in.bias, of_b, of_h, q);
    move(source, keys.row(0));
    if (keys.rows == nullptr)
      ops_.pack_rows(source, rows, columns, 1.0f, tile, stride_);
    else
      load_kept(source, rows, keys.rows, columns, tile);
    return {tile, stride_};
  }

  /// Query q of head (b, h) sees none of `count` keys that lie at `keys`: all have -inf.
  bool hides(const Inputs& in, std::int64_t b, std::int64_t h, std::int64_t q, RowMap keys,
             std::int64_t count) const {
    if (!wanted_) return false;
    const auto [of_b, of_h] = slice(in, b, h);
    for (std::int64_t i = 0; i < count; ++i)
      if (in.bias.at(of_b, of_h, q, keys.row(i)) != -std::numeric_limits<float>::infinity())
        return false;
    return true;
  }

 private:
  /// Which part of the bias is that of head (b, h).
  struct Slice {
    std::int64_t b, h;
  };
  static Slice slice(const Inputs& in, std::int64_t b, std::int64_t h) {
    return {in.bias.dims().b == 1 ? 0 : b, in.bias.dims().h == 1 ? 0 : h};
  }
  /// A row is converted from its first key to its last, since that is done by vectors, and then
  /// compacted.
  void load_kept(RowSource source, std::int64_t rows, const std::int32_t* keys,
                 std::int64_t columns, float* tile) const {
    float* line = tile + tile_floats_;
    for (std::int64_t r = 0; r < rows; ++r) {
      ops_.pack_rows(source, 1, keys[columns - 1] + 1 - keys[0], 1.0f, line, 0);
      float* row = tile + r * stride_;
      for (std::int64_t i = 0; i < columns; ++i) row[i] = line[keys[i] - keys[0]];
      std::fill(row + columns, row + round_up(columns, 16), 0.0f);
      move(source, source.row_stride);
    }
  }
  static void move(RowSource& source, std::int64_t elements) {
    source.base = static_cast<const std::byte*>(source.base) +
                  elements * static_cast<std::int64_t>(size_bytes(source.dtype));
  }

  bool wanted_;
  Dtype dtype_;
  std::int64_t tile_floats_, stride_, line_floats_;
  const TileOps& ops_;  ///< of f32
};

}  // namespace flashbench::cpu
