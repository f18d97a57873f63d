#pragma once

#include <string>

namespace flashbench {

/// A number for people: as many digits, "1020", "3.24", "0.00123"; of a larger one the whole part,
/// and an exponent only where people would write one, from 1e6 and below 1e-4 on.
std::string digits(double value, int count);

}  // namespace flashbench
