#pragma once

#include <algorithm>
#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::oracle {

/// Whether a problem is large enough to wake other threads for: more than about 0.1 ms of work.
inline bool worth_threads(const Shape& s) {
  return s.b * s.h * s.q_len * s.widest_d() > (std::int64_t{1} << 20) / s.kv_len;
}

/// A problem with its inputs, and its mask as it is defined: key j is visible to query i iff the
/// padding mask keeps j, and, where causal, j <= i + kv_len - q_len.
/// Refers to the problem and the inputs; they must outlive it.
class Definition {
 public:
  Definition(const Problem& problem, const Inputs& inputs) : problem_(&problem), inputs_(&inputs) {}

  const Problem& problem() const { return *problem_; }
  const Inputs& inputs() const { return *inputs_; }
  const Shape& shape() const { return problem_->shape; }
  double scale() const { return problem_->softmax_scale(); }
  bool has_gradients() const { return !inputs_->d_o.empty(); }

  bool kept(std::int64_t b, std::int64_t j) const {
    return inputs_->key_mask.empty() ||
           inputs_->key_mask[static_cast<std::size_t>(b * shape().kv_len + j)] != 0;
  }
  bool visible(std::int64_t b, std::int64_t i, std::int64_t j) const {
    return kept(b, j) && (!problem_->causal || j <= i + shape().kv_len - shape().q_len);
  }
  /// Keys that row i may see, padded ones counted: how long its sums are at most.
  std::int64_t row_length(std::int64_t i) const {
    const std::int64_t reach = i + 1 + shape().kv_len - shape().q_len;
    return problem_->causal ? std::clamp<std::int64_t>(reach, 0, shape().kv_len) : shape().kv_len;
  }
  /// The row sees no key.
  bool empty_row(std::int64_t b, std::int64_t i) const {
    for (std::int64_t j = 0; j < shape().kv_len; ++j)
      if (visible(b, i, j)) return false;
    return true;
  }

 private:
  const Problem* problem_;
  const Inputs* inputs_;
};

}  // namespace flashbench::oracle
