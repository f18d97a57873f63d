#include "cpu/peak.h"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "cpu/caches.h"
#include "cpu/tile_ops.h"
#include "system/buffer.h"

namespace flashbench::cpu {
namespace {

constexpr double kReading_s = 0.010;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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

double measure_read_bandwidth(const Execution& e) {
  constexpr std::size_t kMin = std::size_t{128} << 20, kMax = std::size_t{2} << 30;
  static Buffer buffer(std::clamp(4 * last_cache_bytes(), kMin, kMax));
  static bool touched = false;
  const TileOps& ops = tile_ops(e.isa);
  float* data = buffer.as<float>();
  const auto n = static_cast<std::int64_t>(buffer.bytes() / sizeof(float));
  constexpr std::int64_t kChunk = 1 << 18;  // floats: 1 MiB
  if (!touched) {
#pragma omp parallel for num_threads(e.threads) schedule(static)
    for (std::int64_t i = 0; i < n; i += kChunk)
      std::fill_n(data + i, std::min(kChunk, n - i), 1.0f);
    touched = true;
  }
  float sum = 0;
  const auto start = Clock::now();
#pragma omp parallel for num_threads(e.threads) schedule(static) reduction(+ : sum)
  for (std::int64_t i = 0; i < n; i += kChunk) sum += ops.read(data + i, std::min(kChunk, n - i));
  const double elapsed_s = seconds_since(start);
  volatile float keep = sum;
  static_cast<void>(keep);
  return static_cast<double>(buffer.bytes()) / elapsed_s;
}

}  // namespace flashbench::cpu
