#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>

#include "guest/flashbench_kernel.h"
#include "guest/guest.h"

namespace flashbench::guest {

/// What problem_message() says, as plug-ins take it. Throws std::exception for what is no such
/// message.
fbk_problem problem_of(const nlohmann::json& message);

/// Their words, "causal, window", as problem_message() has them.
std::string feature_words(std::uint32_t bits);

/// The tensors of a plan, as plug-ins take them.
class Tensors {
 public:
  Tensors() = default;
  explicit Tensors(const Operands& operands);

  /// Points into this object.
  fbk_call call();

 private:
  struct Named {
    Placed placed;
    fbk_tensor tensor{};
  };
  void add(const Placement& placement, std::byte* base);
  fbk_tensor* find(std::string_view name);

  std::deque<Named> tensors_;  // which nobody moves
};

}  // namespace flashbench::guest
