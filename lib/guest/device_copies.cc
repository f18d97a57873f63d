#include "guest/device_copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "guest/gpu.h"

namespace flashbench::guest {
namespace {

constexpr std::size_t kGuard_bytes = 256;
constexpr std::byte kUntouched{0xFF};

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

DeviceCopies::DeviceCopies(cuda::Device& device, const Operands& operands,
                           std::size_t workspace_bytes)
    : device_(device),
      guard_bytes_(device.info().emulated ? 0 : kGuard_bytes),
      inputs_(all_of(*operands.in_place, *operands.in)),
      outputs_(all_of(*operands.out_place, *operands.out)) {
  workspace_.bytes = workspace_bytes;
  if (workspace_bytes > 0) workspace_ = guarded("workspace", workspace_bytes, nullptr, nullptr);
}

std::vector<DeviceCopies::Guarded> DeviceCopies::all_of(const Placement& placement,
                                                        SharedMemory& memory) {
  std::vector<Guarded> all;
  for (const Placed& t : placement.tensors)
    all.push_back(guarded(t.name, t.bytes, memory.data() + t.offset, &t));
  return all;
}

DeviceCopies::Guarded DeviceCopies::guarded(const std::string& name, std::size_t bytes,
                                            std::byte* host, const Placed* tensor) {
  Guarded g{name, bytes, host, {device_, bytes + 2 * guard_bytes_, name}, nullptr};
  if (guard_bytes_ == 0) g.named = name_memory(g.buffer.address(), name, tensor);
  if (guard_bytes_ > 0) device_.poison(g.buffer.address(), g.buffer.bytes());
  if (host != nullptr) device_.write(g.buffer.address() + guard_bytes_, host, bytes);
  return g;
}

void* DeviceCopies::start(const Guarded& g) const {
  return g.buffer.as<std::byte>() + guard_bytes_;
}

void* DeviceCopies::find(std::string_view name) const {
  for (const auto* all : {&inputs_, &outputs_})
    for (const Guarded& g : *all)
      if (g.name == name) return start(g);
  return nullptr;
}

void DeviceCopies::give(const Names& tensors) {
  for (const auto& [all, names] :
       {std::pair(&inputs_, &tensors.inputs), std::pair(&outputs_, &tensors.outputs)})
    for (const Guarded& g : *all)
      if (holds(*names, g.name)) device_.write(g.buffer.address() + guard_bytes_, g.host, g.bytes);
}

void DeviceCopies::collect() {
  device_.wait();
  for (const Guarded& g : outputs_)
    device_.read(g.host, g.buffer.address() + guard_bytes_, g.bytes);
}

bool DeviceCopies::is_whole(const Guarded& g) {
  std::vector<std::byte> guard(guard_bytes_);
  for (const std::size_t at : {std::size_t{0}, guard_bytes_ + g.bytes}) {
    device_.read(guard.data(), g.buffer.address() + at, guard_bytes_);
    if (std::any_of(guard.begin(), guard.end(), [](std::byte b) { return b != kUntouched; }))
      return false;
  }
  return true;
}

std::string DeviceCopies::trespass() {
  device_.wait();
  std::vector<std::byte> there;
  for (const Guarded& g : inputs_) {
    there.resize(g.bytes);
    device_.read(there.data(), g.buffer.address() + guard_bytes_, g.bytes);
    if (std::memcmp(there.data(), g.host, g.bytes) != 0)
      return fmt::format("it wrote to its input {}", g.name);
  }
  if (guard_bytes_ == 0) return "";
  for (const auto* all : {&inputs_, &outputs_})
    for (const Guarded& g : *all)
      if (!is_whole(g)) return fmt::format("it writes outside of {}", g.name);
  if (workspace_.bytes > 0 && !is_whole(workspace_)) return "it writes outside of its workspace";
  return "";
}

}  // namespace flashbench::guest
