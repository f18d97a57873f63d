#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/case/routing.h"
#include "core/tensor.h"

// An emulator runs warps and completes copies in a random order, which follows from a seed; check
// runs a case in several of them.
namespace flashbench::app {

/// The seeds of the orders in which a case is executed: those of `given`, or when there are none,
/// three where that takes little time and one where not.
std::vector<std::uint64_t> order_seeds(const std::vector<std::uint64_t>& given,
                                       const RoutedCase& c);

/// As --emulated_seeds takes it, with the flag.
std::string seeds_flag(const std::vector<std::uint64_t>& seeds);

/// Where the results of two orders differ although they must not: O and LSE are the same to the
/// bit in every order, and the gradients of every kernel that takes --deterministic.
std::optional<std::string> broken_promise(const RoutedCase& c, const Outputs& one,
                                          const Outputs& other);

}  // namespace flashbench::app
