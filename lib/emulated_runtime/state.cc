#include "emulated_runtime/state.h"

#include <deque>
#include <map>
#include <mutex>
#include <utility>

namespace flashbench::emulated_runtime {
namespace {

/// Programs register before main() and launch from any thread. Never destroyed: their destructors
/// may still call.
struct Registered {
  std::mutex mutex;
  std::deque<Module> modules;
  std::deque<Kernel> kernels;
  std::map<const void*, Kernel*> by_host;
};

Registered& registered() {
  static auto* const all = new Registered;
  return *all;
}

}  // namespace

Module& add_module(const void* image) {
  const std::lock_guard lock(registered().mutex);
  return registered().modules.emplace_back(Module{image});
}

void add_kernel(Module& module, const void* host, std::string name) {
  const std::lock_guard lock(registered().mutex);
  Kernel& kernel = registered().kernels.emplace_back(Kernel{&module, std::move(name)});
  registered().by_host[host] = &kernel;
}

Kernel* find_kernel(const void* function) {
  const std::lock_guard lock(registered().mutex);
  const auto found = registered().by_host.find(function);
  if (found != registered().by_host.end()) return found->second;
  for (Kernel& kernel : registered().kernels)
    if (&kernel == function) return &kernel;
  return nullptr;
}

Error nowhere() { return flashbench_emulated_refused("a null pointer where the answer should go"); }

Error use_device() {
  void* context = nullptr;
  cuCtxGetCurrent(&context);
  if (context != nullptr) return kSuccess;
  if (const Error error = cuInit(0); error != kSuccess) return error;
  if (const Error error = cuDevicePrimaryCtxRetain(&context, 0); error != kSuccess) return error;
  return cuCtxSetCurrent(context);
}

Error load(Kernel& kernel, void** function) {
  const std::lock_guard lock(registered().mutex);
  if (kernel.loaded == nullptr) {
    if (kernel.module->loaded == nullptr)
      if (const Error e = cuModuleLoadData(&kernel.module->loaded, kernel.module->image);
          e != kSuccess)
        return e;
    if (const Error e =
            cuModuleGetFunction(&kernel.loaded, kernel.module->loaded, kernel.name.c_str());
        e != kSuccess)
      return e;
  }
  *function = kernel.loaded;
  return kSuccess;
}

Error& last_error() {
  thread_local Error last = kSuccess;
  return last;
}

Error noted(Error error) {
  if (error != kSuccess) last_error() = error;
  return error;
}

}  // namespace flashbench::emulated_runtime
