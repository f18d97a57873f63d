#pragma once

#include "cpu/attention_pass.h"
#include "cpu/bias_tile.h"
#include "cpu/key_positions.h"
#include "cpu/page_turns.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// The forward for few queries (decoding: one), bound by reading K and V once. The rows of all
/// query heads that share a K/V head are computed together. Nothing is packed: scores are dot
/// products of rows, and P·V reads the rows of V in place, in any dtype and through the padding
/// mask's row numbers; only where d is no multiple of the vector are rows copied to a tile and
/// padded. The keys of a head are split among work items, so that all threads read; a second step
/// combines their partial results by their maxima (Flash-Decoding).
class FlashDecode final : public AttentionPass {
 public:
  /// `elements`: the batch elements that it works on, in the order in which they are begun.
  FlashDecode(const Problem& p, const Execution& e, std::vector<std::int64_t> elements);

  /// Is this a better forward for a batch element than FlashForward by these operations?
  static bool suits(const Shape& shape, std::int64_t b, const TileOps& ops);

  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile) override;

 private:
  /// A thread's own tiles.
  struct Tiles {
    float* q;     ///< [rows][d_stride], scaled by scale·log2(e)
    float* s;     ///< [rows][s_stride]: scores, then P
    float* kv;    ///< [kv_block][d_stride]: rows of K, then of V, that do not end in a whole vector
    float* bias;  ///< of the queries of a head and a block of keys; null without one
  };
  /// The partial result of one split: sums over its keys, not yet normalised.
  struct Part {
    float* o;    ///< [rows][d_stride]
    float* max;  ///< [rows], in units of log 2
    float* sum;  ///< [rows]
  };
  struct Item {
    const Operands* io;
    const Visibility* sees;
    std::int64_t b, kv_head;
    std::int64_t rows;  ///< query heads of a group x queries
    std::int64_t first_key, last_key;
    PhaseProfile* profile;
    int thread;
    ScoreFactor score;  ///< of the head
    bool in_turns;      ///< keys are read in the order of PageTurns
  };
  /// A K/V head of a batch element, its keys in so many splits.
  struct Head {
    std::int64_t b, kv_head, first_split, splits;
  };
  struct Split {
    std::int64_t head, number;
  };
  Tiles carve(Carver& carver) const;
  Part part(std::int64_t split);
  std::int64_t rows_of_head(std::int64_t b) const { return shape.group() * shape.q_len_of(b); }
  bool in_any_order(const Visibility& sees, std::int64_t first, std::int64_t last) const;
  void attend(const Item& item, const Tiles& t, const Part& part) const;
  RowSource source(const Tensor& tensor, const Item& item, std::int64_t first) const;
  RowSource whole_vectors(const RowSource& rows, const Item& item, std::int64_t keys,
                          std::int64_t d, float* tile) const;
  PhaseCost product_in_place(const RowSource& source, const Item& item, std::int64_t keys,
                             std::int64_t d) const;
  const TileOps& for_scores(const RowSource& q, std::int64_t rows) const;
  Prefetch prefetch(const Tensor& tensor, const Item& item, std::int64_t first) const;
  void softmax(const Item& item, const Tiles& t, const Part& part, const KeyRange* seen,
               std::int64_t first, std::int64_t keys) const;
  void combine(const Operands& io, const Head& head, std::int64_t row);

  std::vector<std::int64_t> elements_;
  std::int64_t most_queries_, most_rows_;  ///< of one of them, of one of their K/V heads
  std::int64_t keys_;                      ///< of a block
  std::vector<Head> heads_;
  std::vector<Split> splits_;
  std::int64_t d_stride_, o_stride_, s_stride_;
  const TileOps&
      in_place_;  ///< packs the queries, and reads keys and values, where pairs lose nothing
  ScoreFactor score_;
  KeyPositions positions_;
  PageTurns turns_;
  BiasTile bias_;
  bool fetches_close_;
  float share_;  ///< what P is multiplied by until O is stored: P·V does not overflow
  Buffer parts_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
