#include "guest/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "system/error.h"

namespace flashbench::guest {
namespace {

std::uint32_t extent(const std::vector<Expression>& of, std::size_t axis, const Variables& v) {
  if (axis >= of.size()) return 1;
  // A grid of 0 is the device's to refuse; what does not fit into its numbers is refused with it.
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(of[axis].count(v), std::numeric_limits<std::uint32_t>::max()));
}

ptx::Dim3 extents(const std::vector<Expression>& of, const Variables& v) {
  return {extent(of, 0, v), extent(of, 1, v), extent(of, 2, v)};
}

template <typename T>
std::vector<std::byte> bytes_of(T value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::vector<std::byte> argument(const LaunchArgument& a, const Variables& v,
                                const AddressOf& address_of) {
  if (!a.number) return bytes_of(address_of(a.memory));
  if (a.type == ptx::Type::kF32) {
    const double x = a.number->real(v);
    if (std::abs(x) > std::numeric_limits<float>::max())
      throw UsageError(fmt::format("{}: {} does not fit into an f32", a.where, x));
    return bytes_of(static_cast<float>(x));
  }
  if (a.type == ptx::Type::kF64) return bytes_of(a.number->real(v));
  const std::int64_t n = a.number->integer(v);
  if (ptx::size_of(a.type) == 8) return bytes_of(n);
  const bool fits = a.type == ptx::Type::kS32 ? n == static_cast<std::int32_t>(n)
                                              : n == static_cast<std::uint32_t>(n);
  if (!fits) throw UsageError(fmt::format("{}: {} does not fit into 32 bits", a.where, n));
  return bytes_of(static_cast<std::uint32_t>(n));
}

}  // namespace

std::vector<Launch> launches(const std::vector<LaunchStep>& steps, const Variables& variables,
                             const AddressOf& address_of) {
  std::vector<Launch> all;
  for (const LaunchStep& s : steps) {
    Launch& l = all.emplace_back();
    l.zero = s.zero;
    l.copy = s.copy;
    if (s.copy && s.copy->times) l.factor = s.copy->times->real(variables);
    l.entry = s.entry;
    l.ptx = s.ptx;
    l.grid = extents(s.grid, variables);
    l.block = extents(s.block, variables);
    if (s.shared_bytes) l.shared_bytes = s.shared_bytes->count(variables);
    for (const LaunchArgument& a : s.arguments)
      l.arguments.push_back(argument(a, variables, address_of));
  }
  return all;
}

}  // namespace flashbench::guest
