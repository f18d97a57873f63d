#include "data/fill.h"

#include <omp.h>

#include <algorithm>

#include "data/philox.h"

namespace flashbench::data {
namespace {

// An element takes 64 random bits. The popcount of the first word is binomial, B(32, 1/2); the two
// halves of the second add a triangle as wide as two steps of the binomial, which interpolates its
// bars linearly. In units of 2^-16 steps the sum lies in [0, 2·kCentre], symmetric, with
//   variance 2^32·(32/4 + 2/12) = (187284.7)^2,
//   excess kurtosis (-32/8 - 2/120) / (8 + 1/6)^2 = -0.060.
// Times 1433 the standard deviation is 0.9998·2^28, and 1433·kCentre < 2^31 still fits: converting
// that integer to f32 rounds once, correctly, and scaling by 2^-28 is exact. The odd factor fills
// the mantissa's low bits, so that f32 products round.
constexpr std::int32_t kCentre = 16 * 65536 + 65535;
constexpr std::int32_t kToUnit = 1433;
static_assert(std::int64_t{kCentre} * kToUnit < (std::int64_t{1} << 31));

constexpr std::int32_t popcount(std::uint32_t x) {  // plain arithmetic vectorises on every ISA
  x = x - ((x >> 1) & 0x55555555u);
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  x += x >> 8;
  return static_cast<std::int32_t>((x + (x >> 16)) & 63u);
}
static_assert(popcount(0) == 0 && popcount(~0u) == 32 && popcount(0x80010003u) == 4);

constexpr float normal_like(std::uint32_t first, std::uint32_t second) {
  const std::int32_t triangle = static_cast<std::int32_t>((second & 0xffffu) + (second >> 16));
  const std::int32_t centred = (popcount(first) << 16) + triangle - kCentre;
  return static_cast<float>(centred * kToUnit) * 0x1p-28f;
}
static_assert(normal_like(~0u, ~0u) == -normal_like(0, 0));

constexpr std::int64_t kPerBlock = 2;                // elements of one Philox block
constexpr std::int64_t kLanes = 16;                  // blocks side by side, for the vector units
constexpr std::int64_t kBatch = kPerBlock * kLanes;  // elements

PhiloxCounter counter(std::int64_t block, TensorId id) {
  const std::uint64_t index = static_cast<std::uint64_t>(block);
  return {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
          static_cast<std::uint32_t>(id), 0};
}

/// Elements [kBatch·batch, kBatch·(batch + 1)) of a tensor.
std::array<float, kBatch> normal_batch(std::int64_t batch, PhiloxKey key, TensorId id) {
  std::array<float, kBatch> values;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const PhiloxCounter words = philox4x32_10(counter(kLanes * batch + lane, id), key);
    float* pair = values.data() + kPerBlock * lane;
    pair[0] = normal_like(words[0], words[1]);
    pair[1] = normal_like(words[2], words[3]);
  }
  return values;
}

template <typename T>
void fill_as(T* out, std::int64_t count, PhiloxKey key, TensorId id, int threads) {
  const std::int64_t batches = (count + kBatch - 1) / kBatch;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const std::array<float, kBatch> values = normal_batch(batch, key, id);
    T* to = out + kBatch * batch;
    const std::int64_t n = std::min(kBatch, count - kBatch * batch);
    if (n == kBatch)  // a constant trip count vectorises best
      for (std::int64_t i = 0; i < kBatch; ++i)
        to[i] = from_f32<T>(values[static_cast<std::size_t>(i)]);
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] = from_f32<T>(values[static_cast<std::size_t>(i)]);
  }
}

}  // namespace

void fill(Tensor& tensor, std::uint64_t seed, TensorId id, int threads) {
  const int team = threads > 0 ? threads : omp_get_max_threads();
  with_dtype(tensor.dtype(), [&](auto zero) {
    fill_as(tensor.as<decltype(zero)>(), tensor.count(), philox_key(seed), id, team);
  });
}

std::vector<std::uint8_t> random_mask(std::int64_t b, std::int64_t kv_len, double keep,
                                      std::uint64_t seed) {
  // Exact: a product with a power of two. A word is below it with probability
  // floor(keep·2^32)/2^32.
  const std::uint64_t threshold = static_cast<std::uint64_t>(std::clamp(keep, 0.0, 1.0) * 0x1p32);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(b * kv_len));
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const PhiloxCounter words =
        philox4x32_10(counter(static_cast<std::int64_t>(i / 4), TensorId::kMask), philox_key(seed));
    mask[i] = words[i % 4] < threshold ? 1 : 0;
  }
  return mask;
}

}  // namespace flashbench::data
