#include "guest/device_copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace flashbench::guest {
namespace {

/// Behind the workspace, and looked at like what lies between tensors.
constexpr std::size_t kGuard_bytes = 256;
constexpr std::byte kUntouched{0xFF};

}  // namespace

DeviceCopies::DeviceCopies(cuda::Device& device, const Operands& operands,
                           std::size_t workspace_bytes)
    : device_(device),
      operands_(operands),
      workspace_bytes_(workspace_bytes),
      in_(device, operands.in->bytes(), "a guest's inputs"),
      out_(device, operands.out->bytes(), "a guest's outputs"),
      workspace_(device, workspace_bytes + kGuard_bytes, "a guest's workspace") {
  device_.write(in_.address(), operands.in->data(), in_.bytes());
  device_.write(out_.address(), operands.out->data(), out_.bytes());
  device_.poison(workspace_.address(), workspace_.bytes());
}

void DeviceCopies::give(const Names& tensors) {
  write(*operands_.in_place, *operands_.in, in_, tensors.inputs);
  write(*operands_.out_place, *operands_.out, out_, tensors.outputs);
}

void DeviceCopies::write(const Placement& placement, const SharedMemory& from,
                         const cuda::DeviceBuffer& to, const std::vector<std::string>& names) {
  for (const Placed& t : placement.tensors)
    if (std::find(names.begin(), names.end(), t.name) != names.end())
      device_.write(to.address() + t.offset, from.data() + t.offset, t.bytes);
}

void DeviceCopies::collect() {
  device_.wait();
  device_.read(operands_.out->data(), out_.address(), out_.bytes());
}

std::string DeviceCopies::trespass() {
  device_.wait();
  std::vector<std::byte> there;
  for (const Placed& t : operands_.in_place->tensors) {
    there.resize(t.bytes);
    device_.read(there.data(), in_.address() + t.offset, t.bytes);
    if (std::memcmp(there.data(), operands_.in->data() + t.offset, t.bytes) != 0)
      return fmt::format("it wrote to its input {}", t.name);
  }
  there.resize(kGuard_bytes);
  device_.read(there.data(), workspace_.address() + workspace_bytes_, kGuard_bytes);
  if (std::any_of(there.begin(), there.end(), [](std::byte b) { return b != kUntouched; }))
    return "it writes behind the end of its workspace";
  return "";
}

}  // namespace flashbench::guest
