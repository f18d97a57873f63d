// The probes execute what their rates are computed from: counted by the emulated device.
#include "cuda/probe/peak_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "cuda/contract/probe_argument.h"
#include "cuda/device/emulated_device.h"
#include "system/error.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

using Counts = std::map<std::string, double>;

Counts counts_of(Device& device) {
  Counts counts;
  for (const PhaseProfile::Row& row : device.take_counts())
    for (const auto& [name, n] : row.counts) counts[name] += static_cast<double>(n);
  return counts;
}

Counts executed(EmulatedDevice& device, const std::string& entry, ProbeArgument argument,
                int blocks) {
  Launch launch;
  launch.entry = entry;
  launch.grid_x = blocks;
  launch.threads = kProbeThreads;
  device.take_counts();
  device.launch(launch, argument);
  return counts_of(device);
}

ProbeArgument arithmetic(int repeats) {
  ProbeArgument a{};
  a.repeats = repeats;
  a.factor = -0.999f;
  a.addend = 0.5f;
  a.never = 0x7fc12345;
  return a;
}

using Probe = NeedsKernels;

TEST_F(Probe, EveryMultiplyAddIsExecuted) {
  EmulatedDevice device({});
  constexpr int kBlocks = 2;
  for (const int repeats : {1, 7}) {
    Counts n = executed(device, "simt_probe_fma", arithmetic(repeats), kBlocks);
    const double fma = double{kFmaChains} * kFmaSteps * repeats * kProbeThreads * kBlocks;
    EXPECT_GE(n["instructions: f32/f64"], fma);
    EXPECT_LE(n["instructions: f32/f64"], fma + 2.0 * kFmaChains * kProbeThreads * kBlocks);
  }
  const double one = executed(device, "simt_probe_fma", arithmetic(1), 1)["thread_instructions"];
  const double nine = executed(device, "simt_probe_fma", arithmetic(9), 1)["thread_instructions"];
  const double of_a_repeat = (nine - one) / (8.0 * kProbeThreads);
  EXPECT_LE(of_a_repeat, 1.01 * kFmaChains * kFmaSteps) << "the loop costs less than 1 %";
}

TEST_F(Probe, EveryMatrixProductIsExecuted) {
  EmulatedDevice device({});
  for (const char* entry : {"probe_sm80_mma_bf16", "probe_sm80_mma_f16"}) {
    Counts n = executed(device, entry, arithmetic(5), 2);
    EXPECT_EQ(n["matrix FLOP"], 5.0 * kMmaFlop * kMmaTiles * kMmaSteps * 2 * kProbeThreads / 32)
        << entry;
  }
}

// Once and several times: the last products are waited for in another place than those before.
TEST_F(Probe, EveryProductOfWarpgroupsIsExecuted) {
  EmulatedDevice device({.compute_capability = 90});
  for (const char* entry : {"probe_sm90a_wgmma_bf16", "probe_sm90a_wgmma_f16"})
    for (const int repeats : {1, 3}) {
      Counts n = executed(device, entry, arithmetic(repeats), 2);
      const double warpgroups = 2 * kProbeThreads / 128;
      EXPECT_EQ(n["matrix FLOP"], warpgroups * repeats * kWgmmaSteps * kWgmmaFlop) << entry;
    }
}

// The emulated device finds each of them missing; so what it does not find is there.
TEST_F(Probe, ProductsOfWarpgroupsWaitForWhatTheyNeed) {
  Launch launch;
  launch.entry = "probe_sm90a_wgmma_bf16";
  launch.grid_x = 1;
  launch.threads = kProbeThreads;
  const auto found = [&](const std::string& missing) {
    Mutation bug{};
    if (!missing.empty()) bug.entry = launch.entry;
    bug.instruction = missing;
    MutatedDevice device(bug, 1);
    device.launch(launch, arithmetic(3));
    return device.findings().size();
  };
  EXPECT_EQ(found(""), 0u);
  for (const char* missing : {"fence[.]proxy[.]async[^;]*;", "bar[.]sync[^;]*;",
                              "wgmma[.]fence[^;]*;", "wgmma[.]wait_group[^;]* 0;"})
    EXPECT_GT(found(missing), 0u) << missing;
}

TEST_F(Probe, EveryByteIsReadInEveryPass) {
  EmulatedDevice device({});
  for (const int granules : {1, 3, 5}) {  // fewer than blocks, and no multiple of them
    const DeviceBuffer buffer(device, std::size_t{kReadGranule} * granules, "read");
    device.zero(buffer.address(), buffer.bytes());
    ProbeArgument a = arithmetic(3);
    a.data = buffer.as<void>();
    a.bytes = static_cast<std::int64_t>(buffer.bytes());
    Counts n = executed(device, "simt_probe_read", a, 2);
    EXPECT_EQ(n["bytes: global read"], 3.0 * static_cast<double>(buffer.bytes()));
    EXPECT_EQ(n["bytes: global written"], 0);
  }
}

TEST_F(Probe, AResultThatWouldCountIsWritten) {
  EmulatedDevice device({});
  const DeviceBuffer buffer(device, kReadGranule, "read");
  const DeviceBuffer sink(device, sizeof(std::int32_t), "sink");
  std::vector<std::int32_t> ones(kReadGranule / sizeof(std::int32_t), 1);
  device.write(buffer.address(), ones.data(), buffer.bytes());
  ProbeArgument a = arithmetic(2);
  a.data = buffer.as<void>();
  a.bytes = kReadGranule;
  a.never = 2 * 4 * kReadLoads;  // what a thread's sum is: 4 integers a load, 2 passes
  a.sink = sink.as<std::int32_t>();
  Counts n = executed(device, "simt_probe_read", a, 1);
  EXPECT_EQ(n["bytes: global written"], 4.0 * kProbeThreads);
}

/// A device whose launches take a time that the test gives: work at a rate, after a latency.
class TimedDevice final : public Device {
 public:
  TimedDevice(int capability, double seconds_per_repeat, double latency_s)
      : seconds_per_repeat_(seconds_per_repeat), latency_s_(latency_s) {
    info_.capability = capability;
    info_.multiprocessors = 10;
    info_.l2_bytes = 50u << 20;
  }
  const DeviceInfo& info() const override { return info_; }
  std::size_t free_bytes() override { return 1u << 30; }
  Address allocate(std::size_t bytes, const std::string&) override {
    allocated_ += bytes;
    return 0x1000;
  }
  void release(Address) noexcept override {}
  void write(Address, const void*, std::size_t) override {}
  void read(void*, Address, std::size_t) override {}
  void zero(Address, std::size_t) override {}
  void poison(Address, std::size_t) override {}
  TensorMap tensor_map(const BoxedTensor&) override { return {}; }
  void multiply(const Gemm&) override {}
  void enqueue(const Launch& launch, std::span<const std::byte> bytes) override {
    ProbeArgument argument;
    std::memcpy(&argument, bytes.data(), sizeof argument);
    entries_.push_back(launch.entry);
    blocks_ = launch.grid_x;
    took_s_ = latency_s_ + argument.repeats * seconds_per_repeat_;
    all_s_ += took_s_;
  }
  void wait() override {}
  void mark_first() override {}
  void mark() override {}
  std::vector<double> intervals_s() override { return {took_s_}; }
  void flush_l2() override {}

  std::vector<std::string> entries_;
  std::size_t allocated_ = 0;
  std::int64_t blocks_ = 0;  ///< of the last launch
  double all_s_ = 0;

 private:
  DeviceInfo info_;
  double seconds_per_repeat_, latency_s_, took_s_ = 0;
};

TEST(PeakRate, IsWorkOverTimeOnceLatencyIsLostInIt) {
  TimedDevice device(90, 1e-8, 5e-6);
  PeakProbe probe(device);
  const double flop = 2.0 * kFmaChains * kFmaSteps * 10 * 4 * kProbeThreads;
  EXPECT_NEAR(probe.flops(Dtype::kF32), flop / 1e-8, 0.002 * flop / 1e-8);
  device.all_s_ = 0;
  probe.flops(Dtype::kF32);
  EXPECT_LT(device.all_s_, 2 * PeakProbe::kReading_s) << "the next reading knows how long to run";
}

TEST(PeakRate, IsOfTheInstructionThatTheDeviceHas) {
  const std::pair<int, const char*> entries[] = {
      {75, "simt_probe_fma"},         {80, "probe_sm80_mma_bf16"},  {89, "probe_sm80_mma_bf16"},
      {90, "probe_sm90a_wgmma_bf16"}, {100, "probe_sm80_mma_bf16"}, {120, "probe_sm80_mma_bf16"}};
  for (const auto& [capability, entry] : entries) {
    TimedDevice device(capability, 1e-3, 0);
    PeakProbe(device).flops(Dtype::kBf16);
    EXPECT_EQ(device.entries_.front(), entry) << capability;
  }
  EXPECT_EQ(PeakProbe::instruction(90, Dtype::kF16), "wgmma");
  EXPECT_EQ(PeakProbe::instruction(80, Dtype::kF16), "mma.sync");
  EXPECT_EQ(PeakProbe::instruction(100, Dtype::kF16), "mma.sync");
  EXPECT_EQ(PeakProbe::instruction(75, Dtype::kF16), "fma.f32");
  EXPECT_EQ(PeakProbe::instruction(90, Dtype::kF32), "fma.f32");
}

// Of 10 multiprocessors: one block of two warpgroups each.
TEST(PeakRate, CountsTheBlocksOfItsProbe) {
  TimedDevice device(90, 1e-5, 0);
  PeakProbe probe(device);
  const double flop = double{kWgmmaFlop} * kWgmmaSteps * 2 * 10;
  EXPECT_NEAR(probe.flops(Dtype::kF16), flop / 1e-5, 1e-6 * flop / 1e-5);
  EXPECT_EQ(device.entries_.front(), "probe_sm90a_wgmma_f16");
  EXPECT_EQ(device.blocks_, 10);
  EXPECT_EQ(probe.threads(Dtype::kF16), 10 * kProbeThreads);
  EXPECT_EQ(probe.threads(Dtype::kF32), 10 * 4 * kProbeThreads);
  EXPECT_EQ(probe.threads(std::nullopt), 10 * 4 * kProbeThreads);
}

TEST(PeakRate, BandwidthIsOfABufferFarBeyondTheL2Cache) {
  TimedDevice device(90, 1e-4, 0);
  PeakProbe probe(device);
  const double bytes = static_cast<double>(probe_bytes(device.info()));
  EXPECT_GE(bytes, 7.9 * (50u << 20));
  EXPECT_NEAR(probe.read_bandwidth(), bytes / 1e-4, 1e-6 * bytes / 1e-4);
  const std::size_t taken = device.allocated_;
  probe.read_bandwidth();
  EXPECT_EQ(device.allocated_, taken) << "the buffer is kept";
}

TEST(PeakRate, ADeviceWithoutAClockIsAnErrorAndNoEndlessLoop) {
  TimedDevice device(90, 0, 0);
  EXPECT_THROW(PeakProbe(device).flops(Dtype::kF32), DeviceError);
}

}  // namespace
}  // namespace flashbench::cuda
