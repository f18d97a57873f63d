#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "compare/evidence.h"

namespace flashbench::compare {

/// What is said of a case that both sides measured.
enum class Verdict { kSlower, kFaster, kSame, kAmbiguous };
std::string_view name(Verdict v);  ///< "SLOWER", "FASTER", "SAME", "AMBIGUOUS"

/// With threshold t: SLOWER if the whole interval lies above 1 + t, FASTER if below 1 / (1 + t),
/// SAME if between the two, else AMBIGUOUS. Noise makes the interval wide; it never moves t.
Verdict verdict_of(const Interval& ratio, double threshold);

struct Decision {
  Verdict verdict = Verdict::kAmbiguous;
  Interval interval;
  double alpha = 0;  ///< the error rate that the interval has, after Holm's correction
};

/// Decides all cases so that with probability 1 - alpha no verdict among them is wrong: Holm's
/// step-down procedure. Every case is tried at alpha / m; those that are decided leave, and the
/// rest is tried at alpha over their number, until none leaves.
std::vector<Decision> decide(std::span<const Evidence> cases, double threshold, double alpha);

}  // namespace flashbench::compare
