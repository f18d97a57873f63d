#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"
#include "oracle/definition.h"

namespace flashbench::oracle {

/// Arithmetic inside of kernels is f32, whatever the dtype of the tensors.
inline constexpr double kF32Roundoff = row_of(Dtype::kF32).roundoff;
/// What a product of split f32 operands may be off by, relative: three of its nine partial products
/// are left out, and tensor cores cut sums of 16 off.
inline constexpr double kSplitRoundoff = 0x1p-22;
/// The smallest normal f32: f32 arithmetic may flush what lies below.
inline constexpr double kF32Tiny = row_of(Dtype::kF32).smallest_normal;

/// The largest power of 2 that is not above |x|.
inline double binade(double x) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & 0x7ff0000000000000u);
}

inline double square(double x) { return x * x; }

/// Expected squares of the error of one element.
struct Noise {
  double stored = 0;    ///< of rounding it to the dtype: uniform, so never beyond 3 times this
  double computed = 0;  ///< of all that it was computed from: nearly normal

  double variance() const { return stored + computed; }
};

/// How often Rounding::alike() its square may be: a whole unit, next to a power of 2.
inline constexpr double kMostOfAlike = 4;

/// What keeping a number in the dtype on the way costs. `random`: the expected square of an error
/// of either sign. What is `lost` to underflow is always the number itself, so it adds up as they
/// do.
struct StoreError {
  double random = 0, lost = 0;
};

/// Rounding of a number to a dtype.
class Rounding {
 public:
  explicit Rounding(Dtype dtype, F32Math math = F32Math::kIeee)
      : split_(math == F32Math::kBf16x6 ? kSplitRoundoff : 0),
        u_(row_of(dtype).roundoff),
        t_(std::max(row_of(dtype).smallest_subnormal / 2, kF32Tiny)),
        below_cell_(53 + std::ilogb(u_)),
        rounds_weights_(dtype != Dtype::kF32) {}

  /// Expected square of the error of a result x: half a unit in its last place, uniform.
  double stored(double x) const { return square(std::max(u_ * binade(x), t_)) / 3; }

  /// Half the smallest number, or what f32 arithmetic may flush.
  double smallest() const { return t_; }

  /// A probability, as an operand of P·V.
  StoreError of(double p) const { return of(p, t_); }

  /// ds = p·(dP - D), or |scale|·ds in its stead, as an operand; p itself may have been flushed.
  /// `moved`: expected square of what an error of D moves ds by, which is rounded with it: dP = D
  /// leaves nothing else.
  StoreError of_gradient(double ds, double p, double scale, double moved) const {
    if (p < kF32Tiny) return {0, std::abs(ds)};
    const double flush = t_ / std::min(1.0, std::abs(scale));
    return {of(std::sqrt(square(ds) + moved), flush).random, of(ds, flush).lost};
  }

  /// Expected square of the relative error of weights that all lie in one cell of the dtype, so
  /// that rounding moves them alike. 0 in f32, where a weight is not rounded apart.
  double alike() const { return rounds_weights_ ? square(u_) / 4 : 0; }

  /// Whether the dtype has 16 bits: P and dS are rounded, and tensor cores make the products.
  bool of_16_bits() const { return rounds_weights_; }

  /// Expected square of what tensor cores may lose of a sum of n products of this dtype whose parts
  /// reach `largest_square`, squared; none in f32.
  double cut_off(std::int64_t n, double largest_square) const;

  /// Expected square of the error of a sum of n products, as sum_noise() of noise.h, with what each
  /// product is off by itself where operands are split.
  double of_products(std::int64_t n, double total, double squares) const;
  /// What tensor cores may lose of a score of d products, relative, in all scores alike.
  double cut_off_scores(std::int64_t d) const;

  /// What rounding x to the dtype adds to it.
  double error(double x) const {
    const double unit = 2 * std::max(u_ * binade(x), t_);
    return std::nearbyint(x / unit) * unit - x;
  }

  /// A number that is the same for what the dtype cannot tell apart.
  std::uint64_t cell(double x) const { return std::bit_cast<std::uint64_t>(x) >> below_cell_; }
  /// Where in its cell it lies, in [0, kPlaces), ascending with its magnitude.
  static constexpr std::uint64_t kPlaces = 32;
  std::uint64_t place_in_cell(double x) const {
    return std::bit_cast<std::uint64_t>(x) >> (below_cell_ - std::countr_zero(kPlaces)) &
           (kPlaces - 1);
  }

 private:
  StoreError of(double x, double flush) const {
    const double size = std::abs(x);
    if (size < 2 * flush) return {0, size};  // a kernel's own may be below
    // At an unknown scale (kernels do not normalise P before): u|x|/2 is between the root mean
    // square over all mantissas, 0.42 u|x|, and that of the worst, 0.58 u|x|.
    return {rounds_weights_ ? square(std::max(u_ * size, flush)) / 4 : 0, 0};
  }

  double split_;  // relative error of a product itself
  double u_, t_;
  int below_cell_;  // bits of a double that tell numbers of one cell apart
  bool rounds_weights_;
};

/// Expected square of the relative error of an f32 sum of n terms that are equal almost to the last
/// bit: they round alike while the exponent stays, which adds up. Matrix products of GPU
/// libraries add up 1024 terms in one chain and more; beyond, long sums have to be summed in parts:
/// in one chain, 16k equal terms may be off by 4096 units.
inline constexpr double kAllAlike = 1.0 / 6, kLongestChain = 1024;
inline double alike_sum_noise(double n) {
  return square(kAllAlike * kF32Roundoff * (1 + std::min(n, kLongestChain) + n / kLongestChain));
}

/// Expected square of what `count` equal ones among n terms add to the error of their sum, in which
/// others lie between them: each time, the sum takes as much of the term's last digits as fits. In
/// units of the square of what the sum reaches.
inline double returning_noise(double count, double n) {
  const double in_chain = count * std::min(1.0, kLongestChain / n);
  return in_chain > 1 ? square(kAllAlike * kF32Roundoff) * (square(in_chain) - in_chain) : 0;
}

/// alike_sum_noise() in absolute terms, as far as the terms are alike: 1 for equal ones, and its
/// power forgets what varies by a few percent. total, squares: as below.
inline double alike_noise(double n, double total, double squares) {
  double alike = squares == 0 ? 0 : total / (n * squares);
  if (alike <= 0.8) return 0;
  alike = std::min(alike, 1.0);
  for (int power = 1; power < 64; power *= 2) alike *= alike;
  return alike_sum_noise(n) * total * alike;
}

/// Expected square of the error of an f32 sum of n terms.
///   total: the largest part of it, squared (what the partial sums reach).
///   squares: the sum of the squares of its terms (what they reach where signs are random).
/// Each partial sum is rounded, by a third of a unit and with random signs, hence n.
inline double sum_noise(std::int64_t n, double total, double squares) {
  constexpr double kPerTerm = 0.3;
  const double terms = static_cast<double>(n);
  const double flushed = square(terms * kF32Tiny) / 3;  // products below the smallest f32
  if (total + squares == 0) return flushed;
  return square(kPerTerm * kF32Roundoff) * terms * (total + squares) + flushed +
         alike_noise(terms, total, squares);
}

/// By how much a sum of d products of 16-bit numbers may be short on tensor cores, relative, where
/// all have one sign: those of Hopper cut sums off below the last place, 8 products at a time. An
/// H200 lost 7.5 units of d = 129 such products.
inline double truncated_sum(std::int64_t d) {
  return kF32Roundoff * (1 + static_cast<double>(d) / 12);
}

/// Products of split operands are added in f32 units, 16 at a time.
inline double Rounding::cut_off_scores(std::int64_t d) const {
  return of_16_bits() ? truncated_sum(d) : split_ > 0 ? truncated_sum(16) : 0;
}

inline double Rounding::cut_off(std::int64_t n, double largest_square) const {
  return of_16_bits() ? square(truncated_sum(n)) * largest_square : 0;
}

inline double Rounding::of_products(std::int64_t n, double total, double squares) const {
  return sum_noise(n, total, squares) + split_ * split_ * squares;
}

/// Expected square of the error of a scaled product raw = scale·(q·k), of d products, in f32;
/// `squares`: of add_products(), `roundings`: of the scale.
inline double raw_noise(const Rounding& rounding, double scale, std::int64_t d, double qk,
                        double squares, double roundings = 1) {
  return roundings * square(kF32Roundoff * scale * qk) +
         square(scale) * rounding.of_products(d, square(qk), squares);
}

/// Expected square of the relative error of exp(s - m), where the score s is made of such a product
/// whose noise is `of_raw`. A modification of the score carries the error of raw on by its slope,
/// and is itself as exact as what it changes, or as its result, whichever is smaller; a term that
/// is added is a product of its own. The 4: exp by a polynomial or by the hardware (ex2.approx is
/// good to 2 units).
inline double exp_noise(double raw, double of_raw, const Score& s) {
  const double bent = s.value - s.added;
  const double changed = std::min(std::abs(bent - raw), std::abs(bent));
  return square(kF32Roundoff) * (4 + square(changed) + s.added_square) + square(s.slope) * of_raw;
}

/// The same of exp(sink - m): the logit is given, and as exact as f32 keeps it.
inline double sink_noise(double sink) { return exp_noise(0, 0, {.value = sink}); }

/// By how much a score's slope is off where it was subtracted from 1: that of a soft cap is 1 -
/// tanh², of a tanh in f32. Scores that are alike have slopes that are off alike.
inline double slope_shift(double slope) { return 2 * kF32Roundoff * (1 - slope); }

/// What multiplies an error of dP - D: a kernel's slope, which is off itself, and next to 0 by more
/// than it is.
inline double felt_slope(double slope) { return slope + slope_shift(slope); }

/// Expected square of the error of a score's slope, with that of the product by which it moves.
inline double slope_noise(double of_raw, const Score& s) {
  return square(slope_shift(s.slope)) + square(s.bend) * of_raw;
}

/// Expected square of the error of exp(log_p) = p where that of log_p is `noise`. Beyond what is
/// nearly linear it may be off by what three standard deviations make of it, but P stays below 1.
inline double exp_error(double p, double log_p, double noise) {
  if (noise < 1e-3) return square(p) * noise;
  return square(std::min(1.0, std::exp(log_p + 3 * std::sqrt(noise)))) / 9;
}

inline constexpr double kLogOdds = 10;

/// By how much the mean square of n independent errors may exceed what is expected: a correct
/// kernel stays below in all but e^-10 of the groups (Laurent, Massart 2000, lemma 1).
inline double excess(double n) { return 1 + 2 * std::sqrt(kLogOdds / n) + 2 * kLogOdds / n; }

/// 1 / sqrt(n) of the n whose excess() that is: how far two sums of n independent errors are
/// parallel. At most 1.
inline double parallel(double excess) {
  const double root = std::sqrt(kLogOdds);
  return std::clamp((std::sqrt(kLogOdds + 2 * kLogOdds * (excess - 1)) - root) / (2 * kLogOdds),
                    0.0, 1.0);
}

/// The same where a share of the expected square is of one error that is common to all.
inline double mixed_excess(double common, double n) {
  return common * excess(1) + (1 - common) * excess(std::max(n, 1.0));
}

/// The same for the square of the largest of n errors.
inline double excess_of_largest(std::int64_t n) {
  return 8 + 2 * std::log(static_cast<double>(std::max<std::int64_t>(n, 1)));
}

}  // namespace flashbench::oracle
