#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/tensor.h"
#include "core/verdict.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// `error_over_noise` of what is just accepted.
inline constexpr double kNoiseLimit = 2;
/// The limit over what a correct kernel is expected to reach.
inline constexpr double kMargin = 1.4;

/// Judges one output and keeps the worst: every element against its own noise, and the root mean
/// square over each row, each channel and each head against a tighter limit, so that a large
/// channel buys no tolerance for the others. Each is divided by what a correct kernel may reach
/// there,
///
///     an element: sqrt(3·stored) + sqrt(excess·computed); a mean: sqrt(3·stored +
///     excess·computed),
///
/// times kMargin / kNoiseLimit, where `excess` is that of the largest of all elements, or of the
/// mean of as many independent errors as the row, channel or head has. What is rounding alone never
/// exceeds 3 times its expected square. NaN never passes; an infinity passes where the exact one is
/// expected (LSE of an empty row) or where the dtype overflows.
class TensorCheck {
 public:
  /// `elements`: how many are judged.
  TensorCheck(std::string tensor, std::int64_t elements);

  /// Row r of head (b, h) against row n of `want`.
  void row(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r, const Expected& want,
           std::size_t n);

  /// The same for numbers in fp64, whose noise is `unit` times that of `want`, as a deviation;
  /// `index` names the row's first element.
  void row(const double* got, const Expected& want, std::size_t n, double unit,
           std::array<std::int64_t, 4> index);

  /// Row r must be zeros.
  void zeros(const Tensor& got, std::int64_t b, std::int64_t h, std::int64_t r);

  /// One number against its noise, a deviation; for identities.
  void number(double got, double want, double noise, std::array<std::int64_t, 4> index);

  /// Every element of `got` is finite, or where `may_be_minus_inf` -inf: what an unwritten
  /// (poisoned) element is not. Looks at all of the tensor.
  void all_written(const Tensor& got, bool may_be_minus_inf = false);

  /// What another one judged, of batch elements from `first_b` on.
  void merge(const TensorCheck& other, std::int64_t first_b = 0);

  /// The worst of all. That of a row, a channel or a head names the worst element in it.
  TensorVerdict verdict() const;

 private:
  /// Errors of several elements, each over its expected deviation.
  struct Errors {
    double squares = 0;  ///< sum over the elements
    double stored = 0;   ///< sum of the shares that rounding the result has of the expected square
    double count = 0;
    TensorVerdict worst = {};
    double worst_square = -1;

    void add(const Errors& other);
  };
  struct Head {
    std::vector<Errors> channels;
    // Rows that err alike: those that Expected says, and those of equal values (all of O, where
    // the scale is 0).
    std::unordered_map<std::uint64_t, double> rows, values;        ///< how many of each
    double independent = std::numeric_limits<double>::infinity();  ///< Expected::independent
    double shared = 0, judged = 0;  ///< Σ Expected::shared over so many rows
    double shared_excess = 0;       ///< Expected::shared_excess
    RowRounding rounding;           ///< Expected::rounding
  };

  template <typename Got, typename Error>
  void fold(Got got, const Expected& want, std::size_t n, double unit,
            std::array<std::int64_t, 4> index, Error error);
  void keep_worse(const TensorVerdict& other);
  /// Counts a row of one number as one of log2 or not; as neither where `got` may be in both, or
  /// where ln and log2 are too near each other to be told apart.
  void look_at_base(double got, double want, double reach);
  static void judge_mean(const Errors& errors, double excess, double along, Scope scope,
                         TensorCheck& to);

  TensorVerdict worst_;
  double excess_of_largest_;
  std::int64_t in_base_2_ = 0, otherwise_ = 0;  ///< rows: log2 instead of ln, and not
  std::map<std::pair<std::int64_t, std::int64_t>, Head> heads_;
};

}  // namespace flashbench::oracle
