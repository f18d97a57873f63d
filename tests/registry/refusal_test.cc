// Every kernel of this build, asked for what it does not name.
#include <gtest/gtest.h>

#include "registry/registry.h"

namespace flashbench::registry {
namespace {

/// Uses nothing that is a feature.
Problem plain(const Supports& s) {
  Problem p;
  p.shape = {1, 2, 2, 8, 8, 16};
  for (const Dtype t : kEnumerators<Dtype>)
    if (s.dtypes.has(t)) p.dtype = t;
  return p;
}

std::string reason(const Kernel& kernel, const Problem& p) {
  const auto why = kernel.refuses(p, {});
  return why ? why->reason : "taken";
}

TEST(EveryKernel, NamesADtypeAndAHeadDimension) {
  for (const Kernel* kernel : kernels()) {
    EXPECT_NE(kernel->supports().dtypes, DtypeSet{}) << kernel->info().name;
    EXPECT_GE(kernel->supports().max_d, 1) << kernel->info().name;
  }
}

TEST(EveryKernel, RefusesOtherDtypesByName) {
  for (const Kernel* kernel : kernels())
    for (const Dtype t : kEnumerators<Dtype>) {
      if (kernel->supports().dtypes.has(t)) continue;
      Problem p = plain(kernel->supports());
      p.dtype = t;
      const std::string says = reason(*kernel, p);
      EXPECT_TRUE(says.starts_with(kernel->info().name + " takes ")) << says;
      EXPECT_TRUE(says.ends_with(", not " + std::string(name(t)))) << says;
    }
}

TEST(EveryKernel, RefusesFeaturesByTheirFlag) {
  for (const Kernel* kernel : kernels()) {
    const Supports s = kernel->supports();
    for (const Feature f : kEnumerators<Feature>) {
      Demand asked = demand_of(plain(s));
      asked.features.add(f);
      const auto why = unsupported(kernel->info().name, s, asked);
      EXPECT_EQ(why.has_value(), !s.features.has(f)) << kernel->info().name << flag(f);
    }
  }
}

}  // namespace
}  // namespace flashbench::registry
