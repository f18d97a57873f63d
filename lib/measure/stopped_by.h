#pragma once

#include <string_view>

#include "core/enumerators.h"

namespace flashbench::measure {

/// Why no more samples of a subject were taken.
enum class StoppedBy {
  kNoise,       ///< max_noise was reached, with enough samples and time
  kNoiseStays,  ///< the interval of the median has stopped narrowing above it
  kOutOfReach,  ///< it still narrows, and time would be over long before it is narrow enough
  kDisturbed,   ///< others disturb nearly every sample, so that too few would be left
  kTimeout,
  kInterrupt,
};

constexpr std::string_view name(StoppedBy s) {
  switch (s) {
    case StoppedBy::kNoise:
      return "noise";
    case StoppedBy::kNoiseStays:
      return "noise_stays";
    case StoppedBy::kOutOfReach:
      return "noise_out_of_reach";
    case StoppedBy::kDisturbed:
      return "disturbed";
    case StoppedBy::kTimeout:
      return "timeout";
    case StoppedBy::kInterrupt:
      return "interrupt";
  }
  no_such_enumerator();
}

}  // namespace flashbench::measure
