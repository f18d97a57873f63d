#include "ptx/device.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {

struct Device::State {
  DeviceOptions options;
  GlobalMemory global;
  std::uint32_t next_cta = 1;

  const Kernel& decoded(const Module& module, std::string_view name) {
    const auto it = module->kernels.find(name);
    if (it != module->kernels.end()) return *it->second;
    auto kernel = Decoder(*module, global, options.dynamic_shared).run(name);
    return *(module->kernels[std::string(name)] = std::move(kernel));
  }
  Allocation& at(Address address, std::size_t bytes) {
    Allocation* a = global.find(address, bytes);
    if (a == nullptr) {
      throw DeviceError(
          fmt::format("{} bytes of device memory at {}", bytes, global.describe(address)));
    }
    return *a;
  }
};

namespace {

// What cudaLaunchKernel refuses.
void check_shape(const DeviceOptions& options, const Kernel& kernel, Dim3 grid, Dim3 block,
                 std::size_t dynamic_bytes) {
  const auto refuse = [&](const std::string& why) {
    throw DeviceError(fmt::format("launch of {}: {}", kernel.name, why));
  };
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
      grid.z > 65535) {
    refuse(fmt::format("a grid of {} x {} x {} CTAs", grid.x, grid.y, grid.z));
  }
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) {
    refuse(fmt::format("a block of {} x {} x {} threads", block.x, block.y, block.z));
  }
  const Function& entry = kernel.program->syntax.functions.at(kernel.name);
  const std::vector<std::uint32_t>& required = entry.required_block;
  const std::uint32_t given[] = {block.x, block.y, block.z};
  for (std::size_t i = 0; i < std::min<std::size_t>(required.size(), 3); ++i)
    if (required[i] != given[i])
      refuse(fmt::format("a block of {} x {} x {} threads; its .reqntid is {}", block.x, block.y,
                         block.z, fmt::join(required, ", ")));
  // Of .maxntid the product alone counts (PTX ISA 9.0, "Performance-Tuning Directives").
  std::uint64_t most = 1;
  for (const std::uint32_t n : entry.largest_block) most = std::min<std::uint64_t>(most * n, 1024);
  if (!entry.largest_block.empty() && threads > most)
    refuse(fmt::format("a block of {} x {} x {} threads; its .maxntid is {}", block.x, block.y,
                       block.z, fmt::join(entry.largest_block, ", ")));
  const std::size_t shared = kernel.static_shared_end - kSharedBase + dynamic_bytes;
  if (shared > options.shared_bytes_per_block) {
    refuse(fmt::format("{} bytes of shared memory; the device has {} per block", shared,
                       options.shared_bytes_per_block));
  }
}

std::vector<std::uint8_t> parameter_block(const Kernel& kernel,
                                          std::span<const std::span<const std::byte>> arguments) {
  if (arguments.size() != kernel.parameter_bytes.size()) {
    throw DeviceError(fmt::format("launch of {}: {} arguments for {} parameters", kernel.name,
                                  arguments.size(), kernel.parameter_bytes.size()));
  }
  std::vector<std::uint8_t> block(kernel.parameters_end);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].size() != kernel.parameter_bytes[i]) {
      throw DeviceError(fmt::format("launch of {}: argument {} has {} bytes, the parameter {}",
                                    kernel.name, i, arguments[i].size(),
                                    kernel.parameter_bytes[i]));
    }
    if (!arguments[i].empty())
      std::memcpy(block.data() + kernel.parameter_offset[i], arguments[i].data(),
                  arguments[i].size());
  }
  return block;
}

void count(LaunchState& launch) {
  const auto& code = launch.kernel.code;
  for (std::size_t i = 0; i < code.size(); ++i) {
    launch.counters.thread_instructions += launch.lane_counts[i];
    launch.counters.by_class[static_cast<std::size_t>(code[i].kind)] += launch.lane_counts[i];
  }
}

// CTAs start in order, as on hardware; `resident` of them take turns, so that some may wait for
// others.
void run_grid(LaunchState& launch, std::uint32_t& next_cta) {
  const Dim3 grid = launch.grid;
  const std::uint64_t total = std::uint64_t{grid.x} * grid.y * grid.z;
  const auto most = static_cast<std::size_t>(std::max(1, launch.options.resident_ctas));
  std::vector<std::unique_ptr<Cta>> resident;
  for (std::uint64_t next = 0; next < total || !resident.empty();) {
    for (; next < total && resident.size() < most; ++next) {
      const Dim3 index{static_cast<std::uint32_t>(next % grid.x),
                       static_cast<std::uint32_t>(next / grid.x % grid.y),
                       static_cast<std::uint32_t>(next / grid.x / grid.y)};
      resident.push_back(std::make_unique<Cta>(launch, index, next_cta++));
      ++launch.counters.ctas;
    }
    std::erase_if(resident, [](const auto& cta) { return !cta->round(); });
    if (launch.options.stop_requested && launch.options.stop_requested())
      throw DeviceError(fmt::format("launch of {}: interrupted", launch.kernel.name));
  }
}

}  // namespace

int target_of(std::string_view text, std::string_view name) { return parse(text, name).target; }

Device::Device(DeviceOptions options) : state_(std::make_unique<State>()) {
  state_->options = options;
}
Device::~Device() = default;
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;

const DeviceOptions& Device::options() const { return state_->options; }
void Device::set_seed(std::uint64_t seed) { state_->options.seed = seed; }
void Device::set_max_warp_instructions(std::uint64_t most) {
  state_->options.max_warp_instructions = most;
}

Module Device::load(std::string_view text, std::string name) {
  auto program = std::make_shared<Program>();
  program->syntax = parse(text, name);
  const int target = program->syntax.target, here = state_->options.compute_capability;
  const bool exact = program->syntax.target_is_exact;
  if (exact ? target != here : target > here) {
    throw PtxError(fmt::format("{} is for compute capability {}{}; this device has {}", name,
                               target, exact ? " only" : "", here));
  }
  program->name = std::move(name);
  return program;
}

std::vector<std::string> Device::kernels(const Module& module) const {
  std::vector<std::string> names;
  for (const auto& [name, f] : module->syntax.functions) {
    if (f.entry) names.push_back(name);
  }
  return names;
}

KernelInfo Device::kernel(const Module& module, std::string_view kernel_name) {
  const Kernel& k = state_->decoded(module, kernel_name);
  KernelInfo info;
  info.name = k.name;
  for (const Variable& p : module->syntax.functions.at(k.name).parameters)
    info.parameters.push_back({p.name, p.type, p.size, k.parameter_offset[info.parameters.size()]});
  info.static_shared_bytes = k.static_shared_end - kSharedBase;
  info.local_bytes = k.local_bytes;
  return info;
}

Address Device::alloc(std::size_t bytes, std::string name) {
  if (bytes >
      state_->options.memory_bytes - std::min(allocated_bytes(), state_->options.memory_bytes)) {
    throw DeviceError(fmt::format("out of device memory: {} bytes for '{}', {} of {} are taken",
                                  bytes, name, allocated_bytes(), state_->options.memory_bytes));
  }
  return state_->global.alloc(bytes, std::move(name));
}

void Device::free(Address address) { state_->global.free(address); }

void Device::describe(Address address, std::string name, Elements elements) {
  state_->global.describe_as(address, std::move(name), std::move(elements));
}

void Device::copy_in(Address to, std::span<const std::byte> from) {
  if (from.empty()) return;
  Allocation& a = state_->at(to, from.size());
  std::memcpy(a.data.data() + (to - a.base), from.data(), from.size());
  std::memset(a.written.data() + (to - a.base), 1, from.size());
}

void Device::copy_out(std::span<std::byte> to, Address from) const {
  if (to.empty()) return;
  const Allocation& a = state_->at(from, to.size());
  std::memcpy(to.data(), a.data.data() + (from - a.base), to.size());
  const std::uint8_t* const written = a.written.data() + (from - a.base);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] |= static_cast<std::byte>(written[i] - 1);
}

void Device::copy(Address to, Address from, std::size_t bytes) {
  if (bytes == 0) return;
  const Allocation& source = state_->at(from, bytes);
  Allocation& target = state_->at(to, bytes);
  std::memmove(target.data.data() + (to - target.base), source.data.data() + (from - source.base),
               bytes);
  std::memmove(target.written.data() + (to - target.base),
               source.written.data() + (from - source.base), bytes);
}

void Device::fill(Address to, std::byte value, std::size_t bytes) {
  if (bytes == 0) return;
  Allocation& a = state_->at(to, bytes);
  std::memset(a.data.data() + (to - a.base), static_cast<int>(value), bytes);
  std::memset(a.written.data() + (to - a.base), 1, bytes);
}

void Device::poison(Address to, std::size_t bytes) {
  if (bytes == 0) return;
  Allocation& a = state_->at(to, bytes);
  std::memset(a.written.data() + (to - a.base), 0, bytes);
}

std::size_t Device::unwritten(Address from, std::size_t bytes) const {
  if (bytes == 0) return 0;
  const Allocation& a = state_->at(from, bytes);
  const std::uint8_t* const first = a.written.data() + (from - a.base);
  return static_cast<std::size_t>(std::count(first, first + bytes, 0));
}

std::size_t Device::allocated_bytes() const { return state_->global.allocated_bytes(); }

bool Device::holds(Address address) const {
  return std::as_const(state_->global).find(address, 1) != nullptr;
}

std::string Device::where(Address address) const { return state_->global.describe(address); }

LaunchResult Device::launch(const Module& module, std::string_view kernel_name, Dim3 grid,
                            Dim3 block, std::size_t dynamic_shared_bytes,
                            std::span<const std::span<const std::byte>> arguments) {
  const Kernel& kernel = state_->decoded(module, kernel_name);
  check_shape(state_->options, kernel, grid, block, dynamic_shared_bytes);
  state_->global.published.clear();
  LaunchState launch{.kernel = kernel,
                     .global = state_->global,
                     .options = state_->options,
                     .grid = grid,
                     .block = block,
                     .dynamic_bytes = static_cast<std::uint32_t>(dynamic_shared_bytes),
                     .parameters = parameter_block(kernel, arguments),
                     .first_cta = state_->next_cta,
                     .log = FindingLog(state_->options.max_findings),
                     .counters = {},
                     .warp_counts = std::vector<std::uint64_t>(kernel.code.size()),
                     .lane_counts = std::vector<std::uint64_t>(kernel.code.size())};
  LaunchResult result;
  try {
    run_grid(launch, state_->next_cta);
  } catch (Fault& fault) {
    launch.log.add(std::move(fault.finding));
    result.completed = false;
  }
  count(launch);
  result.counters = launch.counters;
  result.findings = launch.log.take();
  return result;
}

}  // namespace flashbench::ptx
