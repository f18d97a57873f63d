#include "cuda/sequence_lists.h"

#include <algorithm>
#include <limits>
#include <set>

#include "core/visibility.h"

namespace flashbench::cuda {
namespace {

/// What tells a list from others of the same batch.
std::pair<ListOf, int> key_of(const Launch& l) {
  switch (l.list) {
    case ListOf::kQueryTiles:
      return {l.list, l.q_tile};
    case ListOf::kKeyTiles:
      return {l.list, l.kv_tile};
    case ListOf::kNone:
    case ListOf::kSequences:
      return {l.list, 0};
  }
  no_such_enumerator();
}

std::int64_t entries(const Shape& s, const Launch& l) {
  return cuda::entries(s, l.list, key_of(l).second);
}

std::int32_t index(std::int64_t i) { return static_cast<std::int32_t>(i); }

SequenceTile entry_of(const Problem& p, std::int64_t b) {
  const Shape& s = p.shape;
  const Visibility sees({}, visible_of(p, b));
  const std::int64_t first_seen = sees.kept().rows().row(0);
  SequenceTile tile{};
  tile.b = index(b);
  tile.q_len = index(s.q_len_of(b));
  tile.kv_rows = index(s.kv_len_of(b));
  tile.kv_len = index(sees.kept().count());
  tile.diagonal = index(s.kv_len_of(b) - s.q_len_of(b) - first_seen);
  tile.first_row = index(s.h * s.q_dims().rows_before(b));
  tile.first_key = index(s.h_kv * s.k_dims().rows_before(b) + first_seen);
  return tile;
}

}  // namespace

std::vector<SequenceTile> sequence_tiles(const Problem& p, const Launch& launch) {
  const Shape& s = p.shape;
  const auto [list, rows] = key_of(launch);
  std::vector<std::int64_t> sequences;
  for (std::int64_t b = 0; b < s.b; ++b)
    if (entries_of(s, b, list, rows) > 0) sequences.push_back(b);
  const auto streamed = [&, of = list](std::int64_t b) {
    return of == ListOf::kKeyTiles ? s.q_len_of(b) : s.kv_len_of(b);
  };
  std::stable_sort(sequences.begin(), sequences.end(),
                   [&](std::int64_t x, std::int64_t y) { return streamed(x) > streamed(y); });
  std::vector<SequenceTile> tiles;
  tiles.reserve(static_cast<std::size_t>(entries(s, launch)));
  for (const std::int64_t b : sequences) {
    SequenceTile tile = entry_of(p, b);
    tile.first_tile = index(static_cast<std::int64_t>(tiles.size()));
    tiles.insert(tiles.end(), static_cast<std::size_t>(entries_of(s, b, list, rows)), tile);
  }
  return tiles;
}

void describe_as_one_sequence(const Problem& p, Attention& a) {
  Problem longest = p;  // a window that is no limit to it is none to any
  longest.shape.sequences = nullptr;
  a.mask = visible_of(longest);
  a.b = 1;
  a.q_len = index(p.shape.queries());
  a.kv_len = index(p.shape.keys());
}

SequenceLists::SequenceLists(Device& device, const Problem& p,
                             const std::vector<Launch>& launches) {
  for (const Launch& l : launches) {
    if (entries(p.shape, l) == 0 || lists_.contains(key_of(l))) continue;
    const std::vector<SequenceTile> tiles = sequence_tiles(p, l);
    DeviceBuffer& list = lists_[key_of(l)];
    list = {device, tiles.size() * sizeof tiles[0], "list of sequences"};
    device.write(list.address(), tiles.data(), list.bytes());
  }
}

std::size_t SequenceLists::bytes(const Shape& s, const std::vector<Launch>& launches) {
  std::size_t bytes = 0;
  std::set<std::pair<ListOf, int>> known;
  for (const Launch& l : launches)
    if (known.insert(key_of(l)).second)
      bytes += static_cast<std::size_t>(entries(s, l)) * sizeof(SequenceTile);
  return bytes;
}

bool SequenceLists::fit(const Shape& s) {
  const std::int64_t most = std::numeric_limits<std::int32_t>::max();
  return s.q_dims().all_rows() <= most && s.k_dims().all_rows() <= most;
}

RaggedAttention SequenceLists::argument(const Attention& all, const Launch& launch) const {
  const DeviceBuffer& list = lists_.at(key_of(launch));
  return {all, list.as<SequenceTile>(),
          index(static_cast<std::int64_t>(list.bytes() / sizeof(SequenceTile)))};
}

}  // namespace flashbench::cuda
