#include "app/case/memory.h"

#include <fmt/format.h>

#include <map>
#include <stdexcept>
#include <utility>

#include "core/work.h"
#include "report/units.h"
#include "system/machine.h"

namespace flashbench::app {
namespace {

/// Left to the system and to the program itself: pages of code, stacks, allocator slack.
constexpr std::uint64_t kReserveBytes = std::uint64_t{64} << 20;

/// What the cases so far leave of the memory of a device.
class DeviceMemory {
 public:
  /// Takes the bytes that a case needs, or says what is left instead. Throws where the device is
  /// lost.
  std::optional<double> too_little_for(const registry::Route& route, double needed) {
    double& left = left_on(route);
    if (needed > left) return left;
    left -= needed;
    return std::nullopt;
  }

 private:
  double& left_on(const registry::Route& route) {
    // Guests stand on a backend of this program, and have the memory of its devices.
    Backend* const owner = route.backend->peak_source(route.execution).backend;
    const auto key = std::make_pair(owner, route.execution.device);
    const auto known = left_.find(key);
    if (known != left_.end()) return known->second;
    const auto free = static_cast<double>(route.backend->free_bytes(route.execution));
    return left_.emplace(key, free).first->second;
  }

  std::map<std::pair<Backend*, int>, double> left_;
};

/// The cases of a group hold their memory at the same time: where a device has its own, those that
/// no longer fit beside the others are skipped.
void skip_what_does_not_fit_on_devices(RoutedGroup& group) {
  DeviceMemory memory;
  for (RoutedCase& c : group.cases) {
    if (!c.runs() || !c.traits().own_memory) continue;
    const registry::Route& route = *c.route;
    try {
      const auto needed =
          static_cast<double>(route.kernel->device_bytes(c.request.problem, route.execution));
      if (const auto left = memory.too_little_for(route, needed)) {
        c.skipped = does_not_fit(needed, *left);
        c.skipped->reason += " on device " + c.place.device.value_or("") +
                             " beside the cases that it is compared with";
      }
    } catch (const std::runtime_error& error) {  // the device is lost
      c.skipped = {Rejection::Kind::kAbsent, error.what()};
    }
  }
}

}  // namespace

std::optional<double> bytes_for_cases(std::optional<std::uint64_t> available) {
  if (!available) return std::nullopt;
  return static_cast<double>(*available > kReserveBytes ? *available - kReserveBytes : 0);
}

Rejection does_not_fit(double needed, double available) {
  return {Rejection::Kind::kMemory,
          fmt::format("needs {}, {} available", report::human_bytes(needed),
                      report::human_bytes(available))};
}

std::optional<Rejection> tensors_do_not_fit(const Problem& p) {
  // Lists of work for less than that are small; the question itself reads a dozen files.
  constexpr std::size_t kSmall = std::size_t{1} << 30;
  const std::size_t tensors = operand_bytes(p).total();
  if (tensors < kSmall) return std::nullopt;
  const std::optional<double> available = bytes_for_cases(machine::available_memory_bytes());
  if (!available || static_cast<double>(tensors) <= *available) return std::nullopt;
  return does_not_fit(static_cast<double>(tensors), *available);
}

MemoryNeed memory_need(const RoutedCase& c) {
  const Problem& p = c.request.problem;
  const OperandBytes operands = operand_bytes(p);
  MemoryNeed need;
  need.inputs = operands.inputs;
  need.outputs = operands.outputs;
  if (c.route) need.workspace = c.route->kernel->host_bytes(p, c.route->execution);
  return need;
}

std::size_t reference_bytes(const Problem& p) {
  const Shape& s = p.shape;
  const std::int64_t o = s.o_dims().count();
  const std::int64_t gradients = s.q_dims().count() + s.k_dims().count() + s.v_dims().count();
  const std::int64_t of_bias =
      p.needs_bias_gradient() ? 2 * s.b * s.h * s.q_len * s.kv_len + 3 * p.bias_dims().count() : 0;
  return sizeof(double) *
         static_cast<std::size_t>(p.needs_gradients() ? o + 2 * gradients + of_bias : o);
}

void skip_what_does_not_fit(RoutedGroup& group, const ExtraMemory& extra) {
  skip_what_does_not_fit_on_devices(group);
  const std::optional<double> available = bytes_for_cases(machine::available_memory_bytes());
  if (!available) return;
  double held = 0;
  for (RoutedCase& c : group.cases) {
    if (!c.runs()) continue;
    const MemoryNeed need = memory_need(c);
    const double shared = static_cast<double>(need.inputs + extra.shared);
    const double own =
        static_cast<double>(need.outputs + need.workspace) + static_cast<double>(extra.own(c));
    if (shared + held + own <= *available) {
      held += own;
      continue;
    }
    // What the cases before it hold is a reason only where it would fit without them.
    c.skipped = does_not_fit(shared + own, *available - (shared + own <= *available ? held : 0));
  }
}

}  // namespace flashbench::app
