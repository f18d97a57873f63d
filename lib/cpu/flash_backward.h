#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "core/buffer.h"
#include "cpu/driver.h"

namespace flashbench::cpu {

/// Adds tiles of dQ from several threads. Either under a lock per block of queries, in whatever
/// order the threads come (fast, sums differ in the last bit from run to run), or in the order of
/// the key blocks (deterministic: a thread waits for the one before it).
class DqAccumulator {
 public:
  DqAccumulator(std::int64_t q_blocks_in_all, bool in_order);

  /// Calls add() once it is this key block's turn to write to the block of queries.
  template <typename Add>
  void contribute(std::int64_t q_block, std::int64_t key_block, Add&& add) {
    if (in_order_) {
      wait_for_turn(q_block, key_block);
      add();
      turn_[static_cast<std::size_t>(q_block)].store(key_block + 1, std::memory_order_release);
    } else {
      const std::lock_guard lock(mutex_[static_cast<std::size_t>(q_block)]);
      add();
    }
  }
  void reset();
  static std::size_t bytes(std::int64_t q_blocks_in_all, bool in_order);

 private:
  void wait_for_turn(std::int64_t q_block, std::int64_t key_block) const;

  bool in_order_;
  std::int64_t count_;
  std::unique_ptr<std::mutex[]> mutex_;
  std::unique_ptr<std::atomic<std::int64_t>[]> turn_;
};

/// FlashAttention-2, Algorithm 2: a block of keys at a time keeps its dK and dV to itself and walks
/// over the queries that see it; P is recomputed from the LSE. Work item: one block of keys of one
/// K/V head, with all query heads of its group.
class FlashBackward final : public Driver {
 public:
  FlashBackward(const Problem& p, const Execution& e);

  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile) override;

 private:
  /// A thread's own tiles. Panels are B operands, see TileOps.
  struct Tiles {
    float* k_t;    ///< Kᵀ panels [keys / cols][d][cols], scaled by scale·log2(e)
    float* v_t;    ///< Vᵀ panels
    float* k;      ///< [kv_block][d_stride], rows of K
    float* dk;     ///< [kv_block][d_stride]
    float* dv;     ///< [kv_block][d_stride]
    float* q;      ///< [q_block][d_stride], rows of Q
    float* d_o;    ///< [q_block][d_stride], rows of dO
    float* p;      ///< [q_block][p_stride]
    float* p_sum;  ///< [q_block][lanes], not needed here
    float* ds;     ///< [q_block][p_stride]
    float* dq;     ///< [q_block][d_stride]: this tile's share of dQ
  };
  struct Item {
    const Operands* io;
    const Visibility* sees;
    std::int64_t b, kv_head, key_block, first_key, keys;
    PhaseProfile* profile;
    int thread;
  };

  /// A block of queries of one head, and how many of the item's keys its last row sees.
  struct QueryTile {
    std::int64_t h, block, first, rows, keys;
  };

  Tiles carve(Carver& carver) const;
  void prepare_rows(const Operands& io, const std::vector<Visibility>& sees, const Tiles& t,
                    PhaseProfile* profile, int thread);
  void gather(const Item& item, const Tiles& t);
  void load_queries(const Item& item, const QueryTile& q, const Tiles& t) const;
  void recompute(const Item& item, const QueryTile& q, const Tiles& t) const;
  void accumulate(const Item& item, const QueryTile& q, const Tiles& t);
  void scatter(const Item& item, const Tiles& t) const;
  void store_dq(const Operands& io, PhaseProfile* profile, int thread) const;
  std::int64_t key_blocks() const { return blocks(shape.kv_len, kv_block_); }
  std::int64_t query_row(std::int64_t b, std::int64_t h, std::int64_t q) const {
    return (b * shape.h + h) * shape.q_len + q;
  }

  std::int64_t q_block_, kv_block_, q_blocks_;
  std::int64_t d_stride_, p_stride_;
  bool in_order_;
  DqAccumulator accumulator_;
  Buffer rows_;  ///< D and LSE/ln 2 per query, then dQ in f32 [b, h, q_len][round_up(d, lanes)]
  float *delta_ = nullptr, *lse2_ = nullptr, *dq_ = nullptr;
  std::int64_t dq_stride_;
  std::vector<Buffer> tiles_;
};

}  // namespace flashbench::cpu
