#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "kernel/backend.h"

// info --as: which kernels a device would be given that need not be there.
namespace flashbench::app {

/// Throws UsageError, which lists the kinds that are known.
RouteTable find_routes(const Backends& backends, const std::string& kind);

std::string routes_text(const RouteTable& table);
nlohmann::ordered_json routes_json(const RouteTable& table);

}  // namespace flashbench::app
