#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guest/guest.h"
#include "system/error.h"

namespace flashbench::guest {

/// What a guest's greeting says that this machine does not have: asked again, it says the same.
class AbsentError final : public UnavailableError {
  using UnavailableError::UnavailableError;
};

/// The kernels that a worker greets with: at least one. Throws UsageError, which begins with
/// `shown`, for what it says that it cannot serve and for what is no greeting; AbsentError for what
/// it says that this machine does not have.
std::vector<KernelFacts> kernels_of_greeting(const nlohmann::json& hello, const std::string& shown);

}  // namespace flashbench::guest
