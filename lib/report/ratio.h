#pragma once

#include <array>
#include <optional>
#include <string>

#include "report/record.h"

namespace flashbench::report {

/// Of two times, and what holds it with 95 % or more.
struct Ratio {
  double value = 1;
  std::array<double, 2> interval{};
};

/// Seconds that hold the median with 95 %. Of fewer than 6 samples, whose range does not, Student's
/// interval around it; nullopt for a single one, which says nothing about its noise.
std::optional<std::array<double, 2>> median_interval(const Timing& timing);

/// Time of `slow` over that of `fast`, from the ends of their intervals: what they have in common
/// (drift) widens it and never narrows it. nullopt where one of them has none.
std::optional<Ratio> time_ratio(const Timing& slow, const Timing& fast);

/// The same the other way round.
Ratio inverse(const Ratio& ratio);

/// What a ratio of times says about who is faster.
enum class Faster {
  kDenominator,  ///< the one whose time divides
  kNumerator,
  kUnknown,  ///< the interval holds 1, or all but
};
Faster faster(const Ratio& ratio);

/// Whether they take the same time as far as anybody would care (within 2 %).
bool practically_equal(const Ratio& ratio);

/// How many times as fast as `type` it is, as derive_speedups() found; nullopt where nothing can be
/// concluded.
std::optional<Ratio> speedup_over(const Result& r, const std::string& type);

/// "1.04x [1.02, 1.06]": the ends rounded outwards.
std::string ratio_text(const Ratio& ratio);

/// "[1.02, 1.06]".
std::string interval_text(const Ratio& ratio);

/// The same for a cell of a table: "cannot tell [0.97, 1.05]" where nobody knows who is faster.
std::string ratio_cell(const Ratio& ratio);

}  // namespace flashbench::report
