#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cuda/device/device.h"
#include "cuda/device/emulated_device.h"
#include "cuda/device/emulated_gemm.h"
#include "cuda/image/image.h"
#include "ptx/device.h"
#include "tests/cuda/mutation.h"

namespace flashbench::cuda {

/// An emulated device that executes one kernel with a bug planted, and keeps what was found
/// instead of throwing it: the outputs are to be judged as well.
class MutatedDevice : public Device {
 public:
  using GemmBug = std::function<void(Gemm&)>;
  MutatedDevice(const Mutation& bug, std::uint64_t seed, GemmBug gemm_bug = {})
      : bug_(bug),
        gemm_bug_(std::move(gemm_bug)),
        device_({.seed = seed, .max_warp_instructions = 20'000'000}) {
    info_.name = "emulated";
    info_.emulated = true;
    info_.capability = device_.options().compute_capability;
    info_.memory_bytes = device_.options().memory_bytes;
    info_.shared_bytes = device_.options().shared_bytes_per_block;
    info_.multiprocessors = device_.options().resident_ctas;
  }

  /// What plans go by, where it is not what the emulator has; 0: leave it.
  void pretend(int multiprocessors, std::size_t shared_bytes) {
    if (multiprocessors != 0) info_.multiprocessors = multiprocessors;
    if (shared_bytes != 0) info_.shared_bytes = shared_bytes;
  }

  const std::vector<ptx::Finding>& findings() const { return findings_; }
  int launches() const { return launches_; }
  /// What all launches so far executed.
  const ptx::Counters& counters() const { return counters_; }

  const DeviceInfo& info() const override { return info_; }
  std::size_t free_bytes() override { return info_.memory_bytes - device_.allocated_bytes(); }
  Address allocate(std::size_t bytes, const std::string& what) override {
    return device_.alloc(bytes, what);
  }
  void release(Address address) noexcept override { device_.free(address); }
  void write(Address to, const void* from, std::size_t bytes) override {
    device_.copy_in(to, {static_cast<const std::byte*>(from), bytes});
  }
  void read(void* to, Address from, std::size_t bytes) override {
    device_.copy_out({static_cast<std::byte*>(to), bytes}, from);
  }
  void zero(Address to, std::size_t bytes) override { device_.fill(to, std::byte{0}, bytes); }
  void poison(Address to, std::size_t bytes) override { device_.poison(to, bytes); }
  TensorMap tensor_map(const BoxedTensor& tensor) override { return emulated_tensor_map(tensor); }
  void multiply(const Gemm& g) override {
    Gemm changed = g;
    if (gemm_bug_) gemm_bug_(changed);
    cuda::multiply(device_, changed);
  }
  void wait() override {}
  void mark_first() override {}
  void mark() override {}
  std::vector<double> intervals_s() override { return {}; }
  void flush_l2() override {}

  void enqueue(const Launch& launch, std::span<const std::byte> argument) override {
    const ptx::LaunchResult result = device_.launch(
        module_with(launch.entry), launch.entry, {static_cast<std::uint32_t>(launch.grid_x), 1, 1},
        {static_cast<std::uint32_t>(launch.threads), 1, 1}, launch.dynamic_bytes,
        std::span(&argument, 1));
    findings_.insert(findings_.end(), result.findings.begin(), result.findings.end());
    counters_ += result.counters;
    ++launches_;
  }

 private:
  const ptx::Module& module_with(const std::string& entry) {
    ptx::Module& module = modules_[entry];
    if (module != nullptr) return module;
    const Image image = image_with(entry);
    std::string text(image.ptx);
    if (entry == bug_.entry) {
      const auto changed = mutated(text, bug_, FLASHBENCH_SOURCE_DIR);
      if (!changed) throw std::invalid_argument("the mutation of " + entry + " matches nothing");
      text = *changed;
    }
    return module = device_.load(text, std::string(image.name));
  }

  Mutation bug_;
  GemmBug gemm_bug_;
  ptx::Device device_;
  DeviceInfo info_;
  std::map<std::string, ptx::Module> modules_;
  std::vector<ptx::Finding> findings_;
  ptx::Counters counters_;
  int launches_ = 0;
};

}  // namespace flashbench::cuda
