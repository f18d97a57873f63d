#include "core/visibility.h"

#include <algorithm>

namespace flashbench {
namespace {

/// The keys that some query sees, and what lies between them.
KeyRange seen_by_any(const Visible& v) {
  return v.q_len == 0 ? KeyRange{0, 0} : v.keys(0, v.q_len);
}

}  // namespace

Visible visible_of(const Problem& p, std::int64_t b) {
  const auto q_len = static_cast<std::int32_t>(p.shape.q_len_of(b));
  const auto kv_len = static_cast<std::int32_t>(p.shape.kv_len_of(b));
  // What would reach beyond the last key (the first query) from everywhere is no limit.
  const auto limit = [](std::optional<std::int64_t> window, std::int32_t length) {
    return window && *window < length - 1 ? static_cast<std::int32_t>(*window) : Visible::kNoLimit;
  };
  Visible visible = p.causal ? Visible::causal(q_len, kv_len) : Visible::all(q_len, kv_len);
  visible.behind = limit(p.window_left, kv_len);
  if (!p.causal) visible.ahead = limit(p.window_right, q_len);
  return visible;
}

KeptKeys::KeptKeys(std::span<const std::uint8_t> mask, KeyRange seen)
    : seen_(seen), count_(std::max(seen.size(), 0)) {
  if (mask.empty()) return;
  position_.reserve(static_cast<std::size_t>(count_));
  before_.reserve(mask.size() + 1);
  before_.push_back(0);
  for (std::size_t k = 0; k < mask.size(); ++k) {
    if (mask[k] != 0 && seen.holds(static_cast<std::int64_t>(k)))
      position_.push_back(static_cast<std::int32_t>(k));
    before_.push_back(static_cast<std::int32_t>(position_.size()));
  }
  count_ = static_cast<std::int64_t>(position_.size());
}

std::int64_t KeptKeys::before(std::int64_t k) const {
  if (before_.empty()) return std::clamp<std::int64_t>(k - seen_.begin, 0, count_);
  return before_[static_cast<std::size_t>(k)];
}

void KeptKeys::lie_in_pages(std::span<const std::int32_t> table, std::int64_t page_size,
                            std::int64_t page_rows) {
  stored_.resize(static_cast<std::size_t>(count_));
  const RowMap keys = rows();
  // Keys ascend: a division a page, not a key.
  std::int64_t end = 0, shift = 0;
  for (std::int64_t i = 0; i < count_; ++i) {
    const std::int64_t key = keys.row(i);
    if (key >= end) {
      const std::int64_t page = key / page_size;
      end = (page + 1) * page_size;
      shift = table[static_cast<std::size_t>(page)] * page_rows - page * page_size;
    }
    stored_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(key + shift);
  }
}

Visibility::Visibility(std::span<const std::uint8_t> mask, const Visible& visible)
    : visible_(visible), kept_(mask, seen_by_any(visible)) {}

std::vector<Visibility> visibilities(std::span<const std::uint8_t> key_mask, const Problem& p) {
  const auto kv_len = static_cast<std::size_t>(p.shape.kv_len);
  std::vector<Visibility> all;
  for (std::size_t i = 0; i < static_cast<std::size_t>(p.shape.b); ++i)
    all.emplace_back(key_mask.empty() ? key_mask : key_mask.subspan(i * kv_len, kv_len),
                     visible_of(p, static_cast<std::int64_t>(i)));
  return all;
}

void look_up_pages(const Inputs& in, const Problem& p, std::vector<Visibility>& sees) {
  if (in.pages.empty()) return;
  const std::span<const std::int32_t> table = in.pages.block_table;
  const std::size_t most = table.size() / sees.size();
  for (std::size_t b = 0; b < sees.size(); ++b)
    sees[b].lie_in_pages(table.subspan(b * most, most), p.page_size, p.shape.h_kv * p.page_size);
}

}  // namespace flashbench
