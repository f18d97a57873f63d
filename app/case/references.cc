#include "app/case/references.h"

namespace flashbench::app {

ExtraRoundings extra_roundings(const RoutedCase& c, const Problem& p) {
  if (!c.route) return {};
  const auto guest = c.route->kernel->guest();
  ExtraRoundings extra = guest ? guest->rounds : ExtraRoundings();
  for (const ExtraRounding r : kExtraRoundings)
    if (!matters(r, p)) extra.remove(r);
  return extra;
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
