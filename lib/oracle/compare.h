#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/tensor.h"
#include "core/verdict.h"

namespace flashbench::oracle {

/// The accept rule: a row passes iff max_c |got - want| <= kNoiseLimit · noise.
inline constexpr double kNoiseLimit = 2;

/// Judges one output row by row and keeps the worst. NaN never passes; an infinity passes where
/// the exact one is expected (LSE of an empty row) or where the dtype overflows.
class TensorCheck {
 public:
  explicit TensorCheck(std::string tensor);

  /// One row of `got` against want[d]; `noise`: expected rounding noise of the row, 0 for a row
  /// that must be exact.
  void row(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r, const double* want,
           double noise);

  /// One row of d numbers; `index` names its first element.
  void row(const double* got, const double* want, std::int64_t d, double noise,
           std::array<std::int64_t, 4> index);

  /// One number against its bound; for identities.
  void number(double got, double want, double noise, std::array<std::int64_t, 4> index);

  /// Every element of `got` is finite, or where `may_be_minus_inf` -inf: what an unwritten
  /// (poisoned) element is not. Looks at all of the tensor.
  void all_written(const Tensor& got, bool may_be_minus_inf = false);

  void merge(const TensorCheck& other);

  TensorVerdict verdict() const { return worst_; }

 private:
  template <typename Got, typename Error>
  void fold(Got got, const double* want, std::int64_t d, double noise,
            std::array<std::int64_t, 4> index, Error error);
  void keep_worse(const TensorVerdict& other);

  TensorVerdict worst_;
};

}  // namespace flashbench::oracle
