#include "app/case/execution_orders.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace flashbench::app {
namespace {

/// A second at most, in each order.
constexpr double kRepeatedBelowFlop = 1e8;

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

bool adds_in_a_fixed_order(const RoutedCase& c) {
  Execution deterministic = c.route->execution;
  deterministic.deterministic = true;
  return !c.route->kernel->refuses(c.request.problem, deterministic);
}

}  // namespace

std::vector<std::uint64_t> order_seeds(const std::vector<std::uint64_t>& given,
                                       const RoutedCase& c) {
  if (!given.empty()) return given;
  const double flop = c.route->kernel->predicted_flop(c.request.problem, c.route->execution);
  if (flop > kRepeatedBelowFlop) return {1};
  return {1, 2};
}

std::string seeds_flag(const std::vector<std::uint64_t>& seeds) {
  return fmt::format("--emulated_seeds {}", fmt::join(seeds, ","));
}

std::optional<std::string> broken_promise(const RoutedCase& c, const Outputs& one,
                                          const Outputs& other) {
  std::vector<std::pair<const char*, bool>> same = {
      {"o", same_bits(one.o, other.o)},
      {"lse", same_bits(one.lse, other.lse)},
      {"dsinks", same_bits(one.dsinks, other.dsinks)}};
  if (adds_in_a_fixed_order(c))
    same.insert(same.end(), {{"dq", same_bits(one.dq, other.dq)},
                             {"dk", same_bits(one.dk, other.dk)},
                             {"dv", same_bits(one.dv, other.dv)},
                             {"dbias", same_bits(one.dbias, other.dbias)}});
  for (const auto& [tensor, equal] : same)
    if (!equal)
      return fmt::format("{} depends on the order of execution, and {} promises equal bits", tensor,
                         c.route->kernel->info().name);
  return std::nullopt;
}

}  // namespace flashbench::app
