#include "kernel/by_sequence.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "core/batch_element.h"

namespace flashbench {
namespace {

/// A sequence that has a plan.
struct Member {
  std::int64_t b;
  std::size_t plan;
};

/// Which plan each sequence that is computed has, in the order of their numbers.
std::vector<Member> members_of(const Problem& p, SharedPlans shared) {
  // A backward alone begins with what a forward left.
  const bool apart = shared == SharedPlans::kNo || p.pass == Pass::kBackward;
  std::vector<Member> members;
  std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> plans;
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    const std::int64_t q_len = p.shape.q_len_of(b), kv_len = p.shape.kv_len_of(b);
    if (q_len == 0 || kv_len == 0) continue;
    const auto known = plans.try_emplace({q_len, kv_len}, plans.size()).first;
    members.push_back({b, apart ? members.size() : known->second});
  }
  return members;
}

void fill_zero(Tensor t) {
  if (!t.empty()) std::memset(t.data(), 0, t.bytes());
}

/// Phases of one name are one.
void add_rows(std::vector<PhaseProfile::Row>& total, const std::vector<PhaseProfile::Row>& rows,
              bool with_memory) {
  for (const PhaseProfile::Row& row : rows) {
    auto same = std::find_if(total.begin(), total.end(),
                             [&](const PhaseProfile::Row& r) { return r.phase == row.phase; });
    if (same == total.end()) {
      total.push_back({.phase = row.phase});
      same = total.end() - 1;
    }
    same->add(row);
    if (with_memory) same->bytes += row.bytes;
  }
}

/// What a sequence has whose queries see no key, or whose keys no query sees.
void write_empty(const Inputs& in, Outputs one) {
  for (Tensor* t : {&one.o, &one.dq, &one.dk, &one.dv}) fill_zero(std::move(*t));
  const Dims& dims = one.lse.dims();
  for (std::int64_t h = 0; h < dims.h; ++h)
    std::fill_n(one.lse.as<float>() + h * dims.rows, dims.rows,
                in.sinks.empty() ? -std::numeric_limits<float>::infinity()
                                 : in.sinks[static_cast<std::size_t>(h)]);
}

class SequencePlans final : public Plan {
 public:
  SequencePlans(const Problem& p, const Inputs& in, SharedPlans shared, const PlanSequence& plan)
      : problem_(p), members_(members_of(p, shared)) {
    for (const Member& m : members_)
      if (m.plan == plans_.size())
        plans_.push_back(plan(sequence(p, m.b), batch_element(p, in, m.b)));
    operands_.resize(members_.size());
  }

  void prepare(const Operands& io) override {
    bind(io);
    each([](Plan& plan, const Operands& of_one) { plan.prepare(of_one); });
  }
  void launch(const Operands& io) override {
    bind(io);
    each([](Plan& plan, const Operands& of_one) { plan.launch(of_one); });
    write_others(io);
  }
  void wait() override {
    for (const auto& plan : plans_) plan->wait();
  }
  void collect(const Operands& io) override {
    bind(io);
    each([](Plan& plan, const Operands& of_one) { plan.collect(of_one); });
    add_sink_gradients(io.out->dsinks);
  }

  std::size_t workspace_bytes() const override {
    std::size_t bytes = 0;
    for (const auto& plan : plans_) bytes += plan->workspace_bytes();
    return bytes;
  }
  double flop_executed() const override {
    double flop = 0;
    for (const Member& m : members_) flop += plans_[m.plan]->flop_executed();
    return flop;
  }

  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    bind(io);
    std::vector<PhaseProfile::Row> total;
    std::size_t plans = 0;  // whose memory is counted
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const bool is_new = members_[i].plan == plans;
      if (is_new) ++plans;
      add_rows(total, plan_of(i).profile(operands_of(i)), is_new);
    }
    write_others(io);
    return total;
  }
  std::vector<PhaseProfile> trace(const Operands& io, std::size_t events) override {
    bind(io);
    std::vector<PhaseProfile> total;
    std::size_t plans = 0;  // whose memory is counted
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const std::vector<PhaseProfile> passes = plan_of(i).trace(operands_of(i), events);
      const bool is_new = members_[i].plan == plans;
      if (is_new) ++plans;
      for (std::size_t pass = 0; pass < passes.size(); ++pass) {
        const PhaseProfile& one = passes[pass];
        if (total.size() == pass) total.emplace_back(one.phases(), one.threads(), events);
        total[pass].add(one);
        for (std::size_t phase = 0; is_new && phase < one.phases().size(); ++phase)
          total[pass].add_bytes(phase, one.rows()[phase].bytes);
      }
    }
    write_others(io);
    return total;
  }

 private:
  /// A sequence's part of what is launched.
  struct OfOne {
    Inputs in;
    Outputs out;
  };

  /// Made once for the operands of several calls.
  void bind(const Operands& io) {
    if (bound_.in == io.in && bound_.out == io.out) return;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      OfOne& one = operands_[i];
      one = {batch_element(problem_, *io.in, members_[i].b), batch_element(*io.out, members_[i].b)};
      if (!io.out->dsinks.empty()) one.out.dsinks = Tensor(Dtype::kF32, io.out->dsinks.dims());
    }
    bound_ = io;
  }
  Plan& plan_of(std::size_t member) { return *plans_[members_[member].plan]; }
  Operands operands_of(std::size_t member) {
    return {&operands_[member].in, &operands_[member].out};
  }
  template <typename F>
  void each(F&& f) {
    for (std::size_t i = 0; i < members_.size(); ++i) f(plan_of(i), operands_of(i));
  }
  void write_others(const Operands& io) const {
    for (std::int64_t b = 0; b < problem_.shape.b; ++b)
      if (problem_.shape.q_len_of(b) == 0 || problem_.shape.kv_len_of(b) == 0)
        write_empty(*io.in, batch_element(*io.out, b));
  }
  void add_sink_gradients(Tensor& dsinks) const {
    for (std::int64_t h = 0; h < dsinks.count(); ++h) {
      double sum = 0;
      for (const OfOne& one : operands_) sum += static_cast<double>(one.out.dsinks.at(h));
      dsinks.as<float>()[h] = static_cast<float>(sum);
    }
  }

  Problem problem_;
  std::vector<Member> members_;
  std::vector<std::unique_ptr<Plan>> plans_;
  std::vector<OfOne> operands_;
  Operands bound_;
};

}  // namespace

std::unique_ptr<Plan> plan_by_sequence(const Problem& p, const Inputs& in, SharedPlans shared,
                                       const PlanSequence& plan) {
  return std::make_unique<SequencePlans>(p, in, shared, plan);
}

std::size_t sum_over_plans(const Problem& p, SharedPlans shared,
                           const std::function<std::size_t(const Problem&)>& of) {
  std::size_t sum = 0, plans = 0;
  for (const Member& m : members_of(p, shared))
    if (m.plan == plans) {
      sum += of(sequence(p, m.b));
      ++plans;
    }
  return sum;
}

double sum_over_sequences(const Problem& p, const std::function<double(const Problem&)>& of) {
  double sum = 0;
  for (const Member& m : members_of(p, SharedPlans::kNo)) sum += of(sequence(p, m.b));
  return sum;
}

}  // namespace flashbench
