#pragma once

#include <cmath>
#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::oracle {

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
