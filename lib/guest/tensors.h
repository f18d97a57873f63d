#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "guest/shared_memory.h"

namespace flashbench::guest {

/// A tensor in shared memory, as guests see it.
struct Placed {
  std::string name;   ///< as in fbk_call
  std::string dtype;  ///< "f32", ..., "u8", "i32"
  std::vector<std::int64_t> shape, strides;
  std::size_t offset = 0, bytes = 0;
  Layout layout = Layout::kBhsd;  ///< what the strides say, of the shape [b, h, rows, d]
};

/// Tensors one behind the other, each aligned to 256 bytes, with 256 and more between them, before
/// the first and behind the last, that nobody may write.
struct Placement {
  std::vector<Placed> tensors;
  std::size_t bytes = 0;
};

/// What a problem gives to guests, and what it wants of them. `layout`: how q, k, v, o and their
/// gradients lie in memory, pages as well.
Placement place_inputs(const Problem& p, const Inputs& in, Layout layout = Layout::kBhsd);
Placement place_outputs(const Problem& p, Layout layout = Layout::kBhsd);

/// What is given: masks and all else that stays from plan to drop; Q, K and V; dO. A forward that
/// is to run alone has no business with dO: until it is given, that is NaN.
enum class Given { kFixed, kForward, kGradient };
void copy_inputs(const Inputs& in, const Placement& placement, SharedMemory& to, Given which);

/// Every byte of outputs, and between them, becomes 0xFF; with `gradients` only theirs.
void poison(SharedMemory& outputs, const Placement* gradients = nullptr);

/// O and LSE as they are, for a backward pass that takes them as given.
void copy_forward(const Outputs& from, const Placement& placement, SharedMemory& to);

/// Brings what was written into `out`, whose tensors have the problem's shapes. Throws DeviceError
/// where somebody wrote between two tensors.
void collect_outputs(const SharedMemory& from, const Placement& placement, Outputs& out);

void to_json(nlohmann::json& json, const Placement& placement);
/// Throws std::exception for what is none, and where a tensor lies beyond the memory.
void from_json(const nlohmann::json& json, Placement& placement);

}  // namespace flashbench::guest
