#pragma once

#include "cpu/attention_pass.h"
#include "cpu/bias_tile.h"
#include "cpu/key_positions.h"
#include "cpu/sink_gradient.h"
#include "system/buffer.h"

// Normal attention: S is materialised for all heads at once, every pair is computed, nothing is
// skipped. Built on the same tile products as flash, so that their ratio shows the algorithm.
namespace flashbench::cpu {

/// An f32 matrix [b, h, q_len][stride] of scores, P, dP or dS. The stride is an odd number of cache
/// lines: at a power of two, the rows of a register tile would share one L1 set.
struct ScoreMatrix {
  float* data = nullptr;
  std::int64_t stride = 0;
};

/// What forward and backward share: the two kinds of product, over all heads.
class NormalPass : public AttentionPass {
 public:
  NormalPass(const Problem& p, const Execution& e, const TileOps& operations);
  std::size_t workspace_bytes() const override;
  void allocate() override;

 protected:
  std::size_t matrix_bytes() const {
    return floats(shape.b * shape.h * shape.q_len * matrix_stride_) * sizeof(float);
  }
  std::size_t packed_bytes() const {
    return static_cast<std::size_t>(waves_.per_wave) * floats(head_floats_) * sizeof(float);
  }
  std::size_t tile_bytes() const { return static_cast<std::size_t>(threads) * tile_floats() * 4; }
  float* matrix_row(const ScoreMatrix& m, std::int64_t b, std::int64_t h, std::int64_t q) const {
    return m.data + ((b * shape.h + h) * shape.q_len + q) * m.stride;
  }

  struct Timing {
    PhaseProfile* profile;
    int thread;
    std::size_t pack, product;  ///< phases
  };

  /// m = factor · left·rightᵀ: Q·Kᵀ or dO·Vᵀ. Called by every thread of the parallel region.
  void scores_product(const Tensor& left, const Tensor& right, float factor, const ScoreMatrix& m,
                      const Timing& timing);
  /// out = factor · m·right, m in rows of A operands: P·V or dS·K. Called by every thread of the
  /// parallel region.
  void rows_product(const ScoreMatrix& m, const Tensor& right, float factor, Tensor& out,
                    const Timing& timing);
  /// Where all keys are stored, -1 where the padding mask hides one: a hidden row is packed as
  /// zeros, since 0 · NaN would be NaN.
  void load_positions(const std::vector<Visibility>& sees);

  float* thread_tile(int thread) { return tiles_[static_cast<std::size_t>(thread)].as<float>(); }

  const std::int64_t q_block_, q_blocks_, d_stride_, matrix_stride_;

 private:
  /// Query rows [first, first + rows) of one head, and the packed panels of its K/V head.
  struct Block {
    std::int64_t b, h, first, rows;
    const float* panels;
  };
  /// Work item i of a wave.
  Block block_of(std::int64_t wave, std::int64_t i);
  float* panels_of(std::int64_t packed_head) {
    return packed_.as<float>() + static_cast<std::size_t>(packed_head) * floats(head_floats_);
  }
  std::size_t tile_floats() const;
  RowSource key_rows(const Tensor& t, std::int64_t kv_head, std::int64_t first) const;

  std::int64_t head_floats_;
  HeadWaves waves_;
  Buffer packed_;
  std::vector<Buffer> tiles_;
  std::vector<std::int32_t> position_;  ///< [b, kv_len]; empty when nothing is padded or in pages
  bool padded_, paged_;
};

/// S = scale·Q·Kᵀ, perhaps under a soft cap, with ALiBi and a bias; P = softmax(S) in place,
/// perhaps beside a sink; O = P·V.
class NormalForward final : public NormalPass {
 public:
  /// `operations`: of f32 operands where a backward follows, which reads P in f32.
  NormalForward(const Problem& p, const Execution& e, const TileOps& operations);
  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile) override;

  /// P of the last run, in rows of A operands.
  const ScoreMatrix& probabilities() const { return p_; }
  /// Of that run: the sink's share of each row's softmax [b, h, q_len]; no data where not wanted.
  const float* sink_shares() const { return sink_share_.as<float>(); }
  /// Of that run: the derivatives of a soft cap; no data where there is none.
  const ScoreMatrix& slopes() const { return slope_; }

 private:
  void softmax(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile,
               int thread);
  void hide(const Visibility& v, KeyRange seen, float* s) const;
  void store_row(const Operands& io, std::int64_t row, const ScoreFactor& head, float* s);

  /// Of P, and of the slopes that are kept.
  std::size_t matrices_bytes() const { return (keeps_slopes_ ? 2 : 1) * matrix_bytes(); }
  std::size_t sink_share_bytes() const {
    return keeps_sink_shares_ ? floats(shape.b * shape.h * shape.q_len) * sizeof(float) : 0;
  }

  std::size_t bias_row_bytes() const {
    return static_cast<std::size_t>(threads) * floats(bias_.floats()) * sizeof(float);
  }

  ScoreFactor score_;
  KeyPositions positions_;
  BiasTile bias_;
  bool keeps_slopes_, keeps_sink_shares_;  ///< for the backward
  Buffer buffer_, sink_share_;
  std::vector<Buffer> bias_rows_;  ///< of each thread: the bias of a row
  ScoreMatrix p_, slope_;
};

/// dP = dO·Vᵀ; dS = P∘(dP - rowsum(P∘dP))∘slope in place; dQ = dS·K; dV = Pᵀ·dO; dK = dSᵀ·Q, with
/// the P, and the sinks' shares for dsinks, that the forward kept. dbias: sums of dS without slope.
class NormalBackward final : public NormalPass {
 public:
  NormalBackward(const Problem& p, const Execution& e, const NormalForward& forward)
      : NormalPass(p, e, tile_ops(e.isa)),
        forward_(forward),
        sink_gradient_(p),
        bias_dims_(p.needs_bias_gradient() ? p.bias_dims() : Dims{}),
        bias_dtype_(p.bias_dtype()) {}
  std::size_t workspace_bytes() const override;
  double flop_executed(const std::vector<Visibility>& sees) const override;
  void allocate() override;
  std::vector<std::string> phases() const override;
  std::vector<std::size_t> phase_bytes() const override;
  void run(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile) override;

 private:
  struct KeyTiles {
    float *dk, *dv;               ///< [keys][d_stride]
    float *q_panels, *do_panels;  ///< of a block of queries, summed over its rows
  };
  KeyTiles carve(Carver& carver) const;
  void scores_gradient(const Operands& io, PhaseProfile* profile, int thread);
  void row_gradient(std::int64_t row, float* dbias);
  void bias_row_gradient(const Operands& io, std::int64_t row, float* dbias);
  std::size_t bias_row_bytes() const {
    return bias_dims_.count() == 0 ? 0 : floats(shape.kv_len) * sizeof(float);
  }
  void key_gradients(const Operands& io, const std::vector<Visibility>& sees, PhaseProfile* profile,
                     int thread);

  const NormalForward& forward_;
  SinkGradient sink_gradient_;
  Dims bias_dims_;  ///< of dbias; nothing where it is not wanted
  Dtype bias_dtype_;
  std::vector<Buffer> bias_rows_;  ///< of each thread: a row of dbias in f32
  Buffer buffer_;
  ScoreMatrix ds_;
  std::vector<Buffer> key_tiles_;
};

}  // namespace flashbench::cpu
