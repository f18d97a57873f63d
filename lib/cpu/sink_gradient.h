#pragma once

#include <cstddef>
#include <cstdint>

#include "core/problem.h"
#include "core/tensor.h"
#include "system/buffer.h"

namespace flashbench::cpu {

/// dsinks, as of a key whose value is 0, so that its dP is: the sum of -P·D over the rows of a
/// query head. Kept row by row and added up in order, so that threads do not change it.
class SinkGradient {
 public:
  explicit SinkGradient(const Problem& p)
      : shape_(p.shape), wanted_(p.sinks != Sinks::kNone && p.needs_gradients()) {}

  bool wanted() const { return wanted_; }
  std::size_t bytes() const {
    return wanted_ ? static_cast<std::size_t>(shape_.lse_dims().count()) * sizeof(double) : 0;
  }
  void allocate() { terms_ = Buffer(bytes()); }
  /// `row`: of [b, h, q_len]; `share`: the sink's of its softmax.
  void set(std::int64_t row, double share, double d) { terms_.as<double>()[row] = -share * d; }
  /// Called by every thread of a parallel region, after a barrier; ends in one.
  void store(Tensor& dsinks) const {
    if (!wanted_) return;
#pragma omp for schedule(static)
    for (std::int64_t h = 0; h < shape_.h; ++h) {
      double sum = 0;
      for (std::int64_t b = 0; b < shape_.b; ++b) {
        const double* of_head = terms_.as<double>() + shape_.lse_dims().index(b, h, 0, 0);
        for (std::int64_t q = 0; q < shape_.q_len_of(b); ++q) sum += of_head[q];
      }
      dsinks.as<float>()[h] = static_cast<float>(sum);
    }
  }

 private:
  Shape shape_;
  bool wanted_;
  Buffer terms_;
};

/// The logit of a head's sink; null where there are none.
inline const float* sink_of(const Inputs& in, std::int64_t h) {
  return in.sinks.empty() ? nullptr : in.sinks.data() + h;
}

}  // namespace flashbench::cpu
