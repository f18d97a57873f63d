#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/gpu_reading.h"
#include "kernel/kernel.h"

namespace flashbench::registry {

/// Every kernel of this build, in the order that routing tries them.
const std::vector<const Kernel*>& kernels();

struct BackendStatus {
  Backend backend;
  std::optional<std::string> absent;  ///< why it cannot be used; nullopt when it can
};
std::vector<BackendStatus> backends();

struct IsaStatus {
  Isa isa;
  std::optional<std::string> absent;
  std::string tile;  ///< register tile that its products use here, e.g. "6 x 64"; empty if absent
  std::vector<Dtype> chosen_for;  ///< problems that get this level unless another is asked for
};
/// Every ISA level that flashbench knows, with the reason where this build or processor lacks it.
std::vector<IsaStatus> isas();
/// The levels that run here, in the order of kIsas. Never empty: scalar always runs.
std::vector<Isa> available_isas();
/// The level that a problem of this dtype gets unless one is asked for.
Isa best_isa(Dtype dtype);

/// What the user asked for; absent fields are chosen.
struct Request {
  AttentionType type = AttentionType::kFlash;
  std::optional<Backend> backend;
  std::optional<Isa> isa;
  std::string kernel;         ///< force one by name; empty: routed
  int threads = 0;            ///< 0: the processors that this process may use
  std::optional<int> device;  ///< of the CUDA backend: index of a GPU, or kEmulatedDevice
  bool deterministic = false;
  std::int64_t q_block = 64, kv_block = 64;
};

struct Route {
  const Kernel* kernel;
  Execution execution;
};

/// The kernel for a problem, or why none here takes it. Throws UsageError for a kernel name that no
/// build has.
std::variant<Route, Rejection> route(const Problem& p, const Request& r);

/// A GPU as the program tells its user.
struct GpuStatus {
  int index = 0;
  std::string name, driver;
  int capability = 0;  ///< 90 is compute capability 9.0
  int multiprocessors = 0;
  std::uint64_t memory_bytes = 0, shared_bytes = 0;  ///< shared: that one block may opt into
  std::uint64_t l2_bytes = 0;
  std::string pci_bus_id;
  std::string driver_version;  ///< "550.54.15"; empty without NVML
  std::string energy_missing;  ///< why its energy cannot be read; empty when it can
};
std::vector<GpuStatus> gpus();

/// What a GPU says about itself now, and its clocks alone, which is cheap.
GpuReading read_gpu(int device);
GpuReading read_gpu_clocks(int device);
/// Joules of a GPU's board since its driver was loaded; nullopt where it does not count them.
std::optional<double> gpu_energy_j(int device);
/// The CUDA toolkit that compiled the kernels, "13.0"; empty without one.
std::string cuda_toolkit();
/// Why there is no emulated device; nullopt when there is.
std::optional<std::string> emulated_device_absent();

/// Bytes that can be allocated on the device of an execution now; nullopt for the processor.
std::optional<std::uint64_t> device_free_bytes(const Execution& e);

/// Seconds on the clock of a CUDA device that what `work` queues there takes, from when the device
/// is through with what was queued before. Waits for it.
double device_seconds(int device, const std::function<void()>& work);

/// Waits until what was queued on a CUDA device before the last call of this is done; what was
/// queued since keeps it busy.
void wait_for_previous(int device);

/// Processors that this process may use: affinity and cgroup quota.
int usable_threads();

/// FLOP/s of a dtype's fastest multiply-add on these threads; on a GPU, of the instruction that
/// peak_instruction() names. Takes about 10 ms.
double measure_peak_flops(const Execution& e, Dtype dtype);
/// Read bandwidth in bytes/s of buffers beyond the last cache; takes about 30 ms.
double measure_peak_bandwidth(const Execution& e);

/// What a peak is of: the ISA level, or the instruction of a GPU (for a bandwidth: no dtype).
std::string peak_instruction(const Execution& e, std::optional<Dtype> dtype);
/// The threads that a reading keeps busy (no dtype: one of bandwidth).
int peak_threads(const Execution& e, std::optional<Dtype> dtype);

}  // namespace flashbench::registry
