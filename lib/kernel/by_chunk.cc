#include "kernel/by_chunk.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/visibility.h"

namespace flashbench {
namespace {

std::vector<Block> chunks_of(const Problem& p) {
  const Visible whole = visible_of(p);
  std::vector<Block> chunks;
  for (std::int64_t first = 0; first < p.shape.kv_len; first += p.kv_chunk)
    chunks.push_back(
        block_of(whole, {0, p.shape.q_len}, {first, std::min(p.kv_chunk, p.shape.kv_len - first)}));
  return chunks;
}

/// Of the sums of dK and dV of a chunk.
Dims sums_dims(const Problem& p, std::int64_t d) {
  return {p.shape.b, p.shape.h_kv, std::min(p.kv_chunk, p.shape.kv_len), d};
}

std::size_t sums_bytes(const Problem& p) {
  if (!p.needs_gradients()) return 0;
  const std::int64_t elements =
      sums_dims(p, p.shape.d).count() + sums_dims(p, p.shape.d_v()).count();
  return static_cast<std::size_t>(elements) * sizeof(float);
}

std::vector<Pass> passes_of(Pass pass) {
  if (pass == Pass::kBoth) return {Pass::kForward, Pass::kBackward};
  return {pass};
}

class ChunkPlan final : public Plan {
 public:
  ChunkPlan(const Problem& p, const Inputs& in, std::unique_ptr<PartialPlan> parts)
      : problem_(p), chunks_(chunks_of(p)), key_mask_(in.key_mask), parts_(std::move(parts)) {
    if (!p.needs_gradients()) return;
    sums_.dk = Tensor(Dtype::kF32, sums_dims(p, p.shape.d));
    sums_.dv = Tensor(Dtype::kF32, sums_dims(p, p.shape.d_v()));
  }

  void prepare(const Operands& io) override {
    if (problem_.pass == Pass::kBackward) run(Pass::kForward, io, nullptr);
  }
  void launch(const Operands& io) override {
    for (const Pass pass : passes_of(problem_.pass)) run(pass, io, nullptr);
  }

  std::size_t workspace_bytes() const override {
    return parts_->workspace_bytes() + sums_bytes(problem_);
  }
  double flop_executed() const override {
    double flop = 0;
    for (const Pass pass : passes_of(problem_.pass))
      for (const Block& chunk : chunks_) flop += parts_->flop_executed(pass, chunk, key_mask_);
    return flop;
  }

  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    std::vector<PhaseProfile::Row> rows;
    for (const PhaseProfile& pass : trace(io, 0))
      for (PhaseProfile::Row& row : pass.rows()) rows.push_back(std::move(row));
    return rows;
  }
  std::vector<PhaseProfile> trace(const Operands& io, std::size_t events) override {
    std::vector<PhaseProfile> profiles;
    for (const Pass pass : passes_of(problem_.pass)) {
      profiles.push_back(parts_->profile_of(pass, events));
      run(pass, io, &profiles.back());
    }
    return profiles;
  }

 private:
  void run(Pass pass, const Operands& io, PhaseProfile* profile) {
    if (pass == Pass::kForward)
      forward(io, profile);
    else
      backward(io, profile);
  }
  void forward(const Operands& io, PhaseProfile* profile) {
    parts_->begin_forward();
    for (const Block& chunk : chunks_) parts_->forward(io, chunk, profile);
    parts_->end_forward(io, profile);
  }
  void backward(const Operands& io, PhaseProfile* profile) {
    parts_->begin_backward(io, profile);
    for (const Block& chunk : chunks_) {
      for (Tensor* sum : {&sums_.dk, &sums_.dv}) std::memset(sum->data(), 0, sum->bytes());
      parts_->backward(io, chunk, sums_, profile);
      parts_->store_keys(sums_, chunk.keys, *io.out);
    }
    parts_->end_backward(io, profile);
  }

  Problem problem_;
  std::vector<Block> chunks_;
  std::vector<std::uint8_t> key_mask_;
  std::unique_ptr<PartialPlan> parts_;
  KeySums sums_;  ///< of one chunk
};

}  // namespace

Problem problem_of_chunks(const Problem& p) {
  Problem parts = p;
  parts.shape.kv_len = std::min(p.kv_chunk, p.shape.kv_len);
  parts.kv_chunk = 0;
  return parts;
}

std::unique_ptr<Plan> plan_by_chunk(const PartialKernel& kernel, const Problem& p,
                                    const Execution& e, const Inputs& in) {
  return std::make_unique<ChunkPlan>(p, in, kernel.plan(problem_of_chunks(p), e));
}

std::size_t chunk_workspace_bytes(const PartialKernel& kernel, const Problem& p,
                                  const Execution& e) {
  return kernel.workspace_bytes(problem_of_chunks(p), e) + sums_bytes(p);
}

double chunk_flop(const PartialKernel& kernel, const Problem& p, const Execution& e) {
  const std::vector<Block> chunks = chunks_of(p);
  double flop = 0;
  for (const Pass pass : passes_of(p.pass))
    flop += kernel.predicted_flop(problem_of_chunks(p), e, pass, chunks);
  return flop;
}

}  // namespace flashbench
