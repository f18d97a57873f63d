#pragma once

#include "core/dtype.h"

namespace flashbench::host {

/// In what one particular way an attention is wrong.
enum class Defect {
  kNone,
  kDoubleRounding,  ///< O through bf16 twice: NOT an error
  kLastKeyDropped,
  kCausalOffByOne,
  kScaleOff,         ///< by 1 %
  kHeadSwapped,      ///< query heads use the next K/V head
  kRowUnnormalised,  ///< one row of O is not divided by its sum
  kRescaleMissing,   ///< O is not rescaled when the running max moves
  kDDropped,         ///< dS = P∘dP
  kLateRowsZero,     ///< the last eighth of the rows is 0
  kLseBase2,
  kKeyTileDropped,   ///< dK and dV of the last 16 keys are 0
  kOneChannel,       ///< all channels of O, dQ, dK, dV but the first are 0
  kChannelScaled,    ///< the middle channel of each is 1 % larger
  kChannelsSwapped,  ///< the middle channel of each changes places with its neighbour
  kShortWeights,     ///< P and dS are rounded to f16 where f32 is promised
  kStaleTile,        ///< 16 rows of the last head of each are those of the head before
  // Not in kDefects, since most cases have no soft cap, ALiBi, bias, sinks or descales.
  kSlopeLeftOut,      ///< dS as if scores had no soft cap
  kSinkLeftOut,       ///< of O, LSE and the gradients but its own
  kSinkHasValue,      ///< that of the last key
  kSinkOfNextHead,    ///< each head takes its neighbour's
  kLseWithoutSink,    ///< of the result; P is right
  kSinkGradientSign,  ///< dsinks is the other way round
  kSinkGradientOfLastBatch,
  kAlibiTopLeft,     ///< distances as if query 0 were aligned on key 0
  kAlibiOfNextHead,  ///< each head takes its neighbour's slope
  kBiasLeftOut,
  kBiasOfNextHead,         ///< each head takes its neighbour's
  kBiasIgnoresInfinity,    ///< what -inf hides is seen
  kBiasGradientOfOneHead,  ///< of those that share a bias, only the last one's
  kBiasGradientSloped,     ///< times the slope of the soft cap
  kKDescaleLeftOut,
  kVDescaleLeftOut,
  kDescalesOfNextHead,  ///< each head takes its neighbour's
  kDescalesOfTheOther,  ///< K takes V's, and V K's
};

inline constexpr Defect kDefects[] = {
    Defect::kNone,       Defect::kDoubleRounding, Defect::kLastKeyDropped,  Defect::kCausalOffByOne,
    Defect::kScaleOff,   Defect::kHeadSwapped,    Defect::kRowUnnormalised, Defect::kRescaleMissing,
    Defect::kDDropped,   Defect::kLateRowsZero,   Defect::kLseBase2,        Defect::kKeyTileDropped,
    Defect::kOneChannel, Defect::kChannelScaled,  Defect::kChannelsSwapped, Defect::kShortWeights,
    Defect::kStaleTile};

inline const char* name(Defect d) {
  static constexpr const char* kNames[] = {"none",
                                           "double rounding",
                                           "last key dropped",
                                           "causal off by one",
                                           "scale off 1 %",
                                           "head swapped",
                                           "row unnormalised",
                                           "rescale missing",
                                           "D dropped",
                                           "late rows zero",
                                           "lse base 2",
                                           "key tile dropped",
                                           "all but one channel 0",
                                           "channel x1.01",
                                           "channels swapped",
                                           "P in 16 bits",
                                           "stale tile",
                                           "slope left out",
                                           "sink left out",
                                           "sink has a value",
                                           "sink of the next head",
                                           "LSE without sink",
                                           "sign of dsinks",
                                           "dsinks of the last batch element",
                                           "ALiBi aligned at the top left",
                                           "ALiBi of the next head",
                                           "bias left out",
                                           "bias of the next head",
                                           "-inf of the bias ignored",
                                           "dbias of one of the heads that share it",
                                           "dbias with the slope of the soft cap",
                                           "descale of K left out",
                                           "descale of V left out",
                                           "descales of the next head",
                                           "descales of the other tensor"};
  return kNames[static_cast<int>(d)];
}

/// Rounding O to bf16 on the way to another dtype would be an error, and weights in 16 bits are
/// none where all is in 16 bits.
inline bool applies(Defect defect, Dtype dtype) {
  if (defect == Defect::kDoubleRounding) return dtype == Dtype::kBf16;
  return defect != Defect::kShortWeights || dtype == Dtype::kF32;
}

}  // namespace flashbench::host
