// After isa.patch, which adds a level that computes as scalar does.
#include <fmt/format.h>

#include <cstring>

#include "data/inputs.h"
#include "expect.h"
#include "registry/registry.h"

using namespace flashbench;

namespace {

Outputs computed_at(Isa isa, const Kernel& kernel, const Problem& p, const Inputs& in) {
  const Execution e{.isa = isa, .threads = 1, .deterministic = true};
  Outputs out = data::make_outputs(p);
  const auto plan = kernel.plan(p, e, in);
  plan->launch({&in, &out});
  return out;
}

void kernels_compute_with_it() {
  Problem p;
  p.shape = {1, 2, 1, 70, 90, 40};
  p.pass = Pass::kBoth;
  p.causal = true;
  const Inputs in = data::make_inputs(p);
  for (const Kernel* kernel : registry::kernels()) {
    if (kernel->info().type == AttentionType::kPaper) continue;  // has no levels
    const std::string& name = kernel->info().name;
    expect(!kernel->refuses(p, {.isa = Isa::kPlain}), name + " refuses the level");
    const Outputs got = computed_at(Isa::kPlain, *kernel, p, in);
    const Outputs want = computed_at(Isa::kScalar, *kernel, p, in);
    for (const auto tensor : {&Outputs::o, &Outputs::lse, &Outputs::dq, &Outputs::dk, &Outputs::dv})
      expect(std::memcmp((got.*tensor).data(), (want.*tensor).data(), (want.*tensor).bytes()) == 0,
             name + " computes something else");
  }
}

}  // namespace

int main() {
  expect(from_name<Isa>("plain") == Isa::kPlain, "it has no name");
  bool listed = false;
  for (Backend* backend : registry::backends())
    for (const IsaStatus& status : backend->isas())
      listed = listed || (status.isa == Isa::kPlain && !status.absent && status.chosen_for.empty());
  expect(listed, "info does not list it");
  kernels_compute_with_it();
  return failures == 0 ? 0 : 1;
}
