#pragma once

#include <cstdint>
#include <ranges>
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
  /// Where tiles of many queries of one head would leave most of the device idle, multiprocessors
  /// (few heads) or rows of the tiles (groups of few queries); empty: that one, too.
  std::string kernel_where_idle = {};

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

/// Which of several computes a problem: in the order in which they are tried, the first that takes
/// it and does not yield to those after it; where nobody else takes it, the first that yields.
/// nullptr: nobody takes it. `in_order`: a range of pointers, which both predicates are asked of;
/// yields() is asked of those that take it.
template <std::ranges::range InOrder, typename Takes, typename Yields>
std::ranges::range_value_t<InOrder> first_choice(const InOrder& in_order, const Takes& takes,
                                                 const Yields& yields) {
  std::ranges::range_value_t<InOrder> slower = nullptr;
  for (const auto candidate : in_order) {
    if (!takes(*candidate)) continue;
    if (!yields(*candidate)) return candidate;
    if (slower == nullptr) slower = candidate;
  }
  return slower;
}

}  // namespace flashbench
