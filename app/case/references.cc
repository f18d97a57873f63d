#include "app/case/references.h"

namespace flashbench::app {

ExtraRoundings extra_roundings(const RoutedCase& c, const Problem& p) {
  if (!c.route) return {};
  const auto guest = c.route->kernel->guest();
  ExtraRoundings extra = guest ? guest->rounds : ExtraRoundings();
  if (!p.needs_gradients() || p.shape.group() == 1 || p.dtype == Dtype::kF32)
    extra.remove(ExtraRounding::kQueryHeads);
  return extra;
}

const oracle::Reference& References::of(const RoutedCase& c) {
  const ExtraRoundings extra = extra_roundings(c, problem_);
  for (const auto& [rounds, reference] : made_)
    if (rounds == extra) return *reference;
  made_.emplace_back(extra, std::make_unique<oracle::Reference>(problem_, inputs_, level_, extra));
  return *made_.back().second;
}

}  // namespace flashbench::app
