#include "cuda/peak_probe.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "cuda/probe_argument.h"

namespace flashbench::cuda {
namespace {

/// Resident together on every multiprocessor since 7.5 (1024 threads): one wave, no tail.
constexpr int kBlocks = 4;
constexpr int kFirstTensorCores = 80;  // that mma.sync.m16n8k16 has bf16 for
constexpr int kMostRepeats = 1 << 24, kMostTries = 8;
/// Clocks drift: a reading between half and twice the wanted time is as good.
constexpr double kShortest = 0.5, kLongest = 2;

bool on_tensor_cores(int capability, Dtype dtype) {
  return dtype != Dtype::kF32 && capability >= kFirstTensorCores;
}

}  // namespace

std::size_t probe_bytes(const DeviceInfo& about) {
  constexpr std::size_t kLeast = std::size_t{32} << 20;  // where the driver tells of no L2
  const std::size_t wanted = std::max(8 * about.l2_bytes, kLeast);
  return wanted / kReadGranule * kReadGranule;
}

std::string_view PeakProbe::instruction(int capability, Dtype dtype) {
  return on_tensor_cores(capability, dtype) ? "mma.sync" : "fma.f32";
}

int PeakProbe::threads() const { return device_.info().multiprocessors * kBlocks * kProbeThreads; }

double PeakProbe::flops(Dtype dtype) {
  if (!on_tensor_cores(device_.info().capability, dtype))
    return rate("simt_probe_fma", 2.0 * kFmaChains * kFmaSteps * threads(), fma_repeats_);
  return rate(fmt::format("probe_sm80_mma_{}", name(dtype)),
              double{kMmaFlop} * kMmaTiles * kMmaSteps * threads() / 32, mma_repeats_);
}

double PeakProbe::read_bandwidth() {
  if (buffer_.bytes() == 0) {
    buffer_ = {device_, probe_bytes(device_.info()), "the buffer that bandwidth is read from"};
    device_.zero(buffer_.address(), buffer_.bytes());
  }
  return rate("simt_probe_read", static_cast<double>(buffer_.bytes()), read_repeats_);
}

double PeakProbe::rate(const std::string& entry, double work, int& repeats) {
  double took_s = seconds(entry, repeats);
  for (int tries = 0; tries < kMostTries; ++tries) {
    const bool short_of_it = took_s < kShortest * kReading_s && repeats < kMostRepeats;
    const bool beyond_it = took_s > kLongest * kReading_s && repeats > 1;
    if (!short_of_it && !beyond_it) break;
    const double wanted = took_s > 0 ? repeats * kReading_s / took_s : 64.0 * repeats;
    // At most 64 times more at once: a first launch that is all latency says little.
    repeats =
        static_cast<int>(std::clamp(wanted, 1.0, std::min(64.0 * repeats, 1.0 * kMostRepeats)));
    took_s = seconds(entry, repeats);
  }
  if (!(took_s > 0)) throw DeviceError(fmt::format("{} took no time", entry));
  return work * repeats / took_s;
}

double PeakProbe::seconds(const std::string& entry, int repeats) {
  if (sink_.bytes() == 0) sink_ = {device_, sizeof(std::int32_t), "the probes' result"};
  ProbeArgument argument{};
  argument.data = buffer_.as<void>();
  argument.bytes = static_cast<std::int64_t>(buffer_.bytes());
  argument.repeats = repeats;
  argument.factor = -0.999f;
  argument.addend = 0.5f;
  argument.never = 0x7fc12345;
  argument.sink = sink_.as<std::int32_t>();
  Launch launch;
  launch.entry = entry;
  launch.phase = "peak";
  launch.grid_x = device_.info().multiprocessors * kBlocks;
  launch.threads = kProbeThreads;
  device_.mark_first();
  device_.launch(launch, argument);
  device_.mark();
  return device_.intervals_s().at(0);
}

}  // namespace flashbench::cuda
