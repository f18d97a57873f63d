#include "oracle/repeated.h"

#include <unordered_map>

#include "oracle/panel.h"

namespace flashbench::oracle {

Repeated find_repeated(const Definition& def, std::int64_t b, std::int64_t h_kv,
                       std::span<const RowStats> stats) {
  constexpr std::int64_t kMostKinds = 8;
  Repeated found;
  std::unordered_set<std::uint64_t> seen, seen_rows;
  std::unordered_map<std::uint64_t, std::int64_t> kinds;
  std::int64_t counted = 0;
  Panel q, d_o;
  for_query_tiles(def.shape(), h_kv,
                  [&](std::int64_t g, std::int64_t h, const std::vector<std::int64_t>& rows) {
                    q.gather(def.inputs().q, b, h, rows);
                    d_o.gather(def.inputs().d_o, b, h, rows);
                    for (std::int64_t i = 0; i < q.rows; ++i) {
                      if (!seen.insert(q.hash(i)).second) found.q.insert(q.hash(i));
                      const std::uint64_t both = combined(q.hash(i), d_o.hash(i));
                      if (!seen_rows.insert(both).second) found.rows.insert(both);
                      const std::int64_t row =
                          g * def.shape().q_len + rows[static_cast<std::size_t>(i)];
                      if (stats[static_cast<std::size_t>(row)].empty) continue;
                      ++kinds[d_o.hash(i)];
                      ++counted;
                    }
                  });
  found.different_q = static_cast<double>(seen.size());
  found.different_rows = static_cast<double>(seen_rows.size());
  for (const auto& [kind, count] : kinds)
    if (count > 1 && kMostKinds * count >= counted) found.d_o.push_back(kind);
  std::sort(found.d_o.begin(), found.d_o.end());
  return found;
}

}  // namespace flashbench::oracle
