#pragma once

#include "system/error.h"

namespace flashbench {

/// A kernel does not compute what is asked for, and found that out only when it was to plan it.
class LateRefusal : public UnavailableError {
  using UnavailableError::UnavailableError;
};

}  // namespace flashbench
