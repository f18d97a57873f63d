#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/enumerators.h"

namespace flashbench {

/// Names a backend as --backend does: "cpu", "cuda". Which there are, lib/registry says.
struct BackendId {
  std::string text;
  friend bool operator==(const BackendId&, const BackendId&) = default;
};
inline std::string_view name(const BackendId& b) { return b.text; }

/// The backend that is always there: the processor that the program runs on.
inline const BackendId kProcessor{"cpu"};

enum class Isa { kScalar, kSse4, kAvx2, kAvx512, kAvx512Bf16, kNeon };

inline constexpr auto kIsas = kEnumerators<Isa>;

constexpr std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kSse4:
      return "sse4";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kNeon:
      return "neon";
  }
  no_such_enumerator();
}

/// The device of `--device emulated`: it executes the CUDA kernels' PTX on the processor.
inline constexpr int kEmulatedDevice = -1;

/// As --device takes it: "0", "emulated".
inline std::string device_text(int device) {
  return device == kEmulatedDevice ? "emulated" : std::to_string(device);
}

/// How kernels in a library are called: flashbench_kernel.h, or the C interface of Apache TVM FFI.
enum class PluginAbi { kFlashbenchKernel, kTvmFfi };

constexpr std::string_view name(PluginAbi abi) {
  switch (abi) {
    case PluginAbi::kFlashbenchKernel:
      return "flashbench_kernel";
    case PluginAbi::kTvmFfi:
      return "tvm-ffi";
  }
  no_such_enumerator();
}

/// A library or a program that the user brings, with kernels in it.
struct GuestSource {
  enum class Kind { kPlugin, kWorker };
  Kind kind = Kind::kPlugin;
  std::string text;  ///< the file, or the command
  PluginAbi abi = PluginAbi::kFlashbenchKernel;
  bool emulated = false;  ///< its GPU is the emulated device

  friend bool operator==(const GuestSource&, const GuestSource&) = default;
};

/// What a user asks of how a problem is computed; what is absent, the backend chooses.
struct ExecutionRequest {
  std::optional<Isa> isa;
  int threads = 0;  ///< 0: OMP_NUM_THREADS, or the processors that this process may use
  std::optional<int> device;
  bool deterministic = false;
  std::int64_t q_block = 64, kv_block = 64;
};

/// How a problem is to be computed: everything that decides speed and not the answer. Which fields
/// count, the backend says.
struct Execution {
  Isa isa = Isa::kScalar;
  int threads = 1;               ///< of a team, as it was granted
  int device = 0;                ///< index of a device of the backend, or kEmulatedDevice
  std::uint64_t order_seed = 1;  ///< of the order in which an emulator executes
  bool deterministic = false;
  std::int64_t q_block = 64, kv_block = 64;  ///< tiles of the `paper` type
};

}  // namespace flashbench
