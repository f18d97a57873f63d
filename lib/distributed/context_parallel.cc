#include "distributed/context_parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/visibility.h"
#include "distributed/executor.h"
#include "system/error.h"

namespace flashbench::distributed {
namespace {

std::vector<Pass> passes_of(Pass pass) {
  if (pass == Pass::kBoth) return {Pass::kForward, Pass::kBackward};
  return {pass};
}

class ContextParallelPlan final : public Plan {
 public:
  ContextParallelPlan(const Problem& p, const Arrangement& of, const Link& link,
                      const PartialKernel& kernel, const Execution& e, const Inputs& in)
      : problem_(p), link_(link), key_mask_(in.key_mask), schedules_(schedules(p, of)) {
    for (const Schedule& s : schedules_) {
      bytes_ += Executor::workspace_bytes(problem_, s, kernel, e);
      ranks_.push_back(std::make_unique<Executor>(problem_, s, kernel, e, key_mask_));
    }
  }

  void prepare(const Operands& io) override {
    if (problem_.pass == Pass::kBackward) run(Pass::kForward, io);
  }
  void launch(const Operands& io) override { run(problem_.pass, io); }

  std::size_t workspace_bytes() const override { return bytes_; }
  double flop_executed() const override {
    double flop = 0;
    for (const Pass pass : passes_of(problem_.pass))
      for (const auto& rank : ranks_) flop += rank->flop_executed(pass);
    return flop;
  }
  std::vector<PhaseProfile::Row> profile(const Operands&) override { return {}; }

 private:
  void run(Pass pass, const Operands& io) {
    const std::vector<Sent> sent =
        run_on_threads(static_cast<int>(ranks_.size()), link_, [&](Communicator& ranks) {
          Executor& own = *ranks_[static_cast<std::size_t>(ranks.rank())];
          for (const Pass each : passes_of(pass)) {
            if (each == Pass::kForward)
              own.forward(ranks, *io.in);
            else
              own.backward(ranks, *io.in);
          }
          own.store(pass, *io.out);
        });
    for (std::size_t rank = 0; rank < sent.size(); ++rank) {
      const std::int64_t predicted = bytes_sent(schedules_[rank], problem_, pass);
      if (sent[rank].bytes != predicted)
        throw DeviceError(fmt::format("rank {} sent {} bytes, its schedule says {}", rank,
                                      sent[rank].bytes, predicted));
    }
  }

  const Problem problem_;
  const Link link_;
  const std::vector<std::uint8_t> key_mask_;
  const std::vector<Schedule> schedules_;
  std::vector<std::unique_ptr<Executor>> ranks_;
  std::size_t bytes_ = 0;
};

class ContextParallelKernel final : public Kernel {
 public:
  ContextParallelKernel(const Kernel& kernel, const Arrangement& of, const Link& link)
      : kernel_(kernel), info_(kernel.info()), of_(of), link_(link) {
    info_.name = fmt::format("{} of {}", name(of.method), info_.name);
  }

  const KernelInfo& info() const override { return info_; }

  Supports supports() const override {
    Supports s = kernel_.supports();
    const Features spread = {Feature::kGradients, Feature::kCausal,  Feature::kKeyMask,
                             Feature::kWindow,    Feature::kSoftcap, Feature::kAlibi,
                             Feature::kValueDim};
    s.features = s.features - (s.features - spread);
    return s;
  }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    std::size_t bytes = 0;
    for (const Schedule& s : schedules(p, of_))
      bytes += Executor::workspace_bytes(p, s, partial(), of_rank(e));
    return bytes;
  }

  double predicted_flop(const Problem& p, const Execution& e) const override {
    double flop = 0;
    for (const Schedule& s : schedules(p, of_))
      for (const Step& step : s.steps)
        for (const Pass pass : passes_of(p.pass))
          flop += partial().predicted_flop(planned(s, p), of_rank(e), pass, step.blocks);
    return flop;
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    return std::make_unique<ContextParallelPlan>(p, of_, link_, partial(), of_rank(e), in);
  }

 private:
  const PartialKernel& partial() const { return *kernel_.parts(); }

  /// Ranks share the threads; each has one at least.
  Execution of_rank(Execution e) const {
    e.threads = std::max(1, e.threads / of_.ranks);
    return e;
  }

  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override {
    const auto unsupported = [&](std::string reason) {
      return Rejection{Rejection::Kind::kUnsupported, std::move(reason)};
    };
    if (kernel_.parts() == nullptr)
      return unsupported(fmt::format(
          "{} computes no parts of a problem, as --context_parallel needs", kernel_.info().name));
    if (p.shape.h_kv % of_.heads_over() != 0)
      return unsupported(
          fmt::format("--context_parallel {}: {} K/V heads do not divide by the {} "
                      "ranks over which heads are split",
                      name(of_.method), p.shape.h_kv, of_.heads_over()));
    if (p.alibi != Alibi::kNone && of_.layout == SequenceLayout::kStriped && of_.ring() > 1)
      return unsupported("--layout_seq striped does not support --alibi");
    if (const auto why = kernel_.refuses(p, e)) return why;
    return partial().refuses(p, e);
  }

  const Kernel& kernel_;
  KernelInfo info_;
  const Arrangement of_;
  const Link link_;
};

}  // namespace

std::unique_ptr<const Kernel> context_parallel(const Kernel& kernel, const Arrangement& of,
                                               const Link& link) {
  return std::make_unique<ContextParallelKernel>(kernel, of, link);
}

}  // namespace flashbench::distributed
