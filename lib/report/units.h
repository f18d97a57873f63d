#pragma once

#include <span>
#include <string>
#include <string_view>

/// Numbers for people. Machines read the JSON, which has SI base units.
namespace flashbench::report {

/// "512 B", "48.0 MB", "68.7 GB": decimal units, three digits.
std::string human_bytes(double bytes);

/// "251.3 ms": four digits.
std::string human_seconds(double seconds);

/// "251.3 ± 0.9 ms": both in the unit of the first, and with no more decimals than show two digits
/// of the uncertainty: "35 ± 12 ms".
std::string human_seconds(double seconds, double half_width);

/// "248.9–262.0": least and most in the unit of human_seconds(median), which says it.
std::string human_range(double least, double most, double median);

/// "273.5 GFLOP/s", "1.235 TFLOP/s".
std::string human_flop_rate(double flop_per_s);

/// The unit in which a column of rates is written: the largest in which none is below 1.
struct RateUnit {
  double size = 1e9;  ///< FLOP/s
  std::string_view name = "GFLOP/s";
};
RateUnit rate_unit(std::span<const double> flop_per_s);
/// "273.5": without the unit.
std::string human_flop_rate(double flop_per_s, const RateUnit& unit);

/// "0.04", "0.8", "3.1", "35": a ratio to be followed by x.
std::string human_ratio(double ratio);

/// Characters on a terminal, for UTF-8 text without wide characters.
std::size_t display_width(const std::string& text);

}  // namespace flashbench::report
