#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/case/routing.h"
#include "core/tensor.h"
#include "kernel/kernel.h"

namespace flashbench::app {

/// A case ready to launch: its plan and its outputs, poisoned and prepared. With more than one copy
/// each launch takes the next one, inputs and all, so that no cache holds what it reads.
class PreparedCase {
 public:
  /// `shared` serves the first copy and must outlive this.
  PreparedCase(const RoutedCase& c, const Inputs& shared, std::size_t copies = 1);

  void launch();
  /// Untimed: the tensors of the inputs hold other numbers now; what was computed from them is
  /// gone.
  void renew();
  /// Untimed: poisons what a launch writes, so that nothing of the last one is taken for the next.
  void poison_results();
  /// Untimed: returns when the last launch is done.
  void wait();
  /// Untimed: what the last launch wrote, brought back from where it ran.
  const Outputs& collect();
  const RoutedCase& routed() const { return *case_; }
  /// What the last launch wrote, once collected.
  const Outputs& outputs() const { return copies_[last_].out; }
  /// A copy of that.
  Outputs copy_outputs() const;
  /// The same, given away: this case has none afterwards.
  Outputs take_outputs() { return std::move(copies_[last_].out); }
  std::size_t workspace_bytes() const { return copies_[0].plan->workspace_bytes(); }
  /// As Plan::threads_folder().
  std::string threads_folder() const { return copies_[0].plan->threads_folder(); }
  double flop_executed() const { return copies_[0].plan->flop_executed(); }
  std::vector<PhaseProfile::Row> profile();
  std::vector<PhaseProfile> trace(std::size_t events);

 private:
  struct Copy {
    Inputs own;  ///< empty in the first copy
    Outputs out;
    std::unique_ptr<Plan> plan;
  };
  Operands operands(std::size_t copy);

  const RoutedCase* case_;
  const Inputs* shared_;
  std::vector<Copy> copies_;
  std::size_t next_ = 0, last_ = 0;
};

/// How many copies of its operands a case rotates: 1 when warm, or where a device flushes its cache
/// instead; when cold, enough to fill twice `last_cache_bytes`, within reason.
std::size_t copies_for(const RoutedCase& c, std::size_t last_cache_bytes);

}  // namespace flashbench::app
