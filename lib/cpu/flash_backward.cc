#include "cpu/flash_backward.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "system/interrupt.h"

namespace flashbench::cpu {
namespace {

// Chosen among the settings in the README's table. In f32 the rows of Q, dO and K serve both as A
// and, with their stride, as B operands: packing panels of them as well costs 8 to 14 %.
struct Blocks {
  std::int64_t queries, keys;
};
constexpr Blocks kNarrowHead = {96, 192};
constexpr Blocks kWideHead = {192, 384};
constexpr Blocks kWidestHead = {192, 192};  ///< K, V, dK and dV of more keys would be beyond L2
constexpr std::int64_t kNarrowUpTo = 128, kWideUpTo = 256;
/// Rows of f32 so short that a block of them has enough sets of L1 are operands where they lie.
constexpr std::int64_t kInPlaceUpTo = 64;

constexpr Blocks blocks_of(const Shape& s) {
  const std::int64_t d = s.widest_d();
  return d <= kNarrowUpTo ? kNarrowHead : d <= kWideUpTo ? kWideHead : kWidestHead;
}

/// Keys of a work item; fewer where there would be less than four items a thread.
std::int64_t choose_kv_block(const Shape& s, const TileOps& ops, int threads) {
  const std::int64_t per_thread = blocks(s.h_kv * s.keys(), 4 * threads);
  return std::min(round_up(std::min(per_thread, blocks_of(s).keys), ops.cols),
                  round_up(s.kv_len, ops.cols));
}

std::vector<FlashBackward::KeyBlock> key_blocks_of(const Shape& s, std::int64_t kv_block) {
  const std::vector<std::int64_t> elements = elements_with_queries(s);
  std::int64_t count = 0;
  for (const std::int64_t b : elements) count += s.h_kv * blocks(s.kv_len_of(b), kv_block);
  std::vector<FlashBackward::KeyBlock> all;
  all.reserve(static_cast<std::size_t>(count));
  for (const std::int64_t b : elements)
    for (std::int64_t h = 0; h < s.h_kv; ++h)
      for (std::int64_t block = 0; block < blocks(s.kv_len_of(b), kv_block); ++block)
        all.push_back({b, h, block});
  return all;
}

/// Where the blocks of queries of each sequence begin, as rows do; nothing of other batches.
std::vector<std::int64_t> first_blocks(const Shape& s, std::int64_t q_block) {
  if (s.sequences == nullptr) return {};
  std::vector<std::int64_t> first = {0};
  for (std::int64_t b = 0; b < s.b; ++b)
    first.push_back(first.back() + blocks(s.q_len_of(b), q_block));
  return first;
}

}  // namespace

static_assert(std::max({kNarrowHead.queries, kWideHead.queries, kWidestHead.queries}) <=
              FlashBackward::kMaxQBlock);

FlashBackward::FlashBackward(const Problem& p, const Execution& e, const RowMaxima& maxima)
    : FlashBackward(p, e, tile_ops(e.isa, p.dtype), maxima) {}

FlashBackward::FlashBackward(const Problem& p, const Execution& e, const TileOps& operations,
                             const RowMaxima& maxima)
    : AttentionPass(p, e, operations),
      q_block_(std::min(blocks_of(shape).queries, round_up(shape.q_len, ops.rows))),
      kv_block_(choose_kv_block(shape, ops, threads)),
      q_blocks_(blocks(shape.q_len, q_block_)),
      first_block_(first_blocks(shape, q_block_)),
      key_blocks_(key_blocks_of(shape, kv_block_)),
      d_stride_(tile_stride(shape.d)),
      v_stride_(tile_stride(shape.d_v())),
      q_stride_(tile_stride(ops.words(shape.d))),
      do_stride_(tile_stride(ops.words(shape.d_v()))),
      p_stride_(tile_stride(kv_block_)),
      f32_ops_(tile_ops(e.isa)),
      score_(p),
      rows_in_place_(p.dtype == Dtype::kF32 && !pairs() && shape.widest_d() <= kInPlaceUpTo &&
                     shape.d % ops.lanes == 0 && shape.d_v() % ops.lanes == 0),
      positions_(p, ops),
      bias_(p, e, q_block_, kv_block_, BiasTile::Keys::kKept),
      maxima_(maxima),
      sink_gradient_(p),
      in_order_(e.deterministic),
      bias_gradient_(p, e, q_block_, kv_block_),
      accumulator_(query_block_dims().all_rows(), e.deterministic),
      dq_stride_(round_up(shape.d, ops.lanes)) {}

FlashBackward::Tiles FlashBackward::carve(Carver& carver) const {
  Tiles t{};
  t.k_t = carver.take(kv_block_ * ops.words(shape.d));
  t.v_t = carver.take(kv_block_ * ops.words(shape.d_v()));
  t.k_b = carver.take(rows_b_floats(kv_block_, shape.d));
  t.dk = carver.take(kv_block_ * d_stride_);
  t.dv = carver.take(kv_block_ * v_stride_);
  t.q = carver.take(packed_queries() * q_stride_);
  t.d_o = carver.take(packed_queries() * do_stride_);
  t.q_b = pairs() ? carver.take(rows_b_floats(q_block_, shape.d)) : t.q;
  t.d_o_b = pairs() ? carver.take(rows_b_floats(q_block_, shape.d_v())) : t.d_o;
  t.o_row = carver.take(v_stride_);
  t.p = carver.take(ops.words(q_block_) * p_stride_);
  t.p_sum = carver.take(q_block_ * ops.lanes);
  t.ds_rows = carver.take(ops.words(q_block_) * p_stride_);
  t.ds = pairs() ? carver.take(q_block_ * p_stride_) : t.ds_rows;
  t.slope = score_.cap > 0 ? carver.take(q_block_ * p_stride_) : nullptr;
  t.bias = bias_.carve(carver);
  return t;
}

std::int64_t FlashBackward::rows_b_floats(std::int64_t n, std::int64_t d) const {
  return pairs() ? ops.words(n) * round_up(d, ops.cols) : n * tile_stride(d);
}

MatrixB FlashBackward::in_place(const RowSource& rows) const {
  return {static_cast<const float*>(rows.base), rows.row_stride, ops.cols};
}

MatrixB FlashBackward::rows_b(const float* data, std::int64_t n, std::int64_t d) const {
  if (pairs()) return {data, ops.cols, ops.words(n) * ops.cols};
  return {data, tile_stride(d), ops.cols};
}

std::size_t FlashBackward::workspace_bytes() const {
  Carver sizes;
  carve(sizes);
  const std::int64_t queries = shape.lse_dims().count();
  return (2 * floats(queries) + floats(queries * dq_stride_)) * sizeof(float) +
         key_blocks_.size() * sizeof(KeyBlock) + sink_gradient_.bytes() + bias_gradient_.bytes() +
         positions_.bytes() + SharedAccumulator::bytes(query_block_dims().all_rows(), in_order_) +
         static_cast<std::size_t>(threads) * sizes.bytes();
}

void FlashBackward::allocate() {
  const std::int64_t queries = shape.lse_dims().count();
  rows_ = Buffer((2 * floats(queries) + floats(queries * dq_stride_)) * sizeof(float));
  Carver pieces(rows_.as<float>());
  delta_ = pieces.take(queries);
  delta_low_ = pieces.take(queries);
  dq_ = pieces.take(queries * dq_stride_);
  Carver sizes;
  carve(sizes);
  for (int t = 0; t < threads; ++t) tiles_.emplace_back(sizes.bytes());
  sink_gradient_.allocate();
  bias_gradient_.allocate();
  positions_.allocate();
  accumulator_.reset();
}

double FlashBackward::flop_executed(const std::vector<Visibility>& sees) const {
  double products = 0;
  for (const Visibility& v : sees)
    for (std::int64_t key = 0; key < v.kept().count(); key += kv_block_) {
      const std::int64_t keys = std::min(kv_block_, v.kept().count() - key);
      const QueryBlocks see = query_blocks(v, key, keys);
      for (std::int64_t block = see.begin; block < see.end; ++block) {
        const ComputedPairs tile = query_tile(v, 0, block, key, keys, true).pairs;
        products += static_cast<double>((shape.d + shape.d_v()) * (tile.elements + tile.by_column) +
                                        shape.d * tile.by_row);
      }
    }
  return 2.0 * static_cast<double>(shape.h) * products;
}

FlashBackward::QueryBlocks FlashBackward::query_blocks(const Visibility& v, std::int64_t first,
                                                       std::int64_t keys) const {
  // Neither end of the keys that a block of queries sees falls from block to block, so the blocks
  // that see some of these keys are consecutive.
  std::int64_t begin = v.queries(first).begin / q_block_, end = blocks(v.q_len(), q_block_);
  while (begin > 0 && keys_of(v, begin - 1).end > first) --begin;
  while (begin < end && keys_of(v, begin).end <= first) ++begin;
  while (begin < end && keys_of(v, end - 1).begin >= first + keys) --end;
  return {begin, end};
}

/// What a block of queries sees of the keys [first_key, first_key + keys). `count`: with its pairs.
FlashBackward::QueryTile FlashBackward::query_tile(const Visibility& v, std::int64_t h,
                                                   std::int64_t block, std::int64_t first_key,
                                                   std::int64_t keys, bool count) const {
  const std::int64_t first = block * q_block_, rows = std::min(q_block_, v.q_len() - first);
  const std::int64_t columns = std::min(keys, keys_of(v, block).end - first_key);
  QueryTile tile = {h, block, first, rows, columns, {v, first, rows, first_key, columns}};
  if (count) tile.pairs = computed_pairs(ops, tile.sees.seen(), rows, columns);
  return tile;
}

std::vector<std::string> FlashBackward::phases() const {
  return {"D = rowsum(dO O)",     "pack K, V",           "load Q, dO",
          "P = exp(Q K^T - LSE)", "dS = P (dO V^T - D)", "dV += P^T dO",
          "dK += dS^T Q",         "dQ += dS K",          "store dK, dV, dQ"};
}

std::vector<std::size_t> FlashBackward::phase_bytes() const {
  const std::int64_t queries = shape.lse_dims().count();
  const auto per_thread = static_cast<std::size_t>(threads) * sizeof(float);
  const std::size_t dscores = floats(ops.words(q_block_) * p_stride_);
  const std::size_t copies = pairs() ? 1 : 0;  // of operands that f32 does not need twice
  return {
      2 * floats(queries) * sizeof(float) + sink_gradient_.bytes() + positions_.bytes() +
          per_thread * floats(v_stride_),
      per_thread *
          (floats(kv_block_ * ops.words(shape.d)) + floats(kv_block_ * ops.words(shape.d_v())) +
           floats(rows_b_floats(kv_block_, shape.d))),
      per_thread * (floats(packed_queries() * q_stride_) + floats(packed_queries() * do_stride_) +
                    copies * (floats(rows_b_floats(q_block_, shape.d)) +
                              floats(rows_b_floats(q_block_, shape.d_v())))),
      per_thread * (floats(ops.words(q_block_) * p_stride_) + floats(q_block_ * ops.lanes) +
                    (score_.cap > 0 ? floats(q_block_ * p_stride_) : 0) + floats(bias_.floats())),
      per_thread * (dscores + copies * floats(q_block_ * p_stride_)) + bias_gradient_.bytes(),
      per_thread * floats(kv_block_ * v_stride_),
      per_thread * floats(kv_block_ * d_stride_),
      floats(queries * dq_stride_) * sizeof(float) +
          SharedAccumulator::bytes(query_block_dims().all_rows(), in_order_),
      0};
}

FlashBackward::Tiles FlashBackward::tiles_of(int thread) {
  Carver carver(tiles_[static_cast<std::size_t>(thread)].as<float>());
  return carve(carver);
}

void FlashBackward::run(const Operands& io, const std::vector<Visibility>& sees,
                        const PassPart& part, PhaseProfile* profile) {
  accumulator_.reset();
  positions_.load(sees);
  bias_gradient_.start([&](std::int64_t b, std::int64_t block) {
    const Visibility& v = sees[static_cast<std::size_t>(b)];
    const std::int64_t first = block * kv_block_;
    const std::int64_t keys = std::min(kv_block_, v.kept().count() - first);
    return keys > 0 ? query_blocks(v, first, keys) : QueryBlocks{0, 0};
  });
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    const Tiles tiles = tiles_of(thread);
    if (part.sums == nullptr) begin_rows(io, tiles, profile, thread);
    begin_keys(io, sees, part, profile, thread);  // ends in a barrier
    // Head by head, so that its Q and dO stay in the caches; within a head the first key blocks
    // first: under a causal mask they are seen by the most queries, and short items at the end even
    // out what the threads have left.
#pragma omp for schedule(monotonic : dynamic, 1)
    for (std::size_t i = 0; i < key_blocks_.size(); ++i) {
      const auto& [b, kv_head, block] = key_blocks_[i];
      const Visibility& v = sees[static_cast<std::size_t>(b)];
      const std::int64_t keys = std::min(kv_block_, v.kept().count() - block * kv_block_);
      if (keys > 0)
        compute_key_block(
            {&io, &v, b, kv_head, block, block * kv_block_, keys, profile, thread, &part}, tiles);
    }
    if (part.sums == nullptr) end_rows(io, profile, thread);
  }
}

/// Algorithm 2 for one block of keys: everything that these keys take part in.
void FlashBackward::compute_key_block(Item item, const Tiles& t) {
  const std::int64_t d = shape.d, d_v = shape.d_v();
  {
    const PhaseTimer timer(item.profile, item.thread, kPack,
                           convert(item.keys * (2 * d + d_v)) + touch(item.keys * (d + d_v)));
    const KeptKeys& kept = item.sees->kept();
    const Inputs& in = *item.io->in;
    const std::int64_t first_row = item.part->first_key;
    const RowSource k = key_rows(in, in.k, item.b, item.kv_head, kept, item.first_key, first_row);
    const RowSource v = key_rows(in, in.v, item.b, item.kv_head, kept, item.first_key, first_row);
    ops.pack_panels_transposed(k, item.keys, d, score_.sign, t.k_t);
    ops.pack_panels_transposed(v, item.keys, d_v, 1.0f, t.v_t);
    item.k_b = load_rows_b(k, item.keys, d, t.k_b);
    std::fill_n(t.dk, item.keys * d_stride_, 0.0f);
    std::fill_n(t.dv, item.keys * v_stride_, 0.0f);
    if (item.part->sums != nullptr) load_dk_dv(item, t);
  }
  const QueryBlocks see = query_blocks(*item.sees, item.first_key, item.keys);
  const std::int64_t count = see.end - see.begin, group = shape.group();
  const bool heads_first = bias_gradient_.heads_before_queries();
  for (std::int64_t j = 0; j < group * count && !interrupted(); ++j) {
    const std::int64_t g = heads_first ? j % group : j / count;
    const std::int64_t i = heads_first ? j / group : j % count;
    // Threads begin with different blocks of queries, so that they do not queue for the lock of
    // one block of dQ. Deterministic: all in the same order, each one step behind the key block
    // before it.
    const std::int64_t apart = item.key_block * std::max<std::int64_t>(1, count / threads);
    const std::int64_t block = see.begin + (in_order_ ? i : (i + apart) % count);
    const QueryTile q = query_tile(*item.sees, item.kv_head * group + g, block, item.first_key,
                                   item.keys, item.profile != nullptr);
    const QueryOperands in = load_queries(item, q, t);
    compute_p_and_ds(item, q, in, t);
    item.part->poll_from(item.thread);
    add_bias_gradient(item, q, t);
    add_gradients(item, q, in, t);
    item.part->poll_from(item.thread);
  }
  store_dk_dv(item, t);
}

FlashBackward::QueryOperands FlashBackward::load_queries(const Item& item, const QueryTile& q,
                                                         const Tiles& t) const {
  const std::int64_t d = shape.d, d_v = shape.d_v();
  const std::int64_t first = item.part->first_query + q.first;
  const RowSource queries = rows_of(item.io->in->q, item.b, q.h, first);
  const RowSource d_o = rows_of(item.io->in->d_o, item.b, q.h, first);
  if (rows_in_place_) {
    const MatrixB q_b = in_place(queries), d_o_b = in_place(d_o);
    return {{q_b.data, q_b.row, 1}, {d_o_b.data, d_o_b.row, 1}, q_b, d_o_b};
  }
  const PhaseTimer timer(item.profile, item.thread, kLoadQ,
                         convert((pairs() ? 2 : 1) * q.rows * (d + d_v)));
  ops.pack_rows(queries, q.rows, d, 1.0f, t.q, q_stride_);
  ops.pack_rows(d_o, q.rows, d_v, 1.0f, t.d_o, do_stride_);
  if (pairs()) {
    ops.pack_panels(queries, q.rows, d, t.q_b, 0, q.rows);
    ops.pack_panels(d_o, q.rows, d_v, t.d_o_b, 0, q.rows);
  }
  return {{t.q, q_stride_, 1},
          {t.d_o, do_stride_, 1},
          rows_b(t.q_b, q.rows, d),
          rows_b(t.d_o_b, q.rows, d_v)};
}

/// The B operand of a product that sums over these n rows of d elements.
MatrixB FlashBackward::load_rows_b(const RowSource& src, std::int64_t n, std::int64_t d,
                                   float* tile) const {
  if (rows_in_place_ && src.position == nullptr) return in_place(src);
  if (pairs())
    ops.pack_panels(src, n, d, tile, 0, n);
  else
    ops.pack_rows(src, n, d, 1.0f, tile, tile_stride(d));
  return rows_b(tile, n, d);
}

/// P = exp(S - LSE), as 2^(factor·(QKᵀ - max) - log_sum), and dS = P∘(dP - D) of one tile,
/// under a soft cap times its slope.
void FlashBackward::compute_p_and_ds(const Item& item, const QueryTile& q, const QueryOperands& in,
                                     const Tiles& t) const {
  const std::int64_t words = ops.words(shape.d), v_words = ops.words(shape.d_v());
  const std::int64_t row = query_row(item, q);
  const MatrixC slope = {t.slope, p_stride_};
  const DscoresSlope slope_of_ds = {slope, {keeps_dscores() ? t.bias : nullptr, p_stride_}};
  {
    const PhaseTimer timer(item.profile, item.thread, kP,
                           product_to_operands(q.rows, q.keys, shape.d, q.pairs.elements) +
                               slope_cost(q) + bias_.cost(q.rows, q.keys));
    const BiasRows bias = bias_.load(*item.io->in, item.b, q.h, q.first, q.rows,
                                     item.sees->kept().rows().from(item.first_key), q.keys, t.bias);
    const ScoreRow score = score_.row(*item.io->in, item.b, q.h, item.sees->own_key(q.first),
                                      positions_.of(item.b, item.first_key), bias);
    ops.gemm_exp2_rows(q.rows, q.keys, words, in.q, {t.k_t, ops.cols, words * ops.cols},
                       {t.p, p_stride_},
                       {maxima_.max() + row, t.p_sum, score_.factor, q.sees.seen(),
                        maxima_.log_sum() + row, score, slope},
                       {});
  }
  const PhaseTimer timer(
      item.profile, item.thread, kDs,
      product_to_operands(q.rows, q.keys, shape.d_v(), q.pairs.elements, pairs() ? 2 : 1) +
          touch(q.rows * (ops.words(q.keys) + (keeps_dscores() ? q.keys : 0))) + slope_cost(q));
  ops.gemm_dscores(q.rows, q.keys, v_words, in.d_o, {t.v_t, ops.cols, v_words * ops.cols},
                   {t.ds, p_stride_}, {t.ds_rows, p_stride_}, t.p, {delta_ + row, delta_low_ + row},
                   q.sees.seen(), slope_of_ds);
}

/// dV += Pᵀ·dO; dK += dSᵀ·Q; dQ += dS·K. The softmax scale is applied when dK and dQ are stored.
void FlashBackward::add_gradients(const Item& item, const QueryTile& q, const QueryOperands& in,
                                  const Tiles& t) {
  const std::int64_t d = shape.d, d_v = shape.d_v();
  const std::int64_t block = query_block_dims().index(item.b, q.h, q.block, 0);
  float* dq = dq_ + query_row(item, q) * dq_stride_;
  {
    const PhaseTimer timer(item.profile, item.thread, kDv,
                           product(q.keys, d_v, q.rows, Write::kAdd, q.pairs.by_column));
    ops.gemm(q.keys, d_v, ops.words(q.rows), {t.p, 1, p_stride_, q.sees.seen()}, in.d_o_b,
             {t.dv, v_stride_}, Write::kAddShortSums, {});
  }
  {
    const PhaseTimer timer(item.profile, item.thread, kDk,
                           product(q.keys, d, q.rows, Write::kAdd, q.pairs.by_column));
    ops.gemm(q.keys, d, ops.words(q.rows), {t.ds_rows, 1, p_stride_, q.sees.seen()}, in.q_b,
             {t.dk, d_stride_}, Write::kAdd, {});
  }
  const PhaseTimer timer(item.profile, item.thread, kDq,
                         product(q.rows, d, q.keys, Write::kAdd, q.pairs.by_row));
  accumulator_.contribute(block, item.key_block, [&] {
    ops.gemm(q.rows, d, ops.words(q.keys), {t.ds, p_stride_, 1, q.sees.seen()}, item.k_b,
             {dq, dq_stride_}, Write::kAdd, {});
  });
}

}  // namespace flashbench::cpu
