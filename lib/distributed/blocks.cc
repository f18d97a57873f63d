#include "distributed/blocks.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace flashbench::distributed {
namespace {

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return -floor_div(-a, b); }

std::int32_t narrow(std::int64_t i) { return static_cast<std::int32_t>(i); }

/// The stride of both runs; one of a single row has any.
std::int64_t common_stride(const RowRun& queries, const RowRun& keys) {
  if (queries.count > 1 && keys.count > 1 && queries.stride != keys.stride)
    throw std::logic_error("runs of queries and keys with different strides");
  return queries.count > 1 ? queries.stride : keys.stride;
}

/// A run of queries against a run of keys: place j of the keys lies between two lines of slope 1.
/// nullopt where no key is seen.
std::optional<Visible> visible_of(const Visible& whole, const RowRun& queries, const RowRun& keys) {
  const std::int64_t stride = common_stride(queries, keys);
  const std::int64_t own_key = queries.first + whole.diagonal - keys.first;
  Visible v = {narrow(queries.count), narrow(keys.count), narrow(own_key), whole.behind,
               whole.ahead};
  if (stride != 1 && whole.ahead != Visible::kNoLimit) {
    const std::int64_t last = floor_div(own_key + whole.ahead, stride);
    const std::int64_t first = ceil_div(own_key - whole.behind, stride);
    v.diagonal = narrow(last);
    v.ahead = 0;
    if (whole.behind != Visible::kNoLimit && first > last) return std::nullopt;
    if (whole.behind != Visible::kNoLimit) v.behind = narrow(last - first);
  } else if (stride != 1 && whole.behind != Visible::kNoLimit) {
    v.diagonal = narrow(ceil_div(own_key - whole.behind, stride));
    v.behind = 0;
  }
  const std::int64_t pairs = v.pairs();
  if (pairs == 0) return std::nullopt;
  if (pairs == queries.count * keys.count) v.behind = v.ahead = Visible::kNoLimit;
  return v;
}

bool is_causal(const Block& b) {
  return b.visible.ahead == 0 && b.visible.behind == Visible::kNoLimit;
}

std::int64_t end(const RowRange& rows) { return rows.first + rows.count; }

/// The keys of `next` lie behind those of `block`, for the same queries.
bool extend_keys(Block& block, const Block& next) {
  if (end(block.keys) != next.keys.first) return false;
  const bool each_sees_all_before = is_causal(next) && next.visible.diagonal >= -1;
  if (!is_whole(block) || !(is_whole(next) || each_sees_all_before)) return false;
  const std::int32_t before = block.visible.kv_len;
  block.keys.count += next.keys.count;
  block.visible = {next.visible.q_len, before + next.visible.kv_len, before + next.visible.diagonal,
                   Visible::kNoLimit, next.visible.ahead};
  return true;
}

/// The queries of `next` lie behind those of `block`, and see the same keys, or more at the end.
bool extend_queries(Block& block, const Block& next) {
  const Visible &above = block.visible, &below = next.visible;
  if (end(block.queries) != next.queries.first || block.keys.first != next.keys.first) return false;
  const bool same = above.kv_len == below.kv_len;
  const bool both_whole = is_whole(block) && is_whole(next) && same;
  const bool goes_on = is_causal(block) && is_causal(next) &&
                       below.diagonal == above.diagonal + above.q_len &&
                       (same || (above.kv_len < below.kv_len && below.diagonal <= above.kv_len));
  if (!both_whole && !goes_on) return false;
  block.queries.count += next.queries.count;
  block.keys = next.keys;
  block.visible = {above.q_len + below.q_len, below.kv_len, above.diagonal, Visible::kNoLimit,
                   above.ahead};
  return true;
}

/// Blocks of one run of queries.
std::vector<Block> row_of_blocks(const Visible& whole, const RowRun& queries,
                                 std::int64_t first_query, std::span<const RowRun> keys,
                                 Distances distances) {
  std::vector<Block> row;
  std::int64_t first_key = 0;
  for (const RowRun& run : keys) {
    if (const auto v = visible_of(whole, queries, run)) {
      const Block block = {{first_query, queries.count}, {first_key, run.count}, *v};
      const bool merged =
          distances == Distances::kDoNotCount && !row.empty() && extend_keys(row.back(), block);
      if (!merged) row.push_back(block);
    }
    first_key += run.count;
  }
  return row;
}

}  // namespace

std::vector<Block> blocks(const Visible& whole, std::span<const RowRun> queries,
                          std::span<const RowRun> keys, Distances distances) {
  std::vector<Block> all;
  std::size_t row_above = 0;
  std::int64_t first_query = 0;
  for (const RowRun& run : queries) {
    const std::vector<Block> row = row_of_blocks(whole, run, first_query, keys, distances);
    first_query += run.count;
    const bool merged = distances == Distances::kDoNotCount && row.size() == 1 &&
                        all.size() - row_above == 1 && extend_queries(all.back(), row.front());
    if (merged) continue;
    row_above = all.size();
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

}  // namespace flashbench::distributed
