// After mask.patch, which adds a mask without a parameter, and tells `paper` alone.
#include <fmt/format.h>

#include <algorithm>

#include "core/work.h"
#include "data/inputs.h"
#include "expect.h"
#include "oracle/chain.h"
#include "oracle/verify.h"
#include "registry/registry.h"

using namespace flashbench;

namespace {

Problem problem() {
  Problem p;
  p.shape = {2, 4, 2, 90, 70, 24};  // the first queries see nothing
  p.pass = Pass::kBoth;
  p.d_o = GradSource::kRandom;
  p.recent = true;
  return p;
}

void kernels_that_were_not_told_refuse_it_by_name() {
  for (const Kernel* kernel : registry::kernels())
    expect_taken_or_refused_by_name(*kernel, problem(), "--recent");
}

/// Keys before the last 17 are hidden, fewer where these begin before key 0.
void its_pairs_are_counted() {
  Problem p;
  p.shape = {1, 1, 1, 40, 40, 8};
  p.recent = true;
  double pairs = 0;
  for (int q = 0; q < 40; ++q) pairs += std::min(q + 1, 17);
  expect(count_visible(p, {}).pairs == pairs, "FLOP are counted over other pairs");
}

void who_was_told_is_right() {
  const Problem p = problem();
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : registry::kernels()) {
    if (!opted_in(*kernel)) continue;
    const Outputs out = computed(*kernel, p, in);
    const Verdict v = oracle::verify(p, in, out, VerifyLevel::kFull);
    expect(v.checked() && v.ok(), kernel->info().name + " is wrong");
    Problem wider = p;
    wider.recent = false;
    wider.causal = true;
    expect(!oracle::verify(wider, in, out, VerifyLevel::kFull).ok(), "the mask hides nothing");
  }
}

/// Automatic differentiation, dual numbers and the paper's backward against the closed form.
void gradients_agree() {
  for (const oracle::ChainLink& link :
       oracle::check_gradient_chain(problem(), data::make_inputs(problem())))
    expect(link.ran() && link.ok(), fmt::format("{} ({})", link.name, link.on));
}

}  // namespace

int main() {
  kernels_that_were_not_told_refuse_it_by_name();
  its_pairs_are_counted();
  who_was_told_is_right();
  gradients_agree();
  return failures == 0 ? 0 : 1;
}
