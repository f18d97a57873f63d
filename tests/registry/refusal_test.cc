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

/// A problem that uses one feature and nothing else but what that one needs.
Problem with(Feature f, Problem p) {
  switch (f) {
    case Feature::kGradients:
      p.pass = Pass::kBackward;
      break;
    case Feature::kCausal:
      p.causal = true;
      break;
    case Feature::kKeyMask:
      p.padding = PaddingMask::kRandom;
      break;
    case Feature::kWindow:
      p.window_left = 3;
      break;
    case Feature::kSoftcap:
      p.softcap = 50;
      break;
    case Feature::kAlibi:
      p.alibi = Alibi::kStandard;
      break;
    case Feature::kSinks:
      p.sinks = Sinks::kRandom;
      break;
    case Feature::kBias:
      p.bias = Bias::kRandom;
      break;
    case Feature::kBiasGradient:
      p.bias = Bias::kRandom;
      p.bias_grad = true;
      p.pass = Pass::kBackward;
      break;
    case Feature::kPages:
      p.page_size = 16;
      break;
    case Feature::kRagged:
      p.ragged = Ragged::kLengths;
      p.shape.set(Sequences::of({{3, 5}, {4, 4}}));
      break;
    case Feature::kValueDim:
      p.shape.own_d_v = p.shape.d / 2;
      break;
    case Feature::kKvDtype:
      p.own_kv_dtype = Dtype::kE4m3;
      break;
    case Feature::kValuesInKeys:
      p.v_in_k = true;
      break;
    case Feature::kKvChunk:
      p.kv_chunk = 3;
      break;
    case Feature::kBf16x6:
      p.dtype = Dtype::kF32;
      p.f32_math = F32Math::kBf16x6;
      break;
  }
  return p;
}

TEST(EveryKernel, RefusesByItsFlagEachFeatureThatItDoesNotName) {
  int refused = 0;
  for (const Kernel* kernel : kernels()) {
    const Supports s = kernel->supports();
    for (const Feature f : kEnumerators<Feature>) {
      const Problem p = with(f, plain(s));
      const Features needed = f == Feature::kBiasGradient
                                  ? Features{Feature::kGradients, Feature::kBias, f}
                                  : Features{f};
      ASSERT_EQ(used(p), needed) << flag(f);
      const std::string says = reason(*kernel, p);
      const bool by_name =
          says.starts_with(kernel->info().name + " does not support ") && says.ends_with(flag(f));
      EXPECT_EQ(by_name, !s.features.has(f)) << flag(f) << ": " << says;
      refused += s.features.has(f) ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 0) << "a build whose kernels take everything tests nothing here";
}

// The last kernel of the list, simt_f32, said that it splits nothing: of no use to who asked for
// it.
TEST(SplitOperands, AreRefusedByTheKernelThatSplitsThem) {
  const BackendId cuda{"cuda"};
  if (const auto why = find(backends(), cuda)->absent(kEmulatedDevice)) GTEST_SKIP() << *why;
  Problem plain;
  plain.shape = {1, 2, 2, 8, 8, 16};
  plain.f32_math = F32Math::kBf16x6;
  const auto says = [&](const Problem& p) {
    const auto found =
        route(p, {.backend = cuda, .execution = {.isa = {}, .device = kEmulatedDevice}});
    const auto* const why = std::get_if<Rejection>(&found);
    return why != nullptr ? why->reason : std::get<Route>(found).kernel->info().name;
  };
  EXPECT_EQ(says(plain), "mma_bf16x6_sm80");
  Problem wide = plain;
  wide.shape.d = 129;
  EXPECT_EQ(says(wide), "mma_bf16x6_sm80 takes head dimensions up to 128, not 129");
  wide = with(Feature::kSoftcap, wide);
  EXPECT_EQ(says(wide), "mma_bf16x6_sm80 does not support --softcap");
  for (const Feature f : {Feature::kSoftcap, Feature::kAlibi, Feature::kSinks, Feature::kValueDim,
                          Feature::kRagged, Feature::kBias})
    EXPECT_EQ(says(with(f, plain)), "mma_bf16x6_sm80 does not support " + std::string(flag(f)));
}

}  // namespace
}  // namespace flashbench::registry
