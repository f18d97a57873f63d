#pragma once

#include "cpu/attention_pass.h"
#include "cpu/bias_tile.h"
#include "cpu/head_pipeline.h"
#include "cpu/key_positions.h"
#include "cpu/pass_part.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// FlashAttention-2, Algorithm 1: a block of queries at a time, online softmax over blocks of keys,
/// O normalised once at the end. Work item: one block of queries of one head.
class FlashForward final : public AttentionPass {
 public:
  static constexpr std::int64_t kMaxRowGroup = 48;

  /// `maxima`: where to keep what a backward needs; null where none follows.
  FlashForward(const Problem& p, const Execution& e, RowMaxima* maxima = nullptr);
  /// With the operations of any table: f32 words, or pairs of bf16.
  FlashForward(const Problem& p, const Execution& e, const TileOps& operations, RowMaxima* maxima)
      : FlashForward(p, e, operations, maxima, elements_with_queries(p.shape)) {}
  /// `elements`: the batch elements that it works on, in the order in which they are begun.
  FlashForward(const Problem& p, const Execution& e, const TileOps& operations, RowMaxima* maxima,
               std::vector<std::int64_t> elements);

  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees,
           PhaseProfile* profile) override {
    run(io, sees, {}, profile);
  }

  /// A part of the problem, of at most as many queries and keys: from part.state to part.state.
  void run(const Operands& io, const std::vector<Visibility>& sees, const PassPart& part,
           PhaseProfile* profile);
  /// After the last part: from `state` to Outputs, and to the maxima.
  void finish_state(const Operands& io, RowState& state, PhaseProfile* profile);

 private:
  // The maximum that is assumed for a row before its first block of keys: any guess within f32's
  // range of exponents gives the same result. A true maximum that is, in units of log 2, up to 16
  // more keeps sums below kLargestSum; one of 64 less leaves 2^62 between the largest P and the
  // smallest normal number. Beyond that the block is computed again with its true maximum. Logits
  // of variance 1 reach 7.
  static constexpr float kFirstMax = 0.0f, kSmallestSum = 0x1p-64f;

  enum Phase : std::size_t { kPack, kLoadQ, kP, kNewMax, kAccumulate, kStore };

  /// A thread's own tiles.
  struct Tiles {
    float* q;          ///< [q_block][q_stride], with the sign of the scale; words; or read in place
    float* o;          ///< [q_block][o_stride], not yet normalised
    float* s;          ///< [row_group][s_stride]: scores in f32, then P in words
    float* max;        ///< [q_block], of the products q·k
    float* sum;        ///< [q_block][lanes]: the sum of a row is that of its lanes
    float* block_sum;  ///< [row_group][lanes]: of one block of keys
    float* bias;       ///< of row_group and a block of keys; null without one
  };
  struct Item {
    const Operands* io;
    const Visibility* sees;
    std::int64_t b, h, first_query, rows;
    float* k_panels;  ///< [keys / cols][words(d)][cols]
    float* v_panels;  ///< [keys / kv_block][d / cols][words(kv_block)][cols], the last one shorter
    PhaseProfile* profile;
    int thread;
    const PassPart* part;
    ScoreFactor score;  ///< of the head
    MatrixA q = {};     ///< rows of Q: in the thread's tile, or where they lie
    /// What P is multiplied by until O is stored; less than 1 where P·V would overflow.
    float share = 1.0f;
  };

  /// Of a block of keys, what is computed for a group of rows.
  struct KeyTile {
    std::int64_t first, count;
    bool is_first;  ///< the first keys that the group sees: its maximum is a guess
    TileRows<kMaxRowGroup> rows;
    ComputedPairs pairs = {};  ///< where a profile or a count of FLOP asks for them
    bool is_mixed = false;     ///< first keys for some rows of the group, but not for all
  };

  /// What the keys of a row left.
  struct RowKeys {
    float max, sum;
    float share;  ///< what O is multiplied by
    float* o;
  };

  std::vector<HeadPipeline::Head> heads() const;
  std::size_t k_floats(std::int64_t b) const;  ///< of the panels of K of a head
  std::size_t v_floats(std::int64_t b) const;
  Tiles carve(Carver& carver) const;
  std::int64_t q_floats() const { return queries_in_place_ ? 0 : q_block_ * q_stride_; }
  /// The first key of the block of keys in which a range begins.
  std::int64_t block_start(KeyRange keys) const { return keys.begin / kv_block_ * kv_block_; }
  template <typename Visit>
  void for_tiles(const Visibility& sees, std::int64_t first_query, std::int64_t queries, bool count,
                 Visit&& visit) const;
  void pack(const Item& item, std::int64_t first_key) const;
  void attend(Item item, const Tiles& t) const;
  void stream_keys(const Item& item, const Tiles& t) const;
  bool overflowed(const Item& item, const Tiles& t) const;
  bool underflowed(const Item& item, const Tiles& t) const;
  MatrixA load_queries(const Item& item, const Tiles& t) const;
  MatrixB values(const Item& item, std::int64_t first_key) const;
  void reset(const Item& item, const Tiles& t) const;
  /// Of a part: it has no such queries, or these see none of its keys.
  bool goes_on_unchanged(const Item& item) const {
    return item.part->state != nullptr &&
           (item.rows <= 0 || item.sees->keys(item.first_query, item.rows).empty());
  }
  std::int64_t state_row(const Item& item, std::int64_t row) const;
  void load_state(const Item& item, const Tiles& t) const;
  void store_state(const Item& item, const Tiles& t) const;
  void begin_group(const Tiles& t, std::int64_t row, std::int64_t rows, KeyTile& tile) const;
  float largest_sum(const Item& item) const;
  Prefetch next_block(const Item& item, const float* panels, std::int64_t key_words,
                      std::int64_t row, std::int64_t rows, std::int64_t first_key,
                      std::int64_t columns) const;
  ScoreRow score_rows(const Item& item, const Tiles& t, std::int64_t row, std::int64_t rows,
                      const KeyTile& tile) const;
  void compute_p(const Item& item, const Tiles& t, std::int64_t row, std::int64_t rows,
                 const KeyTile& tile) const;
  bool large_enough(const float* sums, std::int64_t rows) const;
  void accumulate_o(const Item& item, const Tiles& t, std::int64_t row, std::int64_t rows,
                    const KeyTile& tile) const;
  void finish(const Item& item, const Tiles& t) const;
  void finish_carried(const Item& item, const Tiles& t) const;
  template <typename KeysOf>
  void finish_rows(const Item& item, KeysOf&& keys_of) const;

  std::vector<std::int64_t> elements_;
  std::int64_t q_block_, kv_block_, row_group_;
  std::int64_t q_stride_, o_stride_, s_stride_;
  std::int64_t k_key_, v_key_;  ///< words that a key takes in the panels of K, of V
  ScoreFactor score_;
  /// Q are f32 that need no other sign, in rows so short that they lie in sets of L1 of their own.
  bool queries_in_place_;
  bool values_in_place_;
  KeyPositions positions_;
  BiasTile bias_;
  RowMaxima* maxima_;
  HeadPipeline pipeline_;
  Buffer packed_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
