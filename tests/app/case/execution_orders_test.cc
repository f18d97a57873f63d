// In how many orders check executes a case, and what it takes for a broken promise.
#include "app/case/execution_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/inputs.h"

namespace flashbench::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Of a given cost, which adds gradients in a fixed order or does not.
class FakeKernel final : public Kernel {
 public:
  FakeKernel(double flop, bool ordered) : flop_(flop), ordered_(ordered) { info_.name = "fake"; }
  const KernelInfo& info() const override { return info_; }
  Supports supports() const override {
    return {.features = Features::all(), .dtypes = DtypeSet::all(), .max_d = kMaxHeadDim};
  }
  std::size_t workspace_bytes(const Problem&, const Execution&) const override { return 0; }
  double predicted_flop(const Problem&, const Execution&) const override { return flop_; }
  std::unique_ptr<Plan> plan(const Problem&, const Execution&, const Inputs&) const override {
    return nullptr;
  }

 private:
  std::optional<Rejection> rejects(const Problem&, const Execution& e) const override {
    if (!e.deterministic || ordered_) return std::nullopt;
    return Rejection{Rejection::Kind::kUnsupported, "no fixed order"};
  }

  KernelInfo info_;
  double flop_;
  bool ordered_;
};

RoutedCase case_of(const FakeKernel& kernel) {
  RoutedCase c;
  c.request.problem.shape = {1, 1, 1, 3, 4, 8};
  c.request.problem.pass = Pass::kBoth;
  c.route = registry::Route{nullptr, &kernel, {.device = kEmulatedDevice}};
  return c;
}

Outputs zeros(const RoutedCase& c) {
  Outputs out = data::make_outputs(c.request.problem);
  for (Tensor* t : {&out.o, &out.lse, &out.dq, &out.dk, &out.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0.0f);
  return out;
}

TEST(ExecutionOrders, SmallCasesRunInSeveralAndTheUserDecides) {
  const FakeKernel small(1e6, true), large(1e9, true);
  EXPECT_THAT(order_seeds({}, case_of(small)), ElementsAre(1, 2));
  EXPECT_THAT(order_seeds({}, case_of(large)), ElementsAre(1));
  EXPECT_THAT(order_seeds({7, 9}, case_of(large)), ElementsAre(7, 9));
  EXPECT_EQ(seeds_flag({7, 9}), "--emulated_seeds 7,9");
}

TEST(ExecutionOrders, EqualResultsKeepEveryPromise) {
  const FakeKernel kernel(1, true);
  const RoutedCase c = case_of(kernel);
  EXPECT_FALSE(broken_promise(c, zeros(c), zeros(c)));
}

// -0 equals 0, but not to the bit.
TEST(ExecutionOrders, GradientsOfAFixedOrderAreEqualToTheBit) {
  const FakeKernel kernel(1, true);
  const RoutedCase c = case_of(kernel);
  Outputs other = zeros(c);
  other.dk.set(31, -0.0f);
  const auto why = broken_promise(c, zeros(c), other);
  ASSERT_TRUE(why);
  EXPECT_THAT(*why, HasSubstr("dk depends on the order"));
  EXPECT_THAT(*why, HasSubstr("fake"));
}

TEST(ExecutionOrders, GradientsMayDifferWhereNobodyPromisedThem) {
  const FakeKernel kernel(1, false);
  const RoutedCase c = case_of(kernel);
  Outputs other = zeros(c);
  other.dq.set(0, 1.0f);
  EXPECT_FALSE(broken_promise(c, zeros(c), other));
  other.lse.set(2, 1.0f);
  const auto why = broken_promise(c, zeros(c), other);
  ASSERT_TRUE(why);
  EXPECT_THAT(*why, HasSubstr("lse depends"));
}

}  // namespace
}  // namespace flashbench::app
