#include "emulated_driver/state.h"

namespace flashbench::emulated_driver {

// Foreign code: shared memory is as on GPUs, and copies of a value may be stored by several warps.
Gpu::Gpu()
    : device({.memory_bytes = memory_bytes(),
              .dynamic_shared = ptx::DynamicShared::kAsOnGpus,
              .copies_race = false}) {}

std::vector<std::unique_ptr<Gpu>>& gpus() {
  static auto* const all = new std::vector<std::unique_ptr<Gpu>>(gpu_count());
  for (auto& gpu : *all)
    if (gpu == nullptr) gpu = std::make_unique<Gpu>();
  return *all;
}

Gpu*& current() {
  thread_local Gpu* of_thread = nullptr;
  return of_thread;
}

Result state() { return current() == nullptr ? kInvalidContext : current()->fault; }

std::string& last_failure() {
  static auto* const text = new std::string("no description");
  return *text;
}

}  // namespace flashbench::emulated_driver
