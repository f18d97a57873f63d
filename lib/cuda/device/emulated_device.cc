#include "cuda/device/emulated_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "cuda/device/emulated_gemm.h"
#include "cuda/image/image.h"
#include "ptx/machine/tensor_map.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::cuda {

TensorMap emulated_tensor_map(const BoxedTensor& t) {
  const std::uint16_t box[] = {kBoxColumns, static_cast<std::uint16_t>(t.box_rows), 1, 1};
  return std::bit_cast<TensorMap>(
      ptx::encode_tensor_map(t.address, 2, t.size, t.stride, box, ptx::Swizzle::k128));
}

EmulatedDevice::EmulatedDevice(const ptx::DeviceOptions& options) : device_(options) {
  begin_orders(options.seed);
  info_.name = "emulated";
  info_.emulated = true;
  info_.capability = options.compute_capability;
  info_.memory_bytes = options.memory_bytes;
  info_.shared_bytes = options.shared_bytes_per_block;
  info_.multiprocessors = options.resident_ctas;
}

std::size_t EmulatedDevice::free_bytes() {
  const std::size_t left = info_.memory_bytes - device_.allocated_bytes();
  const auto available = machine::available_memory_bytes();
  return available ? std::min<std::size_t>(left, *available / ptx::Device::kHostBytesPerByte)
                   : left;
}

Address EmulatedDevice::allocate(std::size_t bytes, const std::string& what) {
  if (bytes > free_bytes())
    throw OutOfMemoryError(fmt::format("the emulated device has no {} bytes for {}", bytes, what));
  return device_.alloc(bytes, what);
}

void EmulatedDevice::release(Address address) noexcept {
  device_.free(address);  // throws only for an address that it never gave
}

void EmulatedDevice::write(Address to, const void* from, std::size_t bytes) {
  device_.copy_in(to, {static_cast<const std::byte*>(from), bytes});
}

void EmulatedDevice::read(void* to, Address from, std::size_t bytes) {
  device_.copy_out({static_cast<std::byte*>(to), bytes}, from);
}

void EmulatedDevice::zero(Address to, std::size_t bytes) { device_.fill(to, std::byte{0}, bytes); }

void EmulatedDevice::poison(Address to, std::size_t bytes) { device_.poison(to, bytes); }

void EmulatedDevice::enqueue(const Launch& launch, std::span<const std::byte> argument) {
  const ptx::Dim3 grid{static_cast<std::uint32_t>(launch.grid_x),
                       static_cast<std::uint32_t>(launch.grid_y),
                       static_cast<std::uint32_t>(launch.grid_z)};
  device_.set_seed(seed_++);
  const ptx::LaunchResult result =
      device_.launch(module_with(launch.entry), launch.entry, grid,
                     {static_cast<std::uint32_t>(launch.threads), 1, 1}, launch.dynamic_bytes,
                     std::span(&argument, 1));
  counters_of(launch.phase) += result.counters;
  if (!result.findings.empty()) throw DeviceError(ptx::text(result.findings));
}

TensorMap EmulatedDevice::tensor_map(const BoxedTensor& tensor) {
  return emulated_tensor_map(tensor);
}

void EmulatedDevice::multiply(const Gemm& g) {
  cuda::multiply(device_, g);
  counters_of(g.name).matrix_flop += static_cast<std::uint64_t>(g.flop());
}

ptx::Counters& EmulatedDevice::counters_of(const std::string& phase) {
  if (counts_.empty() || counts_.back().first != phase)
    counts_.emplace_back(phase, ptx::Counters{});
  return counts_.back().second;
}

const ptx::Module& EmulatedDevice::module_with(const std::string& entry) {
  ptx::Module& found = by_entry_[entry];
  if (found != nullptr) return found;
  const Image image = image_with(entry);
  ptx::Module& module = by_image_[image.name];
  if (module == nullptr) module = device_.load(image.ptx, std::string(image.name));
  return found = module;
}

void EmulatedDevice::mark_first() {
  marks_s_.clear();
  mark();
}

void EmulatedDevice::mark() {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now().time_since_epoch();
  marks_s_.push_back(since.count());
}

std::vector<double> EmulatedDevice::intervals_s() {
  std::vector<double> all_s;
  for (std::size_t i = 1; i < marks_s_.size(); ++i) all_s.push_back(marks_s_[i] - marks_s_[i - 1]);
  return all_s;
}

std::vector<PhaseProfile::Row> EmulatedDevice::take_counts() {
  std::vector<PhaseProfile::Row> rows;
  for (const auto& [phase, counters] : std::exchange(counts_, {}))
    rows.push_back({.phase = phase, .calls = 1, .counts = ptx::named(counters)});
  return rows;
}

}  // namespace flashbench::cuda
