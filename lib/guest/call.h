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
  /// Of the processor, in shared memory.
  explicit Tensors(const Operands& operands);
  /// In the device's own memory: of inputs from `in` on, of outputs from `out` on.
  Tensors(const Operands& operands, fbk_device device, std::byte* in, std::byte* out);

  /// Points into this object.
  fbk_call call();

 private:
  struct Named {
    Placed placed;
    fbk_tensor tensor{};
  };
  void add(const Placement& placement, std::byte* base);
  fbk_tensor* find(std::string_view name);

  fbk_device device_{FBK_CPU, 0};
  std::deque<Named> tensors_;  // which nobody moves
};

}  // namespace flashbench::guest
