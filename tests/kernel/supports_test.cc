// The central refusal: what a kernel does not name it never sees.
#include "kernel/supports.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kernel/kernel.h"

namespace flashbench {
namespace {

constexpr Supports kFew = {.features = {Feature::kCausal}, .dtypes = {Dtype::kBf16}, .max_d = 64};

// Routing is a constant expression.
static_assert(lack(kFew, {{Feature::kCausal}, Dtype::kBf16, 64}) == Lack::kNone);
static_assert(lack(kFew, {{Feature::kGradients}, Dtype::kBf16, 64}) == Lack::kFeature);
static_assert(lack(kFew, {{}, Dtype::kF32, 64}) == Lack::kDtype);
static_assert(lack(kFew, {{}, Dtype::kBf16, 65}) == Lack::kHeadDim);
constexpr Supports kNarrowValues = {
    .features = {Feature::kValueDim}, .dtypes = {Dtype::kF32}, .max_d = 64, .max_d_v = 32};
static_assert(lack(kNarrowValues, {{Feature::kValueDim}, Dtype::kF32, 64, 32}) == Lack::kNone);
static_assert(lack(kNarrowValues, {{Feature::kValueDim}, Dtype::kF32, 32, 33}) == Lack::kValueDim);
static_assert(lack(kFew, {{}, Dtype::kBf16, 1, 65}) == Lack::kValueDim, "no wider than max_d");
static_assert(lack(Supports{}, {{}, Dtype::kF32, 1}) == Lack::kDtype, "nothing is named");

/// Claims nothing on its own: whatever it refuses, data refused.
class FakeKernel final : public Kernel {
 public:
  explicit FakeKernel(Supports supports) : supports_(supports) { info_.name = "fake"; }
  const KernelInfo& info() const override { return info_; }
  Supports supports() const override { return supports_; }
  std::size_t workspace_bytes(const Problem&, const Execution&) const override { return 0; }
  double predicted_flop(const Problem&, const Execution&) const override { return 0; }
  std::unique_ptr<Plan> plan(const Problem&, const Execution&, const Inputs&) const override {
    return nullptr;
  }
  mutable int asked = 0;

 private:
  std::optional<Rejection> rejects(const Problem&, const Execution& e) const override {
    ++asked;
    if (e.deterministic) return Rejection{Rejection::Kind::kUnsupported, "no order"};
    return std::nullopt;
  }

  KernelInfo info_;
  Supports supports_;
};

Problem small() {
  Problem p;
  p.shape = {1, 2, 2, 8, 8, 16};
  p.dtype = Dtype::kBf16;
  return p;
}

struct Row {
  const char* guards_against;
  void (*change)(Problem&);
  Rejection::Kind kind;
  const char* reason;
};

TEST(Refusal, NamesWhatTheKernelDoesNot) {
  const Row rows[] = {
      {"a_mask_computed_wrong", [](Problem& p) { p.padding = PaddingMask::kRandom; },
       Rejection::Kind::kUnsupported, "fake does not support --mask"},
      {"two_at_once", [](Problem& p) { p.padding = PaddingMask::kRandom, p.pass = Pass::kBoth; },
       Rejection::Kind::kUnsupported, "fake does not support --pass backward and --mask"},
      {"bits_of_another_dtype", [](Problem& p) { p.dtype = Dtype::kF16; },
       Rejection::Kind::kUnsupported, "fake takes bf16, not f16"},
      {"too_wide", [](Problem& p) { p.shape.d = 65; }, Rejection::Kind::kUnsupported,
       "fake takes head dimensions up to 64, not 65"},
      {"values_of_another_width", [](Problem& p) { p.shape.own_d_v = 8; },
       Rejection::Kind::kUnsupported, "fake does not support --d_v"},
      {"keys_of_another_dtype", [](Problem& p) { p.own_kv_dtype = Dtype::kE4m3; },
       Rejection::Kind::kUnsupported, "fake does not support --kv_dtype"},
      {"nonsense_comes_first",
       [](Problem& p) { p.shape.h_kv = 3, p.padding = PaddingMask::kRandom; },
       Rejection::Kind::kInvalid, "--h_kv 3 does not divide --h 2; use one of 1, 2"},
  };
  const FakeKernel kernel(kFew);
  for (const Row& row : rows) {
    Problem p = small();
    row.change(p);
    const auto why = kernel.refuses(p, {});
    ASSERT_TRUE(why) << row.guards_against;
    EXPECT_EQ(why->kind, row.kind) << row.guards_against;
    EXPECT_EQ(why->reason, row.reason) << row.guards_against;
  }
  EXPECT_EQ(kernel.asked, 0) << "a kernel is asked only about what it supports";
}

TEST(Refusal, TheKernelHasTheLastWord) {
  const FakeKernel kernel(kFew);
  Problem p = small();
  p.causal = true;
  EXPECT_FALSE(kernel.refuses(p, {}));
  const auto why = kernel.refuses(p, {.deterministic = true});
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason, "no order");
}

}  // namespace
}  // namespace flashbench
