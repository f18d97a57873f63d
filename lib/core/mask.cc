#include "core/mask.h"

namespace flashbench {

KeptKeys::KeptKeys(std::span<const std::uint8_t> mask, std::int64_t kv_len) {
  before.reserve(static_cast<std::size_t>(kv_len) + 1);
  before.push_back(0);
  for (std::int32_t k = 0; k < kv_len; ++k) {
    if (mask.empty() || mask[static_cast<std::size_t>(k)] != 0) position.push_back(k);
    before.push_back(static_cast<std::int32_t>(position.size()));
  }
}

}  // namespace flashbench
