#include "system/digits.h"

#include <fmt/format.h>

#include <cmath>

namespace flashbench {

std::string digits(double value, int count) {
  const double magnitude = std::abs(value);
  if (magnitude >= std::pow(10, count) - 0.5 && magnitude < 999'999.5)
    return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}g}", value, count);
}

}  // namespace flashbench
