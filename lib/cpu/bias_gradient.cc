#include "cpu/bias_gradient.h"

#include <algorithm>

namespace flashbench::cpu {

BiasGradient::BiasGradient(const Problem& p, const Execution& e, std::int64_t q_block,
                           std::int64_t kv_block)
    : shape_(p.shape),
      dims_(p.bias_dims()),
      dtype_(p.bias_dtype()),
      wanted_(p.needs_bias_gradient()),
      in_order_(e.deterministic),
      one_batch_(dims_.b == 1),
      one_head_(dims_.h == 1),
      q_block_(q_block),
      q_blocks_(blocks(shape_.q_len, q_block)),
      key_blocks_(blocks(shape_.kv_len, kv_block)),
      accumulator_(dims_.b * dims_.h * q_blocks_, in_order_) {}

std::size_t BiasGradient::bytes() const {
  std::size_t bytes =
      sums_apart() ? static_cast<std::size_t>(dims_.count()) * sizeof(float) : std::size_t{0};
  if (!shared()) return bytes;
  bytes += SharedAccumulator::bytes(parts(), in_order_);
  if (in_order_) bytes += static_cast<std::size_t>(shape_.b * q_blocks_) * sizeof(Turns);
  return bytes;
}

void BiasGradient::allocate() {
  if (sums_apart()) {
    buffer_ = Buffer(static_cast<std::size_t>(dims_.count()) * sizeof(float));
    sums_ = buffer_.as<float>();
  }
  if (!shared()) return;
  accumulator_.reset();
  if (in_order_) turns_.resize(static_cast<std::size_t>(shape_.b * q_blocks_));
}

void BiasGradient::begin_batch_element(std::int64_t b) {
  for (std::int64_t q = 0; q < q_blocks_; ++q) {
    std::int64_t before = 0;
    if (one_batch_ && b > 0) {
      const Turns& earlier = turns(b - 1, q);
      before = earlier.before + earlier.keys * (one_head_ ? shape_.h : 1);
    }
    turns(b, q) = {before, 0, 0};
  }
}

void BiasGradient::expect(std::int64_t b, std::int64_t q_block, std::int64_t key_block) {
  Turns& t = turns(b, q_block);
  if (t.keys++ == 0) t.first_key = key_block;  // the others follow one after the other
}

std::int64_t BiasGradient::part_of(const Tile& tile) const {
  const std::int64_t b = one_batch_ ? 0 : tile.b, h = one_head_ ? 0 : tile.h;
  return (b * dims_.h + h) * q_blocks_ + tile.q_block;
}

/// In the order of work items: K/V head, block of keys, head of the group.
std::int64_t BiasGradient::turn_of(const Tile& tile) const {
  if (!in_order_) return 0;
  const Turns& t = turns_[static_cast<std::size_t>(tile.b * q_blocks_ + tile.q_block)];
  const std::int64_t key_block = tile.key_block - t.first_key;
  if (!one_head_) return t.before + key_block;
  const std::int64_t group = shape_.group();
  return t.before + (tile.h / group * t.keys + key_block) * group + tile.h % group;
}

float* BiasGradient::row(Tensor& dbias, std::int64_t part, std::int64_t r) const {
  float* sums = sums_apart() ? sums_ : dbias.as<float>();
  const std::int64_t row = part / q_blocks_ * shape_.q_len + part % q_blocks_ * q_block_ + r;
  return sums + row * shape_.kv_len;
}

std::int64_t BiasGradient::elements(std::int64_t part) const {
  return std::min(q_block_, shape_.q_len - part % q_blocks_ * q_block_) * shape_.kv_len;
}

void BiasGradient::clear(std::int64_t part, Tensor& dbias) const {
  std::fill_n(row(dbias, part, 0), elements(part), 0.0f);
}

void BiasGradient::store(std::int64_t part, const TileOps& ops, Tensor& dbias) const {
  const float* sums = row(dbias, part, 0);
  ops.row_store(
      sums, elements(part), 1.0f, dtype_,
      dbias.as<std::byte>() + (sums - sums_) * static_cast<std::int64_t>(size_bytes(dtype_)));
}

void BiasGradient::add_row(const TileOps& ops, const float* ds, TileColumns seen, RowMap keys,
                           float* sums) {
  if (keys.rows == nullptr) {
    ops.row_add(sums + keys.row(seen.begin), ds + seen.begin, seen.end - seen.begin);
    return;
  }
  for (std::int64_t i = seen.begin; i < seen.end; ++i) sums[keys.row(i)] += ds[i];
}

}  // namespace flashbench::cpu
