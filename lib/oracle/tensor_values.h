#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace flashbench::oracle {

/// A tensor as the definition takes it: where it is stored in 8 bits, each value times the descale
/// of its head, which is exact in double.
class TensorValues {
 public:
  /// Not explicit: what has no descales is its own values.
  TensorValues(const Tensor& tensor) : tensor_(&tensor) {}
  /// `descales`: [b, h]; empty: none.
  TensorValues(const Tensor& tensor, std::span<const float> descales)
      : tensor_(&tensor), descales_(descales) {}

  const Dims& dims() const { return tensor_->dims(); }
  double at(std::int64_t b, std::int64_t h, std::int64_t r, std::int64_t d) const {
    return static_cast<double>(tensor_->at(b, h, r, d)) * descale(b, h);
  }
  /// Row r of head (b, h) to `to` [d].
  void load(std::int64_t b, std::int64_t h, std::int64_t r, double* to) const {
    const Dims& dims = tensor_->dims();
    const double times = descale(b, h);
    with_dtype(tensor_->dtype(), [&](auto zero) {
      const auto* from = tensor_->as<decltype(zero)>() + dims.index(b, h, r, 0);
      for (std::int64_t c = 0; c < dims.d; ++c)
        to[c] = static_cast<double>(to_f32(from[c])) * times;
    });
  }

 private:
  double descale(std::int64_t b, std::int64_t h) const {
    if (descales_.empty()) return 1;
    return static_cast<double>(descales_[static_cast<std::size_t>(b * tensor_->dims().h + h)]);
  }

  const Tensor* tensor_;
  std::span<const float> descales_;
};

}  // namespace flashbench::oracle
