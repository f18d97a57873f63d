#pragma once

#include "cpu/attention_pass.h"
#include "cpu/bias_tile.h"
#include "cpu/key_positions.h"
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
  FlashDecode(const Problem& p, const Execution& e);

  /// Is this the better forward for the problem?
  static bool suits(const Shape& shape);

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
    std::int64_t b, kv_head, first_key, last_key;
    PhaseProfile* profile;
    int thread;
    ScoreFactor score;  ///< of the head
  };
  Tiles carve(Carver& carver) const;
  Part part(std::int64_t kv_head, std::int64_t split);
  void attend(const Item& item, const Tiles& t, const Part& part) const;
  RowSource source(const Tensor& tensor, const Item& item, std::int64_t first) const;
  RowSource whole_vectors(const RowSource& rows, const Item& item, std::int64_t keys,
                          std::int64_t d, float* tile) const;
  PhaseCost product_in_place(const RowSource& source, std::int64_t keys, std::int64_t d) const;
  Prefetch prefetch(const Tensor& tensor, const Item& item, std::int64_t first) const;
  void softmax(const Item& item, const Tiles& t, const Part& part, const KeyRange* seen,
               std::int64_t first, std::int64_t keys) const;
  void combine(const Operands& io, std::int64_t kv_head, std::int64_t row);

  std::int64_t rows_;  ///< query heads of a group x queries
  std::int64_t keys_;  ///< of a block
  std::int64_t splits_;
  std::int64_t d_stride_, o_stride_, s_stride_;
  ScoreFactor score_;
  KeyPositions positions_;
  BiasTile bias_;
  float share_;  ///< what P is multiplied by until O is stored: P·V does not overflow
  Buffer parts_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
