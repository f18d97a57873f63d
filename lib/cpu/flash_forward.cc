#include "cpu/flash_forward.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "cpu/caches.h"
#include "cpu/online_softmax.h"
#include "cpu/sink_gradient.h"
#include "system/interrupt.h"

namespace flashbench::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Chosen among the settings in the README's table.
struct Blocks {
  std::int64_t row_group;  ///< rows that go through scores, softmax and P·V together
  std::int64_t keys;
};
constexpr Blocks kNarrowHead = {24, 256};  ///< a panel of K fits into L1
constexpr Blocks kWideHead = {48, 128};    ///< panels are read from L2: more rows share each read
constexpr std::int64_t kWidestNarrowHead = 128;
constexpr std::int64_t kMaxQBlock = 384, kMinQBlock = 192;

constexpr Blocks blocks_of(const Shape& s) {
  return s.widest_d() > kWidestNarrowHead ? kWideHead : kNarrowHead;
}

/// Queries of a work item: as many as keep Q and O in half of L2, since each item streams K and V
/// once, but at least four items a thread.
std::int64_t choose_q_block(const Shape& s, const TileOps& ops, int threads) {
  const std::int64_t row_group = blocks_of(s).row_group;
  const std::int64_t floats_per_query = tile_stride(ops.words(s.d)) + tile_stride(s.d_v());
  const auto bytes_per_query = floats_per_query * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t fits = static_cast<std::int64_t>(l2_cache_bytes()) / 2 / bytes_per_query;
  const std::int64_t largest = std::clamp(fits / row_group * row_group, kMinQBlock, kMaxQBlock);
  const std::int64_t per_thread = blocks(s.h * s.queries(), 4 * threads);
  const std::int64_t block = std::clamp<std::int64_t>(per_thread, ops.rows, largest);
  return std::min(round_up(block, ops.rows), round_up(s.q_len, ops.rows));
}

/// Rows of V are an operand where they lie: f32 in order, whole vectors, of few queries, since many
/// would pay for packing. With vectors of 256 bits packing always pays.
bool reads_values_in_place(const Problem& p, const TileOps& ops) {
  constexpr std::int64_t kFewQueries = 1024, kLanes = 16;
  return p.kv_dtype() == Dtype::kF32 && ops.per_word == 1 && ops.lanes >= kLanes &&
         p.shape.d_v() % ops.lanes == 0 && p.padding == PaddingMask::kNone && !p.paged() &&
         p.shape.group() * p.shape.q_len <= kFewQueries;
}

/// Keys of a block; without SIMD the sum of a row's P is one chain.
std::int64_t choose_kv_block(const Shape& s, const TileOps& ops) {
  const std::int64_t keys = std::min(blocks_of(s).keys, kLongestChain * ops.lanes);
  return std::min(round_up(keys, ops.cols), round_up(s.kv_len, ops.cols));
}

}  // namespace

static_assert(std::max(kNarrowHead.row_group, kWideHead.row_group) <= FlashForward::kMaxRowGroup);

FlashForward::FlashForward(const Problem& p, const Execution& e, RowMaxima* maxima)
    : FlashForward(p, e, tile_ops(e.isa, p.dtype), maxima) {}

FlashForward::FlashForward(const Problem& p, const Execution& e, const TileOps& operations,
                           RowMaxima* maxima, std::vector<std::int64_t> elements)
    : AttentionPass(p, e, operations),
      elements_(std::move(elements)),
      q_block_(choose_q_block(shape, ops, threads)),
      kv_block_(choose_kv_block(shape, ops)),
      row_group_(std::min(round_up(blocks_of(shape).row_group, ops.rows), q_block_)),
      q_stride_(tile_stride(ops.words(shape.d))),
      o_stride_(tile_stride(shape.d_v())),
      s_stride_(tile_stride(kv_block_)),
      k_key_(ops.words(shape.d)),
      v_key_(round_up(shape.d_v(), ops.cols) / ops.per_word),
      score_(p),
      queries_in_place_(p.dtype == Dtype::kF32 && ops.per_word == 1 && score_.sign == 1.0f &&
                        shape.d <= kWidestNarrowHead),
      values_in_place_(reads_values_in_place(p, ops)),
      positions_(p, ops),
      bias_(p, e, row_group_, kv_block_, BiasTile::Keys::kKept),
      maxima_(maxima),
      pipeline_(heads(), threads) {}

std::vector<HeadPipeline::Head> FlashForward::heads() const {
  std::vector<HeadPipeline::Head> all;
  for (const std::int64_t b : elements_)
    all.insert(all.end(), static_cast<std::size_t>(shape.h_kv),
               {blocks(shape.kv_len_of(b), kv_block_),
                shape.group() * blocks(shape.q_len_of(b), q_block_), k_floats(b) + v_floats(b)});
  return all;
}

std::size_t FlashForward::k_floats(std::int64_t b) const {
  return floats(round_up(shape.kv_len_of(b), ops.cols) * k_key_);
}

std::size_t FlashForward::v_floats(std::int64_t b) const {
  return values_in_place_ ? 0 : floats(round_up(shape.kv_len_of(b), ops.per_word) * v_key_);
}

FlashForward::Tiles FlashForward::carve(Carver& carver) const {
  Tiles t{};
  t.q = carver.take(q_floats());
  t.o = carver.take(q_block_ * o_stride_);
  t.s = carver.take(row_group_ * s_stride_);
  t.max = carver.take(q_block_);
  t.sum = carver.take(q_block_ * ops.lanes);
  t.block_sum = carver.take(row_group_ * ops.lanes);
  t.bias = bias_.carve(carver);
  return t;
}

std::size_t FlashForward::workspace_bytes() const {
  Carver sizes;
  carve(sizes);
  return pipeline_.floats() * sizeof(float) + positions_.bytes() +
         static_cast<std::size_t>(threads) * sizes.bytes();
}

void FlashForward::allocate() {
  packed_ = Buffer(pipeline_.floats() * sizeof(float));
  positions_.allocate();
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(sizes.bytes());
}

double FlashForward::flop_executed(const std::vector<Visibility>& sees) const {
  double products = 0;
  for (const std::int64_t b : elements_) {
    const Visibility& v = sees[static_cast<std::size_t>(b)];
    for (std::int64_t block = 0; block < v.q_len(); block += q_block_)
      for_tiles(v, block, std::min(q_block_, v.q_len() - block), true,
                [&](std::int64_t, std::int64_t, const KeyTile& tile) {
                  products += static_cast<double>(shape.d * tile.pairs.elements +
                                                  shape.d_v() * tile.pairs.by_row);
                });
  }
  return 2.0 * static_cast<double>(shape.h) * products;
}

std::vector<std::string> FlashForward::phases() const {
  // The softmax is part of the product Q K^T; "new max" are the tiles that were computed again.
  return {"pack K, V", "load Q", "P = exp(Q K^T - max)", "new max", "O += P V", "store O"};
}

std::vector<std::size_t> FlashForward::phase_bytes() const {
  const auto per_thread = static_cast<std::size_t>(threads) * sizeof(float);
  return {packed_.bytes() + positions_.bytes(),
          per_thread * floats(q_floats()),
          per_thread * (floats(row_group_ * s_stride_) + floats(bias_.floats())),
          per_thread *
              (floats(q_block_) + floats(q_block_ * ops.lanes) + floats(row_group_ * ops.lanes)),
          per_thread * floats(q_block_ * o_stride_),
          0};
}

void FlashForward::run(const Operands& io, const std::vector<Visibility>& sees,
                       const PassPart& part, PhaseProfile* profile) {
  const std::int64_t group = shape.group();
  positions_.load(sees);
  pipeline_.start();
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
    const Tiles tiles = carve(carver);
    const auto element_of = [&](std::int64_t kv_head) {
      return elements_[static_cast<std::size_t>(kv_head / shape.h_kv)];
    };
    const auto item = [&](std::int64_t kv_head, std::int64_t h, std::int64_t first_query) {
      const std::int64_t b = element_of(kv_head);
      float* k_panels = packed_.as<float>() + pipeline_.first_float(kv_head);
      const Visibility& see = sees[static_cast<std::size_t>(b)];
      return Item{&io,         &see,
                  b,           kv_head % shape.h_kv * group + h,
                  first_query, std::min(q_block_, see.q_len() - first_query),
                  k_panels,    k_panels + k_floats(b),
                  profile,     thread,
                  &part,       score_.of_head(*io.in, b, kv_head % shape.h_kv)};
    };
    pipeline_.work([&](std::int64_t kv_head,
                       std::int64_t chunk) { pack(item(kv_head, 0, 0), chunk * kv_block_); },
                   [&](std::int64_t kv_head, std::int64_t i) {
                     const std::int64_t q_blocks =
                         blocks(shape.q_len_of(element_of(kv_head)), q_block_);
                     // The last block first: under a causal mask it sees the most keys, and short
                     // items at the end even out what the threads have left.
                     attend(item(kv_head, i % group, (q_blocks - 1 - i / group) * q_block_), tiles);
                   });
  }
}

/// Kept keys [first_key, first_key + kv_block) of a head.
void FlashForward::pack(const Item& item, std::int64_t first_key) const {
  const KeptKeys& kept = item.sees->kept();
  const std::int64_t keys = std::min(kv_block_, kept.count() - first_key);
  if (keys <= 0) return;
  const PhaseTimer timer(
      item.profile, item.thread, kPack,
      convert(keys * (shape.d + (values_in_place_ ? 0 : shape.d_v())), kv_dtype));
  const Inputs& in = *item.io->in;
  const std::int64_t h = item.h / shape.group();
  const std::int64_t first_row = item.part->first_key;
  ops.pack_panels_transposed(key_rows(in, stored_keys(in), item.b, h, kept, first_key, first_row),
                             keys, shape.d, 1.0f, item.k_panels + first_key * k_key_);
  if (values_in_place_) return;
  ops.pack_panels(key_rows(in, stored_values(in), item.b, h, kept, first_key, first_row), keys,
                  shape.d_v(), item.v_panels + first_key * v_key_, 0, keys);
}

/// Algorithm 1 for one block of queries. O is not normalised before all keys were seen, so it may
/// overflow where the result does not: then the block is computed again, with P small enough. With
/// ALiBi the first keys may be so far away, and with a bias so much less, that their P are nothing
/// next to those of later ones, so that the guess of the maximum is looked at when all keys were
/// seen.
void FlashForward::attend(Item item, const Tiles& t) const {
  if (goes_on_unchanged(item)) return;
  item.q = load_queries(item, t);
  stream_keys(item, t);
  if (overflowed(item, t) || (item.score.first_keys_mislead() && underflowed(item, t))) {
    item.share = std::exp2(-std::ceil(std::log2(largest_sum(item))));
    stream_keys(item, t);
  }
  if (item.part->state != nullptr)
    store_state(item, t);
  else
    finish(item, t);
}

void FlashForward::stream_keys(const Item& item, const Tiles& t) const {
  reset(item, t);
  const bool goes_on = item.part->state != nullptr;
  for_tiles(*item.sees, item.first_query, item.rows, item.profile != nullptr,
            [&](std::int64_t row, std::int64_t rows, KeyTile& tile) {
              if (goes_on) begin_group(t, row, rows, tile);
              compute_p(item, t, row, rows, tile);
              accumulate_o(item, t, row, rows, tile);
              item.part->poll_from(item.thread);
            });
}

/// visit(row, rows, tile) for what the groups of rows of a block of queries see of each block of
/// keys; what no row of a group sees is left out. `count`: with its pairs.
template <typename Visit>
void FlashForward::for_tiles(const Visibility& sees, std::int64_t first_query, std::int64_t queries,
                             bool count, Visit&& visit) const {
  const KeyRange seen = sees.keys(first_query, queries);
  for (std::int64_t first_key = block_start(seen); first_key < seen.end && !interrupted();
       first_key += kv_block_)
    for (std::int64_t row = 0; row < queries; row += row_group_) {
      const std::int64_t rows = std::min(row_group_, queries - row), query = first_query + row;
      const KeyRange by_group = sees.keys(query, rows);
      const std::int64_t keys = std::min(kv_block_, by_group.end - first_key);
      if (by_group.empty() || keys <= 0 || first_key < block_start(by_group)) continue;
      KeyTile tile = {first_key,
                      keys,
                      first_key == block_start(by_group),
                      {sees, query, rows, first_key, keys}};
      if (count) tile.pairs = computed_pairs(ops, tile.rows.seen(), rows, keys);
      visit(row, rows, tile);
    }
}

/// Some element of O is infinite or NaN.
bool FlashForward::overflowed(const Item& item, const Tiles& t) const {
  for (std::int64_t r = 0; r < item.rows; ++r)
    if (!ops.row_is_finite(t.o + r * o_stride_, shape.d_v())) return true;
  return false;
}

/// The keys that some row sees all have P of nearly nothing.
bool FlashForward::underflowed(const Item& item, const Tiles& t) const {
  for (std::int64_t r = 0; r < item.rows; ++r) {
    const std::int64_t query = item.first_query + r;
    const KeyRange seen = item.sees->keys(query);
    if (!seen.empty() && !large_enough(t.sum + r * ops.lanes, 1) &&
        !bias_.hides(*item.io->in, item.b, item.h, query, item.sees->kept().rows().from(seen.begin),
                     seen.size()))
      return true;
  }
  return false;
}

/// Before the first keys; O begins with their product (accumulate_o), if there are any.
void FlashForward::reset(const Item& item, const Tiles& t) const {
  if (item.part->state != nullptr) return load_state(item, t);
  std::fill_n(t.max, item.rows, kFirstMax);
  std::fill_n(t.sum, item.rows * ops.lanes, 0.0f);
  for (std::int64_t row = 0; row < item.rows; row += row_group_) {
    const std::int64_t rows = std::min(row_group_, item.rows - row);
    if (item.sees->keys(item.first_query + row, rows).empty())
      std::fill_n(t.o + row * o_stride_, rows * o_stride_, 0.0f);
  }
}

/// Prefetch of the block of panels after first_key's. A product of some of the item's rows fetches
/// as large a share of it, spread over the register tiles of its `columns` columns.
Prefetch FlashForward::next_block(const Item& item, const float* panels, std::int64_t key_words,
                                  std::int64_t row, std::int64_t rows, std::int64_t first_key,
                                  std::int64_t columns) const {
  const std::int64_t next = first_key + kv_block_;
  const std::int64_t keys = std::min(kv_block_, item.sees->kept().count() - next);
  if (keys <= 0) return {};
  const std::int64_t from = keys * row / item.rows, to = keys * (row + rows) / item.rows;
  const std::int64_t tiles = blocks(rows, ops.rows) * blocks(columns, ops.cols);
  return {reinterpret_cast<const std::byte*>(panels + (next + from) * key_words),
          blocks((to - from) * key_words * 4, tiles)};
}

/// What becomes of the products of a group of rows with a block of keys.
ScoreRow FlashForward::score_rows(const Item& item, const Tiles& t, std::int64_t row,
                                  std::int64_t rows, const KeyTile& tile) const {
  const PhaseTimer timer(bias_.wanted() ? item.profile : nullptr, item.thread, kP,
                         bias_.cost(rows, tile.count));
  const std::int64_t query = item.first_query + row;
  const BiasRows bias = bias_.load(*item.io->in, item.b, item.h, query, rows,
                                   item.sees->kept().rows().from(tile.first), tile.count, t.bias);
  return item.score.row(*item.io->in, item.b, item.h, item.sees->own_key(query),
                        positions_.of(item.b, tile.first), bias);
}

/// P = 2^(factor·(QKᵀ - max)) of one tile and the sums of its rows, fused into the product. max is
/// what earlier keys left (for the first ones a guess): with it P is right to rounding, as long as
/// no sum exceeds kLargestSum or, for the first keys, is below kSmallestSum. Where one is, the tile
/// is computed again with its true maximum, and O is rescaled.
void FlashForward::compute_p(const Item& item, const Tiles& t, std::int64_t row, std::int64_t rows,
                             const KeyTile& tile) const {
  const std::int64_t first_key = tile.first, keys = tile.count;
  const MatrixA q = {item.q.data + row * item.q.row, item.q.row, 1};
  const MatrixB k = {item.k_panels + first_key * k_key_, ops.cols, k_key_ * ops.cols};
  const MatrixC s = {t.s, s_stride_};
  float* sum = t.sum + row * ops.lanes;
  const ScoreRow score = score_rows(item, t, row, rows, tile);
  if (item.share == 1.0f && !tile.is_mixed) {
    const PhaseTimer timer(item.profile, item.thread, kP,
                           product_to_operands(rows, keys, shape.d, tile.pairs.elements));
    const Prefetch prefetch = next_block(item, item.k_panels, k_key_, row, rows, first_key, keys);
    if (ops.gemm_exp2(
            rows, keys, k_key_, q, k, s,
            {t.max + row, t.block_sum, item.score.factor, tile.rows.seen(), nullptr, score},
            prefetch) &&
        (!tile.is_first || item.score.first_keys_mislead() || large_enough(t.block_sum, rows))) {
      ops.row_add(sum, t.block_sum, rows * ops.lanes);
      return;
    }
  }
  const PhaseTimer timer(item.profile, item.thread, kNewMax,
                         product(rows, keys, shape.d, Write::kStore) + touch(2 * rows * keys));
  ops.gemm(rows, keys, k_key_, q, k, s, Write::kStore, {});
  if (tile.is_first) std::fill_n(t.max + row, rows, -kInf);
  for (std::int64_t i = 0; i < rows; ++i) {
    float* s_row = t.s + i * s_stride_;
    absorb_row(ops,
               {t.max[row + i], item.score.factor, sum + i * ops.lanes, ops.lanes,
                t.o + (row + i) * o_stride_, score.at(i, 0)},
               shape.d_v(), s_row, keys, tile.rows[i].begin, tile.rows[i].end);
    if (item.share != 1.0f) ops.row_scale(s_row, keys, item.share);
    ops.row_to_operand(s_row, keys);
  }
}

/// No row's guess of the maximum was so high that its P underflows.
bool FlashForward::large_enough(const float* sums, std::int64_t rows) const {
  for (std::int64_t r = 0; r < rows; ++r, sums += ops.lanes)
    if (std::none_of(sums, sums + ops.lanes, [](float sum) { return sum > kSmallestSum; }))
      return false;
  return true;
}

void FlashForward::accumulate_o(const Item& item, const Tiles& t, std::int64_t row,
                                std::int64_t rows, const KeyTile& tile) const {
  const std::int64_t first_key = tile.first, keys = tile.count;
  const Write write = tile.is_first ? Write::kStore : Write::kAdd;
  const PhaseTimer timer(item.profile, item.thread, kAccumulate,
                         product(rows, shape.d_v(), keys, write, tile.pairs.by_row));
  const Prefetch prefetch =
      values_in_place_ ? Prefetch{}
                       : next_block(item, item.v_panels, v_key_, row, rows, first_key, shape.d_v());
  ops.gemm(rows, shape.d_v(), ops.words(keys), {t.s, s_stride_, 1, tile.rows.seen()},
           values(item, first_key), {t.o + row * o_stride_, o_stride_}, write, prefetch);
}

}  // namespace flashbench::cpu
