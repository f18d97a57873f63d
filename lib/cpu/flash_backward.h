#pragma once

#include "cpu/attention_pass.h"
#include "cpu/bias_gradient.h"
#include "cpu/bias_tile.h"
#include "cpu/key_positions.h"
#include "cpu/pass_part.h"
#include "cpu/shared_accumulator.h"
#include "cpu/sink_gradient.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// FlashAttention-2, Algorithm 2: the outer loop is over blocks of keys, whose dK and dV a thread
/// accumulates alone, the inner one over the blocks of queries that see them, to whose dQ it adds;
/// P is recomputed from the maximum and the sum of each row. Work item: one block of keys of one
/// K/V head, with all query heads of its group.
class FlashBackward final : public AttentionPass {
 public:
  static constexpr std::int64_t kMaxQBlock = 192;

  /// What a work item is: a block of keys of a K/V head.
  struct KeyBlock {
    std::int64_t b, kv_head, block;
  };

  /// `maxima`: what the forward kept. Its products are summed in the same order as here, so that P
  /// comes out the same.
  FlashBackward(const Problem& p, const Execution& e, const RowMaxima& maxima);
  /// With the operations of any table: f32 words, or pairs of bf16.
  FlashBackward(const Problem& p, const Execution& e, const TileOps& operations,
                const RowMaxima& maxima);

  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees,
           PhaseProfile* profile) override {
    run(io, sees, {}, profile);
  }

  /// D and dQ = 0, for all parts.
  void begin(const Operands& io, PhaseProfile* profile);
  /// A part of the problem, of at most as many queries and keys: adds to dQ and to part.sums.
  void run(const Operands& io, const std::vector<Visibility>& sees, const PassPart& part,
           PhaseProfile* profile);
  /// After the last part: stores dQ and dsinks.
  void end(const Operands& io, PhaseProfile* profile);
  /// Stores rows `keys` of dK and dV, which rows [sums.first, ...) are the sums of.
  void store_keys(const KeySums& sums, RowRange keys, Outputs& out);

 private:
  enum Phase : std::size_t { kRows, kPack, kLoadQ, kP, kDs, kDv, kDk, kDq, kStore };

  /// A thread's own tiles: operands in the table's words; dK and dV in f32. A operands are rows. B
  /// operands are panels (TileOps), except that an f32 operand that is summed over rows is those
  /// rows, read with their stride.
  struct Tiles {
    float* k_t;      ///< Kᵀ panels [keys / cols][words(d)][cols], with the sign of the scale
    float* v_t;      ///< Vᵀ panels
    float* k_b;      ///< K, summed over keys
    float* dk;       ///< [kv_block][d_stride]
    float* dv;       ///< [kv_block][v_stride]
    float* q;        ///< [q_block][q_stride], rows of Q
    float* d_o;      ///< [q_block][do_stride], rows of dO
    float* o_row;    ///< a row of O in f32
    float* q_b;      ///< Q, summed over queries
    float* d_o_b;    ///< dO, likewise
    float* p;        ///< [words(q_block)][p_stride], P summed over queries
    float* p_sum;    ///< [q_block][lanes]: gemm_exp2_rows writes it; nothing reads it
    float* ds;       ///< [q_block][p_stride], dS summed over keys
    float* ds_rows;  ///< [words(q_block)][p_stride], dS summed over queries
    float* slope;    ///< [q_block][p_stride], of the soft cap; null without one
    float* bias;     ///< [q_block][p_stride], then dS before the slope; null without a bias
  };
  struct Item {
    const Operands* io;
    const Visibility* sees;
    std::int64_t b, kv_head, key_block, first_key, keys;
    PhaseProfile* profile;
    int thread;
    const PassPart* part;
    MatrixB k_b = {};  ///< K, summed over keys
  };
  /// Rows of Q and dO of a tile as operands: in the thread's tiles, or where they lie.
  struct QueryOperands {
    MatrixA q, d_o;
    MatrixB q_b, d_o_b;  ///< summed over queries
  };

  /// A block of queries of one head; of the item's keys its rows see none beyond the first `keys`.
  struct QueryTile {
    std::int64_t h, block, first, rows, keys;
    TileRows<kMaxQBlock> sees;
    ComputedPairs pairs = {};  ///< where a profile or a count of FLOP asks for them
  };
  /// Blocks of queries [begin, end).
  struct QueryBlocks {
    std::int64_t begin, end;
  };

  Tiles carve(Carver& carver) const;
  QueryTile query_tile(const Visibility& v, std::int64_t h, std::int64_t block,
                       std::int64_t first_key, std::int64_t keys, bool count) const;
  bool pairs() const { return ops.per_word > 1; }
  /// The B operand of a product that sums over n rows of d elements, and its size in floats.
  std::int64_t rows_b_floats(std::int64_t n, std::int64_t d) const;
  std::int64_t packed_queries() const { return rows_in_place_ ? 0 : q_block_; }
  MatrixB in_place(const RowSource& rows) const;
  MatrixB rows_b(const float* data, std::int64_t n, std::int64_t d) const;
  Tiles tiles_of(int thread);
  void begin_rows(const Operands& io, const Tiles& t, PhaseProfile* profile, int thread);
  void begin_keys(const Operands& io, const std::vector<Visibility>& sees, const PassPart& part,
                  PhaseProfile* profile, int thread);
  const float* as_f32(const RowSource& src, float* copy) const;
  void compute_key_block(Item item, const Tiles& t);
  QueryOperands load_queries(const Item& item, const QueryTile& q, const Tiles& t) const;
  MatrixB load_rows_b(const RowSource& src, std::int64_t n, std::int64_t d, float* tile) const;
  void compute_p_and_ds(const Item& item, const QueryTile& q, const QueryOperands& in,
                        const Tiles& t) const;
  void add_bias_gradient(const Item& item, const QueryTile& q, const Tiles& t);
  /// Is dS in f32 before the slope none of the operands?
  bool keeps_dscores() const { return bias_gradient_.wanted() && (score_.cap > 0 || pairs()); }
  /// Slopes of a tile, written or read.
  PhaseCost slope_cost(const QueryTile& q) const {
    return touch(score_.cap > 0 ? q.rows * q.keys : 0);
  }
  void add_gradients(const Item& item, const QueryTile& q, const QueryOperands& in, const Tiles& t);
  void load_dk_dv(const Item& item, const Tiles& t) const;
  void store_dk_dv(const Item& item, const Tiles& t) const;
  void end_rows(const Operands& io, PhaseProfile* profile, int thread) const;
  /// The keys that some row of a block of queries sees.
  KeyRange keys_of(const Visibility& v, std::int64_t q_block) const {
    const std::int64_t first = q_block * q_block_;
    return v.keys(first, std::min(q_block_, v.q_len() - first));
  }
  /// The blocks of queries that see some of the keys [first, first + keys).
  QueryBlocks query_blocks(const Visibility& v, std::int64_t first, std::int64_t keys) const;
  /// A block of queries of a head, and all of them by number.
  Dims query_block_dims() const {
    return {shape.b, shape.h, q_blocks_, 1, first_block_.empty() ? nullptr : first_block_.data()};
  }
  std::int64_t query_row(std::int64_t b, std::int64_t h, std::int64_t q) const {
    return shape.lse_dims().index(b, h, q, 0);
  }
  std::int64_t query_row(const Item& item, const QueryTile& q) const {
    return query_row(item.b, q.h, item.part->first_query + q.first);
  }

  std::int64_t q_block_, kv_block_, q_blocks_;
  std::vector<std::int64_t> first_block_;  ///< of each sequence of a ragged batch; see Dims
  std::vector<KeyBlock> key_blocks_;       ///< in the order in which they are begun
  std::int64_t d_stride_, v_stride_, q_stride_, do_stride_, p_stride_;
  const TileOps& f32_ops_;  ///< for what is no product
  ScoreFactor score_;
  bool rows_in_place_;  ///< operands that are rows of f32 already
  KeyPositions positions_;
  BiasTile bias_;
  const RowMaxima& maxima_;
  SinkGradient sink_gradient_;
  bool in_order_;
  BiasGradient bias_gradient_;
  SharedAccumulator accumulator_;  ///< of dQ; turns are blocks of keys
  Buffer rows_;  ///< D per query, its two parts, then dQ in f32 [b, h, q_len][round_up(d, lanes)]
  float *delta_ = nullptr, *delta_low_ = nullptr, *dq_ = nullptr;
  std::int64_t dq_stride_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
