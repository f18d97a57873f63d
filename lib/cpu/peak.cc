#include "cpu/peak.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>

#include "cpu/caches.h"
#include "cpu/tile_ops.h"
#include "system/buffer.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::cpu {
namespace {

constexpr double kReading_s = 0.010;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr std::uint64_t kLeastBuffer = std::uint64_t{128} << 20;
constexpr std::uint64_t kMostBuffer = std::uint64_t{2} << 30;
constexpr std::uint64_t kShareOfMemory = 4;  // one part in so many of what is available
constexpr std::uint64_t kSmallShare = 16;    // a buffer below one part in so many is kept
constexpr std::int64_t kChunk = 1 << 18;     // floats: 1 MiB

/// Every page is written by the thread that reads it.
Buffer touched_buffer(std::size_t bytes, int threads) {
  Buffer buffer(bytes);
  float* data = buffer.as<float>();
  const auto n = static_cast<std::int64_t>(bytes / sizeof(float));
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t i = 0; i < n; i += kChunk) std::fill_n(data + i, std::min(kChunk, n - i), 1.0f);
  return buffer;
}

/// The buffer of the last reading. The system takes a second and more to give a gigabyte, and a
/// reading that others disturbed is taken six times.
struct KeptBuffer {
  Buffer buffer;
  int threads = 0;  ///< that touched it

  void require(std::size_t bytes, int by) {
    if (buffer.bytes() == bytes && threads == by) return;
    buffer = Buffer();
    buffer = touched_buffer(bytes, by);
    threads = by;
  }
};

void read_all(const Buffer& buffer, const Execution& e) {
  const TileOps& ops = tile_ops(e.isa);
  const float* data = buffer.as<float>();
  const auto n = static_cast<std::int64_t>(buffer.bytes() / sizeof(float));
  float sum = 0;
#pragma omp parallel for num_threads(e.threads) schedule(static) reduction(+ : sum)
  for (std::int64_t i = 0; i < n; i += kChunk) sum += ops.read(data + i, std::min(kChunk, n - i));
  volatile float keep = sum;
  static_cast<void>(keep);
}

}  // namespace

double measure_peak_flops(const Execution& e, Dtype dtype) {
  const TileOps& ops = tile_ops(e.isa, dtype);
  double flop = 0;
  double slowest_s = 0;
  // Each thread runs for a fixed time, not for a fixed amount of work: where one loses its core for
  // a moment, the others do not wait for it.
#pragma omp parallel num_threads(e.threads) reduction(+ : flop) reduction(max : slowest_s)
  {
    float sink = 0;
    volatile float keep = 0;
#pragma omp barrier
    const auto start = Clock::now();
    do {
      flop += ops.multiply_adds(20000, &sink);
      slowest_s = seconds_since(start);
    } while (slowest_s < kReading_s);
    keep = sink;
    static_cast<void>(keep);
  }
  return flop / slowest_s;
}

std::size_t bandwidth_buffer_bytes(std::uint64_t last_caches_bytes,
                                   std::optional<std::uint64_t> available_bytes) {
  const std::uint64_t wanted = std::clamp(4 * last_caches_bytes, kLeastBuffer, kMostBuffer);
  if (!available_bytes) return wanted;
  const std::uint64_t bytes = std::min(wanted, *available_bytes / kShareOfMemory);
  const std::uint64_t least = std::min(2 * last_caches_bytes, kMostBuffer);
  if (bytes < least)
    throw OutOfMemoryError(fmt::format("it takes {} MB, more than a quarter of the {} MB available",
                                       (least + 999'999) / 1'000'000,
                                       *available_bytes / 1'000'000));
  return bytes;
}

double measure_read_bandwidth(const Execution& e) {
  static const std::size_t caches = last_caches_bytes();
  static KeptBuffer kept;
  std::optional<std::uint64_t> available = machine::available_memory_bytes();
  if (available) *available += kept.buffer.bytes();
  kept.require(bandwidth_buffer_bytes(caches, available), e.threads);
  const auto bytes = static_cast<double>(kept.buffer.bytes());
  read_all(kept.buffer, e);  // what filling it left in the caches is written back meanwhile
  const auto start = Clock::now();
  read_all(kept.buffer, e);
  const double rate = bytes / seconds_since(start);
  if (!available || kSmallShare * kept.buffer.bytes() > *available) kept = {};
  return rate;
}

}  // namespace flashbench::cpu
