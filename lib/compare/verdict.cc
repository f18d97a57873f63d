#include "compare/verdict.h"

#include <numeric>

#include "core/enumerators.h"

namespace flashbench::compare {

std::string_view name(Verdict v) {
  switch (v) {
    case Verdict::kSlower:
      return "SLOWER";
    case Verdict::kFaster:
      return "FASTER";
    case Verdict::kSame:
      return "SAME";
    case Verdict::kAmbiguous:
      return "AMBIGUOUS";
  }
  no_such_enumerator();
}

Verdict verdict_of(const Interval& ratio, double threshold) {
  const double slow = 1 + threshold, fast = 1 / (1 + threshold);
  if (ratio.low > slow) return Verdict::kSlower;
  if (ratio.high < fast) return Verdict::kFaster;
  if (ratio.low >= fast && ratio.high <= slow) return Verdict::kSame;
  return Verdict::kAmbiguous;
}

std::vector<Decision> decide(std::span<const Evidence> cases, double threshold, double alpha) {
  std::vector<Decision> decisions(cases.size());
  std::vector<std::size_t> open(cases.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  while (!open.empty()) {
    const double level = alpha / static_cast<double>(open.size());
    std::vector<std::size_t> still_open;
    for (const std::size_t i : open) {
      const Interval interval = cases[i].interval(level);
      decisions[i] = {verdict_of(interval, threshold), interval, level};
      if (decisions[i].verdict == Verdict::kAmbiguous) still_open.push_back(i);
    }
    if (still_open.size() == open.size()) break;
    open = std::move(still_open);
  }
  return decisions;
}

}  // namespace flashbench::compare
