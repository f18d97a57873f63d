#pragma once

#include <cstdint>
#include <vector>

#include "core/visibility.h"

// Which keys count, as tables that kernels read. `sees` has one entry per batch element.
namespace flashbench::cuda {

/// Every key counts: none is padded, and some query sees each.
bool keeps_all(const std::vector<Visibility>& sees);

/// [b, stride], for normal attention: 1 where a key is kept. `stride` is kv_len or more.
std::vector<std::uint8_t> kept_bytes(const std::vector<Visibility>& sees, std::int64_t stride);

/// Attention::kept and Attention::kept_before.
struct KeptTables {
  std::vector<std::int32_t> kept, before;
};
KeptTables kept_tables(const std::vector<Visibility>& sees, std::int64_t kv_len);

}  // namespace flashbench::cuda
