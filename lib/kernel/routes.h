#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/features.h"
#include "core/problem.h"

namespace flashbench {

/// Problems without variants that one kernel computes, both ends of every range included.
struct Route {
  AttentionType type = AttentionType::kFlash;
  Pass pass = Pass::kForward;
  std::vector<Dtype> dtypes;
  std::int64_t first_rows = 1, last_rows = 0;  ///< query rows a K/V head; last 0: and all more
  std::int64_t first_d = 1, last_d = 1;
  std::string kernel;
  /// Of so few heads that they would leave most of the device to nobody; empty: that one, too.
  std::string kernel_of_few_heads = {};

  bool operator==(const Route&) const = default;
};

/// Which kernel would compute what on a device that need not be there.
struct RouteTable {
  struct Taker {
    std::string kernel;
    Features features;
  };

  std::string device;  ///< what is assumed of it
  std::vector<Route> routes;
  /// In the order in which they are tried: a kernel that lacks a feature of a problem, or does not
  /// reach its d, leaves it to the next one.
  std::vector<Taker> kernels;
};

}  // namespace flashbench
