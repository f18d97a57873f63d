#include "report/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace flashbench::report {
namespace {

struct Unit {
  double size;
  const char* name;
};

constexpr std::array<Unit, 6> kByteUnits = {
    {{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}}};
constexpr std::array<Unit, 4> kTimeUnits = {{{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}};
constexpr std::array<Unit, 6> kFlopUnits = {{{1e15, "PFLOP/s"},
                                             {1e12, "TFLOP/s"},
                                             {1e9, "GFLOP/s"},
                                             {1e6, "MFLOP/s"},
                                             {1e3, "kFLOP/s"},
                                             {1, "FLOP/s"}}};

/// Decimals that give `digits` digits in all; a value of 1000 and more has none.
int decimals(double value, int digits) {
  const double magnitude = std::abs(value);
  const int whole = magnitude < 1 ? 1 : static_cast<int>(std::floor(std::log10(magnitude))) + 1;
  return std::clamp(digits - whole, 0, digits - 1);
}

/// Decimals that show two digits of it, and of the value beside it no more than is known; 9.96 has
/// none, since it is shown as 10.
int decimals_of_uncertainty(double half_width) {
  constexpr int kMost = 4;
  if (!(half_width > 0)) return kMost;
  const double rounded_up = half_width * (1 + 0.5e-2);
  return std::clamp(1 - static_cast<int>(std::floor(std::log10(rounded_up))), 0, kMost);
}

/// The largest unit that the value reaches, after rounding to `digits`: 999.96 ms is 1.000 s.
const Unit& unit_for(std::span<const Unit> units, double value, int digits) {
  const double roundup = 1 - 0.5 * std::pow(10, -digits);
  for (const Unit& u : units)
    if (std::abs(value) >= u.size * roundup) return u;
  return units.back();
}

std::string with_unit(std::span<const Unit> units, double value, int digits) {
  const Unit& u = unit_for(units, value, digits);
  return fmt::format("{:.{}f} {}", value / u.size, decimals(value / u.size, digits), u.name);
}

}  // namespace

std::string human_bytes(double bytes) {
  if (std::abs(bytes) < 999.5) return fmt::format("{:.0f} B", bytes);
  return with_unit(kByteUnits, bytes, 3);
}

std::string human_seconds(double seconds) {
  if (seconds == 0) return "0 s";
  return with_unit(kTimeUnits, seconds, 4);
}

std::string human_seconds(double seconds, double half_width) {
  if (seconds == 0) return "0 s";
  const Unit& u = unit_for(kTimeUnits, seconds, 4);
  const int digits =
      std::min(decimals(seconds / u.size, 4), decimals_of_uncertainty(half_width / u.size));
  return fmt::format("{:.{}f} ± {:.{}f} {}", seconds / u.size, digits, half_width / u.size, digits,
                     u.name);
}

std::string human_range(double least, double most, double median) {
  const Unit& u = unit_for(kTimeUnits, median, 4);
  const int digits = decimals(median / u.size, 4);
  return fmt::format("{:.{}f}–{:.{}f}", least / u.size, digits, most / u.size, digits);
}

std::string human_flop_rate(double flop_per_s) { return with_unit(kFlopUnits, flop_per_s, 4); }

RateUnit rate_unit(std::span<const double> flop_per_s) {
  if (flop_per_s.empty()) return {};
  const Unit& u = unit_for(kFlopUnits, *std::min_element(flop_per_s.begin(), flop_per_s.end()), 4);
  return {u.size, u.name};
}

std::string human_flop_rate(double flop_per_s, const RateUnit& unit) {
  return fmt::format("{:.{}f}", flop_per_s / unit.size, decimals(flop_per_s / unit.size, 4));
}

std::string human_ratio(double ratio) {
  if (!std::isfinite(ratio)) return fmt::format("{}", ratio);
  const double magnitude = std::abs(ratio);
  if (magnitude >= 1e6) return fmt::format("{:.1e}", ratio);
  return fmt::format("{:.{}f}", ratio, magnitude < 0.0995 ? 2 : magnitude < 9.95 ? 1 : 0);
}

std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;  // not a continuation byte
  }));
}

}  // namespace flashbench::report
