#include "emulated_driver/state.h"

#include <chrono>
#include <map>
#include <thread>
#include <utility>

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

std::recursive_mutex& one_at_a_time() {
  static auto* const mutex = new std::recursive_mutex;
  return *mutex;
}

Result state() {
  if (current() == nullptr) return failed(kInvalidContext, "this thread has no current context");
  return current()->fault;
}

Handles<Module>& modules() {
  static auto* const all = new Handles<Module>("module", "has been unloaded");
  return *all;
}
Handles<Function>& functions() {
  static auto* const all =
      new Handles<Function>("function", "belongs to a module that has been unloaded");
  return *all;
}
Handles<Stream>& streams() {
  static auto* const all = new Handles<Stream>("stream", "has been destroyed");
  return *all;
}
Handles<Event>& events() {
  static auto* const all = new Handles<Event>("event", "has been destroyed");
  return *all;
}

std::vector<Gpu*>& stack() {
  thread_local std::vector<Gpu*> of_thread;
  return of_thread;
}

namespace {

std::map<Result, std::string>& failures() {
  static auto* const all = new std::map<Result, std::string>;
  return *all;
}

Failure& last_failure() {
  static auto* const last = new Failure;
  return *last;
}

/// By lacking_for_good().
Failure& standing() {
  static auto* const lack = new Failure;
  return *lack;
}

bool streams_are_busy = false;

}  // namespace

std::string failure_of(Result error) {
  const std::lock_guard lock(one_at_a_time());
  const auto found = failures().find(error);
  return found == failures().end() ? "" : found->second;
}

Result failed(Result error, std::string why) {
  const std::lock_guard lock(one_at_a_time());
  last_failure() = {why, false};
  failures()[error] = std::move(why);
  return error;
}

Result lacking(Result error, std::string why) {
  const std::lock_guard lock(one_at_a_time());
  failed(error, std::move(why));
  last_failure().lacks = true;
  return error;
}

Result lacking_for_good(Result error, std::string why) {
  const std::lock_guard lock(one_at_a_time());
  standing() = {why, true};
  return lacking(error, std::move(why));
}

Result nowhere() { return failed(kInvalidValue, "a null pointer where the answer should go"); }

Failure take_last_failure() {
  const std::lock_guard lock(one_at_a_time());
  return std::exchange(last_failure(), standing());
}

Stream& stream_of(void* handle) {
  static auto* const by_default = new Stream;
  constexpr std::uintptr_t kPerThread = 2;  // CU_STREAM_PER_THREAD; CU_STREAM_LEGACY is 1
  if (reinterpret_cast<std::uintptr_t>(handle) <= kPerThread) return *by_default;
  return streams().at(handle);
}

void queue_on(void* stream) {
  Stream& of = stream_of(stream);
  ++of.queued;
  if (of.gpu != nullptr) streams_are_busy = true;
}

void finish_streams() {
  if (std::exchange(streams_are_busy, false))
    std::this_thread::sleep_for(std::chrono::duration<double>(late_s()));
}

}  // namespace flashbench::emulated_driver
