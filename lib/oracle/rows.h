#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "oracle/definition.h"
#include "oracle/directions.h"
#include "oracle/expected.h"
#include "oracle/noise.h"

namespace flashbench::oracle {

/// What one query row passes on to the gradients of K and V. Noise: expected squares of errors.
struct RowStats {
  double lse = 0;  ///< natural log-sum-exp; of an empty row -inf, or the sink
  /// Its two parts: the largest score, and the log of the sum beside it. In one number a large
  /// score takes the digits of the other, which all P have.
  double max = 0, log_sum = 0;
  double d = 0;          ///< D = rowsum(dO∘O)
  double lse_noise = 0;  ///< of LSE
  double d_noise = 0;    ///< of D
  /// What rounding O to 16 bits makes of D, which some kernels take from the rounded O and some do
  /// not; at level sample, where D is made of the result's O, from the mean of the sampled rows.
  double d_shift = 0;
  double exps_noise = 0;  ///< of log Σ exp(S - m), from the scores
  double d_of_o = 0;      ///< the part of d_noise that comes from errors of O
  double p_rounded = 0;   ///< of ΣP, from rounding each P to 16 bits; with gradients
  double alike = 0;       ///< relative, of what one rounding to the dtype does to all P alike
  /// Of all P of the row together, without their rounding to the dtype.
  double p_noise = std::numeric_limits<double>::infinity();
  bool empty = true;  ///< sees no key
  /// A hash of the row of Q: equal ones have equal products with K, and what these are off by is
  /// most of what scores are off by.
  std::uint64_t query = 0;

  /// What a sink has of the row.
  double sink_share(const std::optional<double>& sink) const {
    return sink ? std::exp(log_p(*sink)) : 0;
  }
  /// Deviation of D that rounding P gives it, with its sign: a ΣP that is off moves O, and D, as
  /// much.
  double d_of_rounded_p() const {
    const double size = std::min(std::sqrt(d_of_o), std::sqrt(p_rounded) * std::abs(d));
    return d < 0 ? -size : size;
  }
  double log_p(double score) const { return score - max - log_sum; }
  /// Of P = exp(log_p) whose score has the noise `of_score`. P sum to 1: the largest of a row
  /// cannot be off by more than all others together.
  double noise_of(double p, double log_p, double of_score) const {
    const double noise = exp_error(p, log_p, of_score + exps_noise);
    return std::min(noise, std::max(0.0, p_noise - noise));
  }
  /// Relative, of all P of the row alike, where they are computed again from the stored LSE. A
  /// kernel that lets a large LSE move P by more than a thousandth must keep maximum and sum apart.
  double from_lse() const { return std::min(lse_noise, 0x1p-20); }
};

/// Gradients of the scores of some rows before softmax, as a bias has them: dS = P∘(dP - D),
/// without the slope of a soft cap.
struct ScoreGradients {
  Doubles value, noise;         ///< [rows, kv_len]; expected squares of errors
  Doubles common, independent;  ///< [rows]: the part of Σ noise that all keys have together, and
                                ///< how many independent errors the rest is
  std::vector<std::uint64_t> alike;  ///< [rows]: of rows of equal Q and dO; they have equal errors
};

/// fp64 results of some query rows of one head.
struct RowResults {
  Expected o;                   ///< [rows, d_v]
  Expected dq;                  ///< [rows, d]; only with gradients
  Expected lse;                 ///< [rows, 1]
  ScoreGradients ds;            ///< only where the gradient of a bias is wanted
  std::vector<RowStats> stats;  ///< [rows]
};

/// Rows `which` of query head h of batch element b, by the definition: all scores of a row, their
/// maximum, softmax, and the closed-form gradient dQ = scale·dS·K, dS = P∘(dP - D)∘slope.
/// `head`: of its K/V head. Needs up to 72·kv_len bytes a row while it runs.
RowResults compute_rows(const Definition& def, const HeadDirections& head, std::int64_t b,
                        std::int64_t h, std::span<const std::int64_t> which);

/// How many rows compute_rows should be given at a time, so that its scores stay small.
std::int64_t row_block(const Shape& shape);

/// Products of n·d·kv_len multiply-adds that one row costs, for choose_level.
constexpr double row_products(bool gradients) { return gradients ? 9 : 4; }

}  // namespace flashbench::oracle
