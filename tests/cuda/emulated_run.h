#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "cuda/plan.h"
#include "data/inputs.h"
#include "oracle/verify.h"
#include "tests/cuda/mutated_device.h"

namespace flashbench::cuda {

/// A test that wants the kernels; skipped in a build without the CUDA toolkit.
class NeedsKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (images().empty()) GTEST_SKIP() << "this build has no CUDA kernels";
  }
};

struct EmulatedOptions {
  Mutation bug{};  ///< planted; by default none
  bool nan_in_hidden_keys = false;
  MutatedDevice::GemmBug gemm_bug{};  ///< changes every product
  int multiprocessors = 0;            ///< that plans go by; 0: those that are emulated
  std::size_t shared_bytes = 0;       ///< of a block, likewise
  int launches = 1;                   ///< one after the other; the last one's results count
};

/// K and V rows that the padding mask hides become NaN.
inline void hide_with_nan(const Problem& p, Inputs& in) {
  if (in.key_mask.empty()) return;
  const Shape& s = p.shape;
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t key = 0; key < s.kv_len; ++key) {
      if (in.key_mask[static_cast<std::size_t>(b * s.kv_len + key)] != 0) continue;
      for (std::int64_t h = 0; h < s.h_kv; ++h)
        for (Tensor* t : {&in.k, &in.v})
          for (std::int64_t d = 0; d < t->dims().d; ++d) t->set(t->dims().index(b, h, key, d), NAN);
    }
}

/// One problem through all launches of a family on a device of its own: what the device found, and
/// what the oracle says.
class EmulatedRun {
 public:
  EmulatedRun(const KernelFamily& family, const Problem& p, std::uint64_t seed,
              const EmulatedOptions& options = {})
      : device_(options.bug, seed, options.gemm_bug), out_(data::make_outputs(p)) {
    device_.pretend(options.multiprocessors, options.shared_bytes);
    const Inputs in = data::make_inputs(p);
    Inputs given = data::make_inputs(p);
    if (options.nan_in_hidden_keys) hide_with_nan(p, given);
    out_.poison();
    {
      const auto plan = make_plan(device_, family, p, given);
      const Operands io{&given, &out_};
      for (int i = 0; i < options.launches; ++i) {
        plan->prepare(io);
        plan->launch(io);
      }
      plan->collect(io);
      flop_executed_ = plan->flop_executed();
    }
    const Verdict v = oracle::verify(p, in, out_, VerifyLevel::kFull);
    for (const TensorVerdict& t : v.tensors)
      if (!t.ok) wrong_ += fmt::format("{} {:.3g}x; ", t.tensor, t.error_over_noise);
  }

  const std::vector<ptx::Finding>& findings() const { return device_.findings(); }
  std::string findings_text() const {
    std::string text;
    for (const ptx::Finding& f : findings()) text += f.text() + "\n";
    return text;
  }
  /// The tensors that are wrong and by how much; empty when none is.
  const std::string& wrong() const { return wrong_; }

  /// FLOP of products that the launches executed, and those that the plan says one execution has.
  double matrix_flop() const { return static_cast<double>(device_.counters().matrix_flop); }
  /// The same of ordinary arithmetic, a multiply-add being two: all of it, softmax too.
  double ordinary_flop() const {
    return 2.0 * static_cast<double>(
                     device_.counters()
                         .by_class[static_cast<std::size_t>(ptx::InstructionClass::kFloat)]);
  }
  double flop_executed() const { return flop_executed_; }

  bool same_bits_as(const EmulatedRun& other) const {
    const auto same = [](const Tensor& x, const Tensor& y) {
      return x.bytes() == y.bytes() && std::memcmp(x.data(), y.data(), x.bytes()) == 0;
    };
    return same(out_.o, other.out_.o) && same(out_.lse, other.out_.lse) &&
           same(out_.dq, other.out_.dq) && same(out_.dk, other.out_.dk) &&
           same(out_.dv, other.out_.dv) &&
           (out_.dsinks.empty() || same(out_.dsinks, other.out_.dsinks));
  }

 private:
  MutatedDevice device_;
  Outputs out_;
  std::string wrong_;
  double flop_executed_ = 0;
};

}  // namespace flashbench::cuda
