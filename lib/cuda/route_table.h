#pragma once

#include <string>
#include <vector>

#include "kernel/routes.h"

// What would run on a GPU that is not at hand.
namespace flashbench::cuda {

/// Compute capabilities that this program knows the shared memory of: "sm_75", ...
std::vector<std::string> device_kinds();

/// `kind`: one of these.
RouteTable route_table(const std::string& kind);

}  // namespace flashbench::cuda
