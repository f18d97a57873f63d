#pragma once

#include <optional>
#include <span>

#include "compare/comparison.h"

namespace flashbench::compare {

/// Looking again and again until something is significant finds something. So the looks are few and
/// fixed beforehand, and share the error rate among them (Bonferroni): a verdict of any look is as
/// good as one that looked once.
inline constexpr int kLooks = 4;

/// How many rounds are complete at look 0 to kLooks - 1: each doubles what the one before knew.
constexpr int rounds_at(int look) { return 8 << look; }

/// The rule of a single look.
Rule rule_at(const Rule& rule);

/// The largest standard deviation, among the cases, of ln(new / base) over rounds; nullopt below
/// two rounds. Of a program against itself: the noise that a comparison has to overcome.
std::optional<double> round_spread(std::span<const report::Report> base,
                                   std::span<const report::Report> fresh);

}  // namespace flashbench::compare
