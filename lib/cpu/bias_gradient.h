#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/row_map.h"
#include "cpu/attention_pass.h"
#include "cpu/shared_accumulator.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// dbias of flash: dS, before the slope of a soft cap and without the scale, summed in f32 over the
/// axes that are 1 in the bias; in the tensor itself where that is f32. A part is the rows of a
/// block of queries in a slice [q_len, kv_len] of it. Heads and batch elements that share a slice
/// add to it under a lock, or with `--deterministic` in the order of their numbers. Nothing is done
/// where it is not wanted.
class BiasGradient {
 public:
  BiasGradient(const Problem& p, const Execution& e, std::int64_t q_block, std::int64_t kv_block);

  bool wanted() const { return wanted_; }
  std::size_t bytes() const;
  void allocate();

  /// Before each run. `see(b, key_block)`: the blocks of queries [begin, end) that add what they
  /// have of that block of keys, once for each head.
  template <typename See>
  void start(See&& see) {
    if (!shared()) return;
    accumulator_.reset();
    if (!in_order_) return;
    for (std::int64_t b = 0; b < shape_.b; ++b) {
      begin_batch_element(b);
      for (std::int64_t block = 0; block < key_blocks_; ++block) {
        const auto of_queries = see(b, block);
        for (std::int64_t q = of_queries.begin; q < of_queries.end; ++q) expect(b, q, block);
      }
    }
  }

  /// Where the heads of a group share a slice and have an order, a work item goes through all of
  /// them before it turns to the next block of queries: the item behind it is one block late then,
  /// not all of a head.
  bool heads_before_queries() const { return in_order_ && shared() && one_head_; }

  /// The rows of a part, and their zeros before anything is added.
  std::int64_t parts() const { return wanted_ ? dims_.b * dims_.h * q_blocks_ : 0; }
  std::int64_t elements(std::int64_t part) const;
  void clear(std::int64_t part, Tensor& dbias) const;
  /// Rounds a part to the tensor's dtype; there are none to be rounded where that is f32.
  void store(std::int64_t part, const TileOps& ops, Tensor& dbias) const;
  std::int64_t parts_to_store() const { return sums_apart() ? parts() : 0; }

  struct Tile {
    std::int64_t b, h, q_block, key_block, rows;
    const float* ds;
    std::int64_t stride;
    RowMap keys;  ///< where those of its columns lie
  };
  /// `sees[r]`: the columns that row r sees. Others are not read.
  template <typename Rows>
  void add(const Tile& tile, const Rows& sees, const TileOps& ops, Tensor& dbias) {
    const auto add_rows = [&] {
      for (std::int64_t r = 0; r < tile.rows; ++r)
        add_row(ops, tile.ds + r * tile.stride, sees[r], tile.keys, row(dbias, part_of(tile), r));
    };
    if (shared())
      accumulator_.contribute(part_of(tile), turn_of(tile), add_rows);
    else
      add_rows();
  }

 private:
  /// The turns of a block of queries of a batch element.
  struct Turns {
    std::int64_t before;           ///< those of earlier batch elements
    std::int64_t first_key, keys;  ///< blocks of keys that have one
  };
  /// Several work items add to the same elements.
  bool shared() const {
    return wanted_ && ((one_batch_ && shape_.b > 1) || (one_head_ && shape_.h_kv > 1));
  }
  bool sums_apart() const { return wanted_ && dtype_ != Dtype::kF32; }
  Turns& turns(std::int64_t b, std::int64_t q_block) {
    return turns_[static_cast<std::size_t>(b * q_blocks_ + q_block)];
  }
  void begin_batch_element(std::int64_t b);
  void expect(std::int64_t b, std::int64_t q_block, std::int64_t key_block);
  std::int64_t part_of(const Tile& tile) const;
  std::int64_t turn_of(const Tile& tile) const;
  float* row(Tensor& dbias, std::int64_t part, std::int64_t r) const;
  static void add_row(const TileOps& ops, const float* ds, TileColumns seen, RowMap keys,
                      float* sums);

  Shape shape_;
  Dims dims_;
  Dtype dtype_;
  bool wanted_, in_order_, one_batch_, one_head_;
  std::int64_t q_block_, q_blocks_, key_blocks_;
  SharedAccumulator accumulator_;
  std::vector<Turns> turns_;  ///< [b, q_blocks]
  Buffer buffer_;
  float* sums_ = nullptr;  ///< [dims], where the tensor is not f32
};

}  // namespace flashbench::cpu
