#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ptx/machine/counters.h"
#include "ptx/machine/finding.h"
#include "ptx/machine/global_memory.h"
#include "ptx/machine/options.h"
#include "ptx/text/ptx_error.h"
#include "ptx/text/syntax.h"

namespace flashbench::ptx {

/// As PTX declares it: `type` is of an element.
struct ParameterInfo {
  std::string name;
  Type type = Type::kNone;
  std::size_t bytes = 0;
  std::size_t offset = 0;  ///< in a buffer of all parameters
};

struct KernelInfo {
  std::string name;
  std::vector<ParameterInfo> parameters;
  std::size_t static_shared_bytes = 0;
  std::size_t local_bytes = 0;  ///< of one thread
};

/// What a launch did. `findings` is empty when nothing is wrong.
struct LaunchResult {
  Counters counters;
  std::vector<Finding> findings;
  bool completed = true;  ///< false: a fatal finding stopped it
};

/// The compute capability that a module is for: 80 of .target sm_80. Throws PtxError.
int target_of(std::string_view text, std::string_view name);

struct Program;  // A loaded module.

/// A handle of PTX text loaded into a device; cheap to copy, keeps the program alive.
using Module = std::shared_ptr<Program>;

/// An emulated GPU that executes PTX and reports what is wrong with it.
/// Not thread-safe. Errors of use (unknown kernel, wrong argument sizes, freeing twice, copying
/// outside an allocation) throw DeviceError; what a kernel does wrong is a Finding.
class Device {
 public:
  /// Host memory per byte of device memory: the byte, and what is known about it. Where
  /// nobody has touched it, none.
  static constexpr std::size_t kHostBytesPerByte = 6;

  explicit Device(DeviceOptions options = {});
  ~Device();
  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;

  const DeviceOptions& options() const;
  void set_seed(std::uint64_t seed);
  /// Of each launch from here on; 0: no limit.
  void set_max_warp_instructions(std::uint64_t most);

  /// Parses `text`. `name` appears in errors and findings. Throws PtxError. Kernels are decoded
  /// when they are first asked for, so that an unknown instruction fails that kernel only.
  Module load(std::string_view text, std::string name);
  std::vector<std::string> kernels(const Module& module) const;
  /// Throws DeviceError if there is no such kernel, PtxError if it holds an unknown instruction.
  KernelInfo kernel(const Module& module, std::string_view kernel_name);

  /// Device memory, 256-byte aligned, not initialised: a kernel that reads it before anything was
  /// written there is reported. Throws DeviceError beyond memory_bytes. `name` appears in findings.
  Address alloc(std::size_t bytes, std::string name);
  void free(Address address);
  /// What findings say of the allocation that begins there, from here on: its name, and which
  /// element a byte of it belongs to. Throws DeviceError where none begins.
  void describe(Address address, std::string name, Elements elements);
  void copy_in(Address to, std::span<const std::byte> from);
  /// Bytes that nothing has written come out as 0xFF.
  void copy_out(std::span<std::byte> to, Address from) const;
  /// What nothing has written is not written in the copy either.
  void copy(Address to, Address from, std::size_t bytes);
  void fill(Address to, std::byte value, std::size_t bytes);
  /// Makes the bytes uninitialised again: 0xFF (a NaN in every float type), and a finding if read.
  void poison(Address to, std::size_t bytes);
  /// How many of the bytes nothing has written since alloc or poison.
  std::size_t unwritten(Address from, std::size_t bytes) const;
  std::size_t allocated_bytes() const;
  /// Whether an address lies in an allocation, and what findings call it, wherever it lies.
  bool holds(Address address) const;
  std::string where(Address address) const;

  /// Runs a whole grid. `arguments` are the kernel's parameters in order, each as its bytes. Throws
  /// DeviceError where the device refuses it, and once stop_requested says so.
  LaunchResult launch(const Module& module, std::string_view kernel_name, Dim3 grid, Dim3 block,
                      std::size_t dynamic_shared_bytes,
                      std::span<const std::span<const std::byte>> arguments);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace flashbench::ptx
