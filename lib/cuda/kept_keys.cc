#include "cuda/kept_keys.h"

#include <algorithm>

namespace flashbench::cuda {

bool keeps_all(const std::vector<Visibility>& sees) {
  return std::all_of(sees.begin(), sees.end(),
                     [](const Visibility& v) { return v.kept().count() == v.kv_len(); });
}

std::vector<std::uint8_t> kept_bytes(const std::vector<Visibility>& sees, std::int64_t stride) {
  std::vector<std::uint8_t> bytes(sees.size() * static_cast<std::size_t>(stride));
  for (std::size_t b = 0; b < sees.size(); ++b) {
    const KeptKeys& keys = sees[b].kept();
    for (std::int64_t i = 0; i < keys.count(); ++i)
      bytes[b * static_cast<std::size_t>(stride) + static_cast<std::size_t>(keys.rows().row(i))] =
          1;
  }
  return bytes;
}

KeptTables kept_tables(const std::vector<Visibility>& sees, std::int64_t kv_len) {
  const auto n = static_cast<std::size_t>(kv_len);
  KeptTables tables{std::vector<std::int32_t>(sees.size() * n, -1),
                    std::vector<std::int32_t>(sees.size() * (n + 1))};
  for (std::size_t b = 0; b < sees.size(); ++b) {
    const KeptKeys& keys = sees[b].kept();
    for (std::int64_t i = 0; i < keys.count(); ++i)
      tables.kept[b * n + static_cast<std::size_t>(i)] =
          static_cast<std::int32_t>(keys.rows().row(i));
    for (std::size_t k = 0; k <= n; ++k)
      tables.before[b * (n + 1) + k] =
          static_cast<std::int32_t>(keys.before(static_cast<std::int64_t>(k)));
  }
  return tables;
}

}  // namespace flashbench::cuda
