#pragma once

#include <string_view>

#include "core/enum_set.h"
#include "core/enumerators.h"
#include "core/problem.h"

namespace flashbench {

/// What a kernel rounds to the tensors' dtype beyond what every kernel must, as its maker says.
enum class ExtraRounding {
  /// dK and dV of each query head, before they are added over its group.
  kQueryHeads,
};

inline constexpr auto kExtraRoundings = kEnumerators<ExtraRounding>;

constexpr std::string_view name(ExtraRounding r) {
  switch (r) {
    case ExtraRounding::kQueryHeads:
      return "gradients_of_query_heads";
  }
  no_such_enumerator();
}

using ExtraRoundings = EnumSet<ExtraRounding>;

/// Whether a kernel that does so computes this problem otherwise than one that does not.
inline bool matters(ExtraRounding r, const Problem& p) {
  switch (r) {
    case ExtraRounding::kQueryHeads:
      return p.needs_gradients() && p.shape.group() > 1 && size_bytes(p.dtype) == 2;
  }
  no_such_enumerator();
}

}  // namespace flashbench
