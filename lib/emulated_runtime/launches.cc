#include <cstring>
#include <string>
#include <vector>

#include "emulated_runtime/state.h"

// The runtime's functions by which programs register kernels and launch them.
using namespace flashbench::emulated_runtime;

namespace {

struct Dim3 {
  unsigned x, y, z;
};

/// Of <<<>>>, from the call that evaluates it to the stub that launches.
struct Configuration {
  Dim3 grid, block;
  std::size_t shared_bytes;
  void* stream;
};

std::vector<Configuration>& configurations() {
  thread_local std::vector<Configuration> of_thread;
  return of_thread;
}

/// cudaLaunchAttribute.
struct Attribute {
  int id;
  char pad[4];
  union {
    char bytes[64];
    Dim3 cluster;
    int cooperative;
  } value;
};
constexpr int kCooperative = 2, kClusterDimension = 4;

/// cudaLaunchConfig_t.
struct LaunchConfig {
  Dim3 grid, block;
  std::size_t shared_bytes;
  void* stream;
  const Attribute* attributes;
  unsigned count;
};

/// cudaFuncAttributes of CUDA 12 and 13.
struct FunctionAttributes {
  std::size_t shared_bytes, constant_bytes, local_bytes;
  int max_threads, registers, ptx_version, binary_version, cache_mode;
  int max_dynamic_shared_bytes, preferred_carveout;
  int cluster_must_be_set, cluster_width, cluster_height, cluster_depth, cluster_scheduling,
      bigger_clusters_allowed;
  int reserved[16];
};
static_assert(sizeof(FunctionAttributes) == 144);

/// What is not there is no error: `found`, which may be null, becomes
/// cudaDriverEntryPointSymbolNotFound.
Error entry_point(const char* name, void** function, int version, unsigned long long flags,
                  int* found) {
  const Error error = cuGetProcAddress_v2(name, function, version, flags, found);
  if (error != kNotFound) return noted(error);
  flashbench_emulated_lacking(
      (std::string(name) + " is not there, which was asked for as an entry point").c_str());
  return kSuccess;
}

Error launch(const void* function, const Configuration& how, void** arguments) {
  return on_device([&] {
    Kernel* const kernel = find_kernel(function);
    if (kernel == nullptr) return kInvalidDeviceFunction;
    void* loaded = nullptr;
    if (const Error error = load(*kernel, &loaded); error != kSuccess) return error;
    return cuLaunchKernel(loaded, how.grid.x, how.grid.y, how.grid.z, how.block.x, how.block.y,
                          how.block.z, static_cast<unsigned>(how.shared_bytes), how.stream,
                          arguments, nullptr);
  });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void** __cudaRegisterFatBinary(void* image) { return reinterpret_cast<void**>(&add_module(image)); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** module, const char* host, char*, const char* name, int, void*,
                            void*, void*, void*, int*) {
  add_kernel(*reinterpret_cast<Module*>(module), host, name);
}

/// Variables live where the PTX declares them; none is found by its symbol.
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}

unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, std::size_t shared_bytes,
                                     void* stream) {
  configurations().push_back({grid, block, shared_bytes, stream});
  return 0;
}

Error __cudaPopCallConfiguration(Dim3* grid, Dim3* block, std::size_t* shared_bytes, void* stream) {
  if (configurations().empty())
    return noted(flashbench_emulated_refused("a launch without its configuration"));
  const Configuration last = configurations().back();
  configurations().pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared_bytes = last.shared_bytes;
  std::memcpy(stream, &last.stream, sizeof last.stream);
  return kSuccess;
}

Error __cudaGetKernel(void** kernel, const void* host) {
  if (kernel == nullptr) return noted(nowhere());
  *kernel = find_kernel(host);
  return noted(*kernel == nullptr ? kInvalidDeviceFunction : kSuccess);
}

Error cudaLaunchKernel(const void* function, Dim3 grid, Dim3 block, void** arguments,
                       std::size_t shared_bytes, void* stream) {
  return launch(function, {grid, block, shared_bytes, stream}, arguments);
}

Error __cudaLaunchKernel(void* kernel, Dim3 grid, Dim3 block, void** arguments,
                         std::size_t shared_bytes, void* stream) {
  return launch(kernel, {grid, block, shared_bytes, stream}, arguments);
}

/// Attributes that say when a launch may begin, or hint, change nothing here: each is done when the
/// call returns.
Error cudaLaunchKernelExC(const LaunchConfig* how, const void* function, void** arguments) {
  if (how == nullptr)
    return noted(flashbench_emulated_refused("a launch without its configuration"));
  for (unsigned i = 0; i < how->count; ++i) {
    const Attribute& a = how->attributes[i];
    if (a.id == kCooperative && a.value.cooperative != 0)
      return noted(flashbench_emulated_lacking("cooperative launches are not there"));
    if (a.id != kClusterDimension) continue;
    const Dim3 cluster = a.value.cluster;
    if (cluster.x != 1 || cluster.y != 1 || cluster.z != 1)
      return noted(flashbench_emulated_lacking("clusters of more than one block are not there"));
  }
  return launch(function, {how->grid, how->block, how->shared_bytes, how->stream}, arguments);
}

Error cudaFuncSetAttribute(const void* function, int attribute, int value) {
  return on_device([&] {
    Kernel* const kernel = find_kernel(function);
    if (kernel == nullptr) return kInvalidDeviceFunction;
    void* loaded = nullptr;
    const Error error = load(*kernel, &loaded);
    return error != kSuccess ? error : cuFuncSetAttribute(loaded, attribute, value);
  });
}

Error cudaFuncSetCacheConfig(const void*, int) { return kSuccess; }

Error cudaFuncGetAttributes(FunctionAttributes* attributes, const void* function) {
  return on_device([&] {
    constexpr int kMaxThreads = 0, kSharedBytes = 1, kLocalBytes = 3, kRegisters = 4,
                  kMaxDynamicSharedBytes = 8;
    Kernel* const kernel = find_kernel(function);
    if (attributes == nullptr) return nowhere();
    if (kernel == nullptr) return kInvalidDeviceFunction;
    void* loaded = nullptr;
    if (const Error error = load(*kernel, &loaded); error != kSuccess) return error;
    const auto value = [&](int attribute) {
      int found = 0;
      cuFuncGetAttribute(&found, attribute, loaded);
      return found;
    };
    *attributes = {};
    attributes->shared_bytes = static_cast<std::size_t>(value(kSharedBytes));
    attributes->local_bytes = static_cast<std::size_t>(value(kLocalBytes));
    attributes->max_threads = value(kMaxThreads);
    attributes->registers = value(kRegisters);
    attributes->ptx_version = 90;
    attributes->binary_version = 90;
    attributes->max_dynamic_shared_bytes = value(kMaxDynamicSharedBytes);
    attributes->preferred_carveout = -1;  // cudaSharedmemCarveoutDefault
    return kSuccess;
  });
}

/// One multiprocessor takes one block at a time.
Error cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, std::size_t) {
  *blocks = 1;
  return kSuccess;
}
Error cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int,
                                                             std::size_t, unsigned) {
  *blocks = 1;
  return kSuccess;
}

Error cudaGetDriverEntryPoint(const char* name, void** function, unsigned long long flags,
                              int* found) {
  int version = 0;
  cuDriverGetVersion(&version);
  return entry_point(name, function, version, flags, found);
}
Error cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                       unsigned long long flags, int* found) {
  return entry_point(name, function, static_cast<int>(version), flags, found);
}

}  // extern "C"
#pragma GCC visibility pop
