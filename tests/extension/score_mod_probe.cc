// After score_mod.patch, which adds a drift along the keys after the soft cap, and tells `paper`
// alone.
#include <fmt/format.h>

#include "data/inputs.h"
#include "expect.h"
#include "oracle/chain.h"
#include "oracle/verify.h"
#include "registry/registry.h"

using namespace flashbench;

namespace {

/// Scores of some ±15, so that a cap of 5 bends most of them.
Problem plain() {
  Problem p;
  p.shape = {2, 4, 2, 60, 70, 24};
  p.pass = Pass::kBoth;
  p.d_o = GradSource::kRandom;
  p.scale = 1;
  return p;
}
Problem capped() {
  Problem p = plain();
  p.softcap = 5;
  return p;
}
Problem drifting() {
  Problem p = plain();
  p.drift = 3;
  return p;
}
Problem both() {
  Problem p = capped();
  p.drift = 3;
  p.causal = true;
  p.padding = PaddingMask::kRandom;
  return p;
}

void kernels_that_were_not_told_refuse_it_by_name() {
  for (const Kernel* kernel : registry::kernels())
    expect_taken_or_refused_by_name(*kernel, drifting(), "--drift");
}

bool right(const Problem& p, const Inputs& in, const Outputs& out, VerifyLevel level) {
  const Verdict v = oracle::verify(p, in, out, level);
  return v.checked() && v.ok();
}

void who_was_told_is_right() {
  for (const Kernel* kernel : registry::kernels()) {
    if (!opted_in(*kernel)) continue;
    const std::string& name = kernel->info().name;
    for (const Problem& p : {capped(), drifting(), both()}) {
      const Inputs in = data::make_inputs(p);
      const Outputs out = computed(*kernel, p, in);
      for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample})
        expect(right(p, in, out, level), name + " is wrong");
      Problem other = p;
      other.softcap = p.softcap > 0 ? 0 : 5;
      expect(!right(other, in, out, VerifyLevel::kFull), "a soft cap changes nothing");
      other = p;
      other.drift = p.drift == 0 ? 3 : 0;
      expect(!right(other, in, out, VerifyLevel::kFull), "a drift changes nothing");
    }
  }
}

/// Automatic differentiation, dual numbers and the paper's backward against the closed form.
void gradients_agree() {
  for (const Problem& p : {capped(), drifting(), both()})
    for (const oracle::ChainLink& link : oracle::check_gradient_chain(p, data::make_inputs(p)))
      expect(link.ran() && link.ok(), fmt::format("{} ({})", link.name, link.on));
}

}  // namespace

int main() {
  kernels_that_were_not_told_refuse_it_by_name();
  who_was_told_is_right();
  gradients_agree();
  return failures == 0 ? 0 : 1;
}
