#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guest/guest.h"
#include "guest/guest_kernel.h"
#include "kernel/kernel.h"

namespace flashbench::guest {

/// A problem planned by a guest, with the tensors that it shares with it.
class GuestPlan final : public flashbench::Plan {
 public:
  GuestPlan(const std::string& name, std::size_t kernel, const Problem& p, const Execution& e,
            const Inputs& in, Layout layout, const Host& host);
  ~GuestPlan() override;

  void prepare(const flashbench::Operands& io) override;
  void launch(const flashbench::Operands& io) override;
  void collect(const flashbench::Operands& io) override;
  void poison_results() override;
  std::string threads_folder() const override { return guest_->tasks(); }
  std::size_t workspace_bytes() const override { return answer_.workspace_bytes; }
  double flop_executed() const override;
  std::vector<PhaseProfile::Row> profile(const flashbench::Operands& io) override;

  /// Seconds, by the guest's clock, of `calls` calls of these plans in turn. All are of one guest.
  static double run(const std::vector<GuestPlan*>& plans, std::int64_t calls);

 private:
  /// Calls the guest; what it says is this kernel's, by name.
  template <typename F>
  Answer told(F&& call) const;
  /// A GPU's tensors become what is in shared memory.
  void give(const Names& tensors);

  std::string name_;
  Problem problem_;
  Execution execution_;
  Host host_;
  Inputs const* inputs_;
  std::shared_ptr<Guest> guest_;
  Placement in_place_, out_place_;
  Names changing_;  ///< q, k, v and dO, and every output
  SharedMemory in_, out_;
  int id_;
  Answer answer_;
};

}  // namespace flashbench::guest
