#pragma once

#include "core/buffer.h"
#include "cpu/driver.h"

namespace flashbench::cpu {

/// FlashAttention-2, Algorithm 1: a block of queries at a time, online softmax over blocks of keys,
/// O normalised once at the end. Work item: one block of queries of one head.
class FlashForward final : public Driver {
 public:
  FlashForward(const Problem& p, const Execution& e);

  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile) override;

 private:
  /// A thread's own tiles.
  struct Tiles {
    float* q;    ///< [q_block][q_stride], scaled by scale·log2(e)
    float* o;    ///< [q_block][o_stride], not yet normalised
    float* s;    ///< [row_group][s_stride]: scores, then P
    float* max;  ///< [q_block], in units of log 2
    float* sum;  ///< [q_block]
  };
  struct Item {
    const Operands* io;
    const Visibility* sees;
    std::int64_t b, h, first_query, rows;
    const float* k_panels;  ///< [keys / cols][d][cols]
    const float* v_panels;  ///< [d / cols][keys][cols]
    PhaseProfile* profile;
    int thread;
  };

  Tiles carve(Carver& carver) const;
  void pack_wave(const Operands& io, const std::vector<Visibility>& sees, std::int64_t wave,
                 PhaseProfile* profile, int thread);
  void attend(const Item& item, const Tiles& t) const;
  void absorb_scores(const Item& item, const Tiles& t, std::int64_t row, std::int64_t rows,
                     std::int64_t first_key, std::int64_t keys) const;
  void finish(const Item& item, const Tiles& t) const;

  std::int64_t q_block_, kv_block_, row_group_;
  std::int64_t q_stride_, o_stride_, s_stride_;
  std::int64_t k_floats_, v_floats_;  ///< of one head's panels
  HeadWaves waves_;
  Buffer packed_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
