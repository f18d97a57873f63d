#include "app/case/references.h"

namespace flashbench::app {

ExtraRoundings that_matter(ExtraRoundings rounds, const Problem& p) {
  for (const ExtraRounding r : kExtraRoundings)
    if (!matters(r, p)) rounds.remove(r);
  return rounds;
}

ExtraRoundings extra_roundings(const RoutedCase& c, const Problem& p) {
  if (!c.route) return {};
  const auto guest = c.route->kernel->guest();
  return that_matter(guest ? guest->rounds : ExtraRoundings(), p);
}

const oracle::Reference& References::of(const RoutedCase& c) {
  const ExtraRoundings extra = extra_roundings(c, problem_);
  if (!made_ || rounds_ != extra) {
    made_.reset();
    made_.emplace(problem_, inputs_, level_, extra);
    rounds_ = extra;
  }
  return *made_;
}

}  // namespace flashbench::app
