#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/device_reading.h"
#include "core/dtype.h"
#include "kernel/execution.h"
#include "kernel/kernel.h"
#include "kernel/routes.h"

namespace flashbench {

/// What a backend is, as plain data. Flags that it does not take are refused centrally, by name.
struct BackendInfo {
  BackendId id;
  std::string title;             ///< in headings: "CUDA"
  std::string device_noun = {};  ///< what --device chooses: "GPU"; empty where it chooses nothing
  bool takes_isa = false;
  bool takes_threads = false;
  bool of_guests = false;  ///< has no kernel but those that users bring, and no name of its own

  bool takes_device() const { return !device_noun.empty(); }
};

/// Somebody's kernels as PTX, and the file that describes how they are launched.
struct PtxSource {
  std::string file, launch;

  friend bool operator==(const PtxSource&, const PtxSource&) = default;
};

/// A device as the program tells its user. Absent, empty or 0: it does not say.
struct DeviceStatus {
  int index = 0;                      ///< as --device takes it; see device_text()
  std::optional<std::string> absent;  ///< why it cannot be used; nullopt when it can
  std::string emulates;               ///< what an emulator is good for; empty for hardware
  std::string name;                   ///< "NVIDIA H200"
  std::string capability;             ///< "9.0"
  int multiprocessors = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t shared_bytes = 0;  ///< that one block may opt into
  std::uint64_t cache_bytes = 0;   ///< of its last cache
  std::string driver, runtime;  ///< versions of the interface: what the driver has, what built us
  std::string driver_version;   ///< "550.54.15"
  std::string pci_bus_id;
  std::string energy_source, energy_missing;  ///< where joules are read, or why not: one is empty
};

/// An ISA level that flashbench knows.
struct IsaStatus {
  Isa isa;
  std::optional<std::string> absent;  ///< why this build or processor lacks it
  std::string tile;  ///< register tile that its products use here, e.g. "6 x 64"; empty if absent
  std::vector<Dtype> chosen_for;  ///< problems that get this level unless another is asked for
};

/// Where work runs, as reports name it. A place has either a device or threads.
struct Place {
  std::optional<std::string> isa;
  std::optional<int> threads;
  std::optional<std::string> device;
};

/// How work behaves while it is measured or checked.
struct ExecutionTraits {
  bool has_speed = true;      ///< false: an emulator, whose times say nothing
  bool seeded_order = false;  ///< executes in an order that follows from Execution::order_seed
  bool queues = false;        ///< launch() only queues its work; queued_s() times it
  bool flushes_caches =
      false;  ///< flush_caches() works; elsewhere cold calls rotate their operands
  /// launch() is timed where it runs, in another process: queued_s() tells.
  bool times_itself = false;
  bool own_memory = false;  ///< operands lie in memory that free_bytes() tells about
  int host_threads = 1;     ///< threads of this machine that a launch keeps busy
};

/// What a peak is of.
struct PeakSubject {
  std::string instruction;  ///< the ISA level, or the instruction of a device
  int threads = 1;          ///< that a reading keeps busy
};

class Backend;

/// Whose peaks are those of an execution.
struct PeakSource {
  Backend* backend;
  Execution execution;
};

/// A way to compute: its kernels, its devices, and what measuring needs of them. Everything that
/// differs between a processor and a GPU is asked here, so that nobody asks which of them it is.
///
/// Executions handed to a backend are its own: made by execution(). Where a device fails, methods
/// throw DeviceError; where it is not there or out of memory, UnavailableError. Not thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;

  /// In the order that routing tries them.
  virtual const std::vector<const Kernel*>& kernels() = 0;

  /// With of_guests: the kernels that somebody else's library or program has, which is loaded for
  /// it. Throws UsageError where it cannot be.
  virtual std::vector<const Kernel*> kernels_of(const GuestSource&) { return {}; }
  /// Likewise those in PTX, which an emulated device executes.
  virtual std::vector<const Kernel*> kernels_of(const PtxSource&) { return {}; }

  /// Why nothing runs on that device; without one, on the device that it would choose itself.
  virtual std::optional<std::string> absent(std::optional<int> device) = 0;
  /// The devices that --device can name, absent ones included.
  virtual std::vector<DeviceStatus> devices() { return {}; }
  /// Kinds of devices whose routes are known without one, as `info --as` takes them: "sm_80".
  virtual std::vector<std::string> device_kinds() { return {}; }
  /// What such a device would be routed to. `kind`: one of these.
  virtual RouteTable routes(const std::string& kind);

  /// The levels that --isa can name, absent ones included.
  virtual std::vector<IsaStatus> isas() { return {}; }

  /// The request with everything chosen. Its flags are among those that info() takes. Throws
  /// UnavailableError where the threads cannot be had.
  virtual Execution execution(const ExecutionRequest& asked, Dtype dtype) = 0;
  virtual Place place(const Execution& e) = 0;
  virtual ExecutionTraits traits(const Execution& e) = 0;

  /// Bytes that can be allocated now, with own_memory.
  virtual std::uint64_t free_bytes(const Execution&) { return 0; }
  /// Bytes of the last cache of a device; nullopt where it is that of this machine.
  virtual std::optional<std::uint64_t> cache_bytes(const Execution&) { return std::nullopt; }
  /// Untimed, with flushes_caches: evicts the operands from every cache.
  virtual void flush_caches(const Execution&) {}

  /// With `queues`: seconds on the device's clock that what `work` queues takes, from when the
  /// device is through with what was queued before. Waits for it. With `times_itself`: seconds that
  /// what it launches takes, by the clock where it runs.
  virtual double queued_s(const Execution& e, const std::function<void()>& work);
  /// With `queues`: waits until the device is through with what was in the queue at the call of
  /// this before this one. What was queued since keeps it busy.
  virtual void wait_for_previous(const Execution&) {}

  /// Another backend's, where this one computes with its means.
  virtual PeakSource peak_source(const Execution& e) { return {this, e}; }
  /// Every execution that has peaks of its own and that the request allows.
  virtual std::vector<Execution> with_own_peaks(const ExecutionRequest& asked) = 0;
  /// Both executions have the same peaks.
  virtual bool same_peaks(const Execution& a, const Execution& b) = 0;
  /// FLOP/s of the fastest multiply-add of a dtype; one reading takes about 10 ms.
  virtual double peak_flop_s(const Execution& e, Dtype dtype) = 0;
  /// Bytes/s read from buffers beyond the last cache; about 30 ms. Throws OutOfMemoryError where
  /// such a buffer does not fit beside what is held now.
  virtual double peak_bytes_s(const Execution& e) = 0;
  /// Without a dtype: of a bandwidth.
  virtual PeakSubject peak_subject(const Execution& e, std::optional<Dtype> dtype) = 0;

  /// What the device says about itself now; nullopt where there is nobody to ask.
  virtual std::optional<DeviceReading> read(const Execution&) { return std::nullopt; }
  /// Its clocks and what holds them down, which is cheap enough between samples.
  virtual std::optional<DeviceReading> read_clocks(const Execution&) { return std::nullopt; }
  /// Joules since some fixed moment; nullopt where nobody counts them. To be called at least once a
  /// minute while it matters: counters wrap.
  virtual std::optional<double> energy_j(const Execution&) { return std::nullopt; }
};

/// In the order in which they are listed. Not owned, never null.
using Backends = std::vector<Backend*>;

}  // namespace flashbench
