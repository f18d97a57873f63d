#include "core/mask.h"

namespace flashbench {

KeptKeys::KeptKeys(std::span<const std::uint8_t> mask, std::int64_t kv_len) : count_(kv_len) {
  if (mask.empty()) return;
  position_.reserve(static_cast<std::size_t>(kv_len));
  before_.reserve(static_cast<std::size_t>(kv_len) + 1);
  before_.push_back(0);
  for (std::int32_t k = 0; k < kv_len; ++k) {
    if (mask[static_cast<std::size_t>(k)] != 0) position_.push_back(k);
    before_.push_back(static_cast<std::int32_t>(position_.size()));
  }
  count_ = static_cast<std::int64_t>(position_.size());
}

std::vector<Visibility> visibilities(std::span<const std::uint8_t> key_mask, bool causal,
                                     std::int64_t b, std::int64_t q_len, std::int64_t kv_len) {
  std::vector<Visibility> all;
  for (std::int64_t i = 0; i < b; ++i)
    all.emplace_back(key_mask.empty() ? key_mask
                                      : key_mask.subspan(static_cast<std::size_t>(i * kv_len),
                                                         static_cast<std::size_t>(kv_len)),
                     causal, q_len, kv_len);
  return all;
}

}  // namespace flashbench
