#include "cuda/probe/peak_probe.h"

#include <fmt/format.h>

#include <algorithm>

#include "cuda/contract/probe_argument.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

/// Of one block, for each repeat.
constexpr int kWarps = kProbeThreads / 32, kWarpgroups = kWarps / 4;
constexpr double kFmaBlockFlop = 2.0 * kFmaChains * kFmaSteps * kProbeThreads;
constexpr double kMmaBlockFlop = double{kMmaFlop} * kMmaTiles * kMmaSteps * kWarps;
constexpr double kWgmmaBlockFlop = double{kWgmmaFlop} * kWgmmaSteps * kWarpgroups;

/// A probe of arithmetic. `blocks` of a multiprocessor are resident together: one wave, no tail.
struct Arithmetic {
  std::string_view instruction, entry;
  bool of_dtype;  ///< the name of the dtype follows that of the entry
  int blocks;
  double block_flop;  ///< for each repeat
};
/// 1024 threads, which every device since 7.5 holds.
constexpr int kBlocks = 4;
constexpr Arithmetic kFma = {"fma.f32", "simt_probe_fma", false, kBlocks, kFmaBlockFlop};
constexpr Arithmetic kMma = {"mma.sync", "probe_sm80_mma_", true, kBlocks, kMmaBlockFlop};
/// The sums of two warpgroups take more than half of the registers.
constexpr Arithmetic kWgmma = {"wgmma", "probe_sm90a_wgmma_", true, 1, kWgmmaBlockFlop};

constexpr int kFirstTensorCores = 80;  // mma.sync.m16n8k16 takes bf16 from 8.0 on
constexpr int kHopper = 90;            // wgmma exists on 9.0 alone
constexpr int kMostRepeats = 1 << 24, kMostTries = 8;
/// Clocks drift: a reading between half and twice the wanted time is as good.
constexpr double kShortest = 0.5, kLongest = 2;

/// The dtypes that the tensor cores' probes multiply; the others are computed in f32.
constexpr DtypeSet kOfTensorCores = {Dtype::kBf16, Dtype::kF16};

const Arithmetic& arithmetic(int capability, Dtype dtype) {
  if (!kOfTensorCores.has(dtype) || capability < kFirstTensorCores) return kFma;
  return capability == kHopper ? kWgmma : kMma;
}

}  // namespace

std::size_t probe_bytes(const DeviceInfo& about) {
  constexpr std::size_t kLeast = std::size_t{32} << 20;  // where the driver tells of no L2
  const std::size_t wanted = std::max(8 * about.l2_bytes, kLeast);
  return wanted / kReadGranule * kReadGranule;
}

std::string_view PeakProbe::instruction(int capability, Dtype dtype) {
  return arithmetic(capability, dtype).instruction;
}

int PeakProbe::threads(std::optional<Dtype> dtype) const {
  const DeviceInfo& about = device_.info();
  const int blocks = dtype ? arithmetic(about.capability, *dtype).blocks : kBlocks;
  return about.multiprocessors * blocks * kProbeThreads;
}

double PeakProbe::flops(Dtype dtype) {
  const Arithmetic& of = arithmetic(device_.info().capability, dtype);
  const int blocks = device_.info().multiprocessors * of.blocks;
  return rate(fmt::format("{}{}", of.entry, of.of_dtype ? name(dtype) : ""), blocks,
              of.block_flop * blocks, of.of_dtype ? matrix_repeats_ : fma_repeats_);
}

double PeakProbe::read_bandwidth() {
  if (buffer_.bytes() == 0) {
    buffer_ = {device_, probe_bytes(device_.info()), "the buffer that bandwidth is read from"};
    device_.zero(buffer_.address(), buffer_.bytes());
  }
  return rate("simt_probe_read", device_.info().multiprocessors * kBlocks,
              static_cast<double>(buffer_.bytes()), read_repeats_);
}

double PeakProbe::rate(const std::string& entry, int blocks, double work, int& repeats) {
  double took_s = seconds(entry, blocks, repeats);
  for (int tries = 0; tries < kMostTries; ++tries) {
    const bool too_short = took_s < kShortest * kReading_s && repeats < kMostRepeats;
    const bool too_long = took_s > kLongest * kReading_s && repeats > 1;
    if (!too_short && !too_long) break;
    const double wanted = took_s > 0 ? repeats * kReading_s / took_s : 64.0 * repeats;
    // At most 64 times more at once: a first launch is mostly latency and says little of the rate.
    repeats =
        static_cast<int>(std::clamp(wanted, 1.0, std::min(64.0 * repeats, 1.0 * kMostRepeats)));
    took_s = seconds(entry, blocks, repeats);
  }
  if (!(took_s > 0)) throw DeviceError(fmt::format("{} took no time", entry));
  return work * repeats / took_s;
}

double PeakProbe::seconds(const std::string& entry, int blocks, int repeats) {
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
  launch.grid_x = blocks;
  launch.threads = kProbeThreads;
  device_.mark_first();
  device_.launch(launch, argument);
  device_.mark();
  return device_.intervals_s().at(0);
}

}  // namespace flashbench::cuda
