#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "emulated_driver/state.h"

// The driver's functions of memory. Every one is synchronous: asynchronous copies are done when the
// call returns.
using namespace flashbench::emulated_driver;
using flashbench::cuda::DevicePointer;
namespace ptx = flashbench::ptx;

namespace {

/// What is wrong with the host's end of a copy; "" where nothing is that can be known.
std::string wrong_on_host(const void* place, std::size_t bytes) {
  if (bytes == 0) return "";
  if (place == nullptr) return "the host's end of a copy is a null pointer";
  const auto address = reinterpret_cast<ptx::Address>(place);
  const ptx::Device& device = current()->device;
  if (!device.holds(address)) return "";
  return fmt::format("the host's end of a copy is device memory: {}", device.where(address));
}

/// What a copy returns.
template <typename Work>
Result copying(const void* on_host, std::size_t bytes, Work work) {
  return accessing([&] {
    const std::string wrong = wrong_on_host(on_host, bytes);
    if (!wrong.empty()) return failed(kInvalidValue, wrong);
    work();
    return kSuccess;
  });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

/// Of this driver alone: what findings call the memory that cuMemAlloc has just given, and how
/// elements lie there; `rank` may be 0.
void flashbench_emulated_name(DevicePointer address, const char* name, std::size_t element_bytes,
                              std::size_t rank, const std::int64_t* shape,
                              const std::int64_t* strides) {
  guarded([&] {
    ptx::Elements elements{element_bytes, {shape, shape + rank}, {strides, strides + rank}};
    current()->device.describe(address, name, std::move(elements));
    --current()->nameless;
    return kSuccess;
  });
}

/// Of this driver alone: that memory is the program's, and who frees it, a plug-in, has a finding,
/// which calls it `name`; null: from here on it may be freed. Whatever context is current.
void flashbench_emulated_keep(DevicePointer address, const char* name) {
  const std::lock_guard lock(one_at_a_time());
  for (const auto& gpu : gpus())
    if (const auto found = gpu->allocations.find(address); found != gpu->allocations.end())
      found->second.name = name == nullptr ? "" : name;
}

Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return guarded([&] {
    if (free == nullptr || total == nullptr) return nowhere();
    *total = memory_bytes();
    const std::size_t left = *total - std::min(*total, current()->device.allocated_bytes());
    *free = claimed_free_bytes().value_or(left);
    return kSuccess;
  });
}

Result cuMemAlloc_v2(DevicePointer* address, std::size_t bytes) {
  return guarded([&] {
    if (address == nullptr) return nowhere();
    if (bytes == 0) return failed(kInvalidValue, "an allocation of 0 bytes");
    const std::size_t taken = current()->device.allocated_bytes();
    if (bytes > memory_bytes() - std::min(taken, memory_bytes()))
      return failed(kOutOfMemory,
                    fmt::format("out of memory: {} bytes are asked for, and {} of {} are taken",
                                bytes, taken, memory_bytes()));
    *address = current()->device.alloc(
        bytes, fmt::format("allocation {} by cuMemAlloc", ++current()->nameless));
    current()->allocations[*address] = {bytes};
    return kSuccess;
  });
}

Result cuMemAllocAsync(DevicePointer* address, std::size_t bytes, void* stream) {
  return guarded([&] {
    stream_of(stream);
    return cuMemAlloc_v2(address, bytes);
  });
}

Result cuMemFree_v2(DevicePointer address) {
  return guarded([&] {
    const auto found = current()->allocations.find(address);
    if (found == current()->allocations.end())
      return failed(kInvalidValue, fmt::format("free of {}: no allocation begins there",
                                               current()->device.where(address)));
    if (!found->second.name.empty())
      return current()->fault = failed(
                 kLaunchFailed,
                 fmt::format("it frees '{}', which is not its own to free", found->second.name));
    current()->allocations.erase(found);
    current()->device.free(address);
    return kSuccess;
  });
}

Result cuMemFreeAsync(DevicePointer address, void* stream) {
  return guarded([&] {
    stream_of(stream);
    return cuMemFree_v2(address);
  });
}

/// The allocation that an address lies in; `base` and `bytes` may be null.
Result cuMemGetAddressRange_v2(DevicePointer* base, std::size_t* bytes, DevicePointer address) {
  return guarded([&] {
    const auto& all = current()->allocations;
    const auto after = all.upper_bound(address);
    const bool lies =
        after != all.begin() && address - std::prev(after)->first < std::prev(after)->second.bytes;
    if (!lies) return kNotFound;  // an answer, too
    if (base != nullptr) *base = std::prev(after)->first;
    if (bytes != nullptr) *bytes = std::prev(after)->second.bytes;
    return kSuccess;
  });
}

Result cuMemcpyHtoD_v2(DevicePointer to, const void* from, std::size_t bytes) {
  return copying(from, bytes, [&] {
    current()->device.copy_in(to, {static_cast<const std::byte*>(from), bytes});
  });
}

Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, std::size_t bytes, void* stream) {
  return on_stream(stream, [&] { return cuMemcpyHtoD_v2(to, from, bytes); });
}

Result cuMemcpyDtoH_v2(void* to, DevicePointer from, std::size_t bytes) {
  return copying(to, bytes, [&] {
    current()->device.copy_out({static_cast<std::byte*>(to), bytes}, from);
  });
}

Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, std::size_t bytes, void* stream) {
  return on_stream(stream, [&] { return cuMemcpyDtoH_v2(to, from, bytes); });
}

Result cuMemcpyDtoD_v2(DevicePointer to, DevicePointer from, std::size_t bytes) {
  return accessing([&] {
    current()->device.copy(to, from, bytes);
    return kSuccess;
  });
}

Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, std::size_t bytes, void* stream) {
  return on_stream(stream, [&] { return cuMemcpyDtoD_v2(to, from, bytes); });
}

Result cuMemsetD8_v2(DevicePointer to, unsigned char value, std::size_t bytes) {
  return accessing([&] {
    current()->device.fill(to, std::byte{value}, bytes);
    return kSuccess;
  });
}

Result cuMemsetD8Async(DevicePointer to, unsigned char value, std::size_t bytes, void* stream) {
  return on_stream(stream, [&] { return cuMemsetD8_v2(to, value, bytes); });
}

Result cuMemsetD32_v2(DevicePointer to, unsigned value, std::size_t count) {
  return accessing([&] {
    if (to % 4 != 0)
      return failed(kInvalidValue, fmt::format("32-bit values at {}, which is no multiple of 4",
                                               current()->device.where(to)));
    constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
    current()->device.fill(to, std::byte{0}, count > kMost / 4 ? kMost : 4 * count);
    const std::vector<unsigned> values(count, value);
    current()->device.copy_in(to, std::as_bytes(std::span(values)));
    return kSuccess;
  });
}

Result cuMemsetD32Async(DevicePointer to, unsigned value, std::size_t count, void* stream) {
  return on_stream(stream, [&] { return cuMemsetD32_v2(to, value, count); });
}

}  // extern "C"
#pragma GCC visibility pop
