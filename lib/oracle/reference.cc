#include "oracle/reference.h"

#include <algorithm>
#include <numeric>

#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

constexpr std::int64_t kKeyBlock = 48;

std::vector<std::int64_t> range(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(end - begin));
  std::iota(all.begin(), all.end(), begin);
  return all;
}

}  // namespace

void compute(const Definition& def, std::span<const HeadDirections> heads,
             std::vector<RowPart>& parts) {
  const auto count = static_cast<std::int64_t>(parts.size());
  // Last rows first: where causal, they are the longest.
#pragma omp parallel for schedule(dynamic) if (worth_threads(def.shape()))
  for (std::int64_t n = count - 1; n >= 0; --n) {
    if (interrupted()) continue;
    RowPart& part = parts[static_cast<std::size_t>(n)];
    const std::int64_t head = part.b * def.shape().h_kv + def.shape().kv_head(part.h);
    part.results =
        compute_rows(def, heads[static_cast<std::size_t>(head)], part.b, part.h, part.rows);
  }
  stop_if_interrupted();
}

std::vector<RowPart> all_rows(const Definition& def) {
  const Shape& s = def.shape();
  const std::int64_t block = row_block(s);
  std::vector<RowPart> parts;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h; ++h)
      for (std::int64_t i = 0; i < s.q_len; i += block)
        parts.push_back({b, h, range(i, std::min(i + block, s.q_len)), {}});
  compute(def, head_directions(def), parts);
  return parts;
}

std::vector<ColumnPart> all_columns(const Definition& def, const std::vector<RowPart>& rows) {
  if (!def.has_gradients()) return {};
  const Shape& s = def.shape();
  std::vector<RowStats> stats;  // [b, h, q_len], so that a group's rows are contiguous
  for (const RowPart& part : rows)
    stats.insert(stats.end(), part.results.stats.begin(), part.results.stats.end());
  std::vector<ColumnPart> parts;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h_kv; ++h)
      for (std::int64_t j = 0; j < s.kv_len; j += kKeyBlock)
        parts.push_back({b, h, range(j, std::min(j + kKeyBlock, s.kv_len)), {}});
  const auto count = static_cast<std::int64_t>(parts.size());
  const std::vector<HeadDirections> heads = head_directions(def);
  const auto group_rows = static_cast<std::size_t>(s.group() * s.q_len);
#pragma omp parallel for schedule(dynamic) if (worth_threads(def.shape()))
  for (std::int64_t n = 0; n < count; ++n) {
    if (interrupted()) continue;
    ColumnPart& part = parts[static_cast<std::size_t>(n)];
    const auto group = static_cast<std::size_t>(part.b * s.h_kv + part.h_kv);
    part.results = compute_columns(def, heads[group], part.b, part.h_kv, part.keys,
                                   std::span(stats).subspan(group * group_rows, group_rows));
  }
  stop_if_interrupted();
  return parts;
}

}  // namespace flashbench::oracle
