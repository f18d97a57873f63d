#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/contract/arguments.h"
#include "cuda/contract/boxed.h"
#include "cuda/contract/family.h"
#include "kernel/execution.h"
#include "kernel/profile.h"

namespace flashbench::cuda {

/// The name of an emulated device.
inline constexpr const char* kEmulatedName = "emulated";

struct DeviceInfo {
  std::string name;       ///< "NVIDIA H200", kEmulatedName
  bool emulated = false;  ///< executes PTX on the processor: right or wrong, but no speed
  int capability = 0;     ///< 90 is compute capability 9.0
  std::size_t memory_bytes = 0;
  std::size_t shared_bytes = 0;  ///< that one block may opt into
  std::size_t l2_bytes = 0;
  int multiprocessors = 0;
  std::string driver;      ///< CUDA version that the driver supports, "13.0"
  std::string pci_bus_id;  ///< "0000:3B:00.0"; empty for the emulated device
};

struct Gemm;

/// Bytes that are written to evict everything from the L2 cache.
constexpr std::size_t flush_bytes(const DeviceInfo& d) { return 2 * d.l2_bytes; }

/// What the backend needs of a GPU. Not thread-safe. Every method throws DeviceError with the name
/// that CUDA (or the emulator) gives to what went wrong, and UnavailableError for lack of memory
/// and for everything after an error that the device's context did not survive.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  /// Bytes that can be allocated now.
  virtual std::size_t free_bytes() = 0;
  /// Not initialised, at least 256-byte aligned. `what` names it in errors.
  virtual Address allocate(std::size_t bytes, const std::string& what) = 0;
  virtual void release(Address address) noexcept = 0;
  virtual void write(Address to, const void* from, std::size_t bytes) = 0;
  /// Waits for the work before it.
  virtual void read(void* to, Address from, std::size_t bytes) = 0;
  virtual void zero(Address to, std::size_t bytes) = 0;
  /// Every byte 0xFF: a NaN in every dtype, so that an element nobody wrote is seen.
  virtual void poison(Address to, std::size_t bytes) = 0;

  /// The launches from here on are executed in orders that follow from `seed` alone. A GPU has its
  /// own order.
  virtual void begin_orders(std::uint64_t seed) { static_cast<void>(seed); }
  /// Queues a launch after the work before it. `launch.entry` is found among the images;
  /// `argument` is its only parameter, passed by value.
  virtual void enqueue(const Launch& launch, std::span<const std::byte> argument) = 0;
  template <typename Argument>
  void launch(const Launch& what, const Argument& argument) {
    enqueue(what, std::as_bytes(std::span(&argument, 1)));
  }
  /// The map by which launches on this device move boxes of that tensor.
  virtual TensorMap tensor_map(const BoxedTensor& tensor) = 0;
  /// Queues a matrix product after the work before it.
  virtual void multiply(const Gemm& g) = 0;
  /// Why this device multiplies no matrices, in one line; nullopt when it does.
  virtual std::optional<std::string> products_absent() { return std::nullopt; }
  /// Device memory that a plan lends to its products.
  virtual std::size_t product_scratch_bytes() const { return 0; }
  /// Waits until everything queued is done.
  virtual void wait() = 0;
  /// Waits until the device is through with what was in the queue at the call of this before this
  /// one. What was queued since keeps it busy, whatever the caller does next.
  virtual void wait_for_previous() { wait(); }

  /// Marks this place of the queue (on a GPU, by an event), the first of a new series: whatever
  /// ended an earlier one, nothing of it is left.
  virtual void mark_first() = 0;
  virtual void mark() = 0;
  /// Seconds on the device's clock from each mark of the series to the next. Waits for the last.
  virtual std::vector<double> intervals_s() = 0;
  /// Evicts everything from the L2 cache.
  virtual void flush_l2() = 0;

  /// What the launches since the last call executed, by phase; empty on a GPU.
  virtual std::vector<PhaseProfile::Row> take_counts() { return {}; }
};

/// Owns device memory.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Device& device, std::size_t bytes, const std::string& what)
      : device_(&device), address_(device.allocate(bytes, what)), bytes_(bytes) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer() {
    if (device_ != nullptr) device_->release(address_);
  }

  Address address() const { return address_; }
  std::size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(address_);  // a device pointer: for kernel arguments only
  }

 private:
  Device* device_ = nullptr;
  Address address_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace flashbench::cuda
