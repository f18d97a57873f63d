#pragma once

#include <string>
#include <string_view>

#include "core/enumerators.h"

namespace flashbench {

/// Why a problem is not computed: as a kind for the program, in words for its user.
struct Rejection {
  enum class Kind {
    kUnsupported,  ///< the kernel cannot, on any machine or on this device
    kMemory,       ///< it does not fit into the memory at hand
    kAbsent,       ///< what it needs is not here: a device, a library, an ISA level
    kInvalid,      ///< nobody could: the problem makes no sense
  };

  Kind kind;
  std::string reason;  ///< one line that a user can act on
};

constexpr std::string_view name(Rejection::Kind kind) {
  switch (kind) {
    case Rejection::Kind::kUnsupported:
      return "unsupported";
    case Rejection::Kind::kMemory:
      return "memory";
    case Rejection::Kind::kAbsent:
      return "absent";
    case Rejection::Kind::kInvalid:
      return "invalid";
  }
  no_such_enumerator();
}

}  // namespace flashbench
