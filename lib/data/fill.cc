#include "data/fill.h"

#include <omp.h>

#include <algorithm>
#include <limits>

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

// 24 bits: every multiple of 2^-24 below 1 is an f32.
constexpr float uniform(std::uint32_t first, std::uint32_t) {
  return static_cast<float>(static_cast<std::int32_t>(first >> 8)) * 0x1p-24f;
}

constexpr float positive(std::uint32_t first, std::uint32_t second) {
  const float x = normal_like(first, second);
  return x < 0 ? -x : x;
}

/// A value's last 4 bits are as good as independent of it.
constexpr float hiding_1_of_16(std::uint32_t first, std::uint32_t second) {
  return (second & 15u) == 0 ? -std::numeric_limits<float>::infinity() : normal_like(first, second);
}

constexpr float constant(std::uint32_t, std::uint32_t) { return 0.1f; }

/// Elements [kBatch·batch, kBatch·(batch + 1)) of a tensor. `element`: one of 64 random bits.
template <auto element>
std::array<float, kBatch> make_batch(std::int64_t batch, PhiloxKey key, TensorId id) {
  std::array<float, kBatch> values;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const PhiloxCounter words = philox4x32_10(counter(kLanes * batch + lane, id), key);
    float* pair = values.data() + kPerBlock * lane;
    pair[0] = element(words[0], words[1]);
    pair[1] = element(words[2], words[3]);
  }
  return values;
}

using MakeBatch = std::array<float, kBatch> (*)(std::int64_t, PhiloxKey, TensorId);

MakeBatch batches_of(Values values) {
  switch (values) {
    case Values::kUniform:
      return make_batch<uniform>;
    case Values::kPositive:
      return make_batch<positive>;
    case Values::kConstant:
      return make_batch<constant>;
    case Values::kNormal:
    case Values::kOutlierChannel:
    case Values::kOutlierRows:
      return make_batch<normal_like>;
  }
  no_such_enumerator();
}

/// Elements [begin, end) of a tensor, by their flat index.
struct Run {
  std::int64_t begin, end;
};

template <typename T>
void fill_as(T* out, Run run, MakeBatch make, PhiloxKey key, TensorId id, int threads) {
  const std::int64_t batches = (run.end + kBatch - 1) / kBatch;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t batch = run.begin / kBatch; batch < batches; ++batch) {
    const std::array<float, kBatch> values = make(batch, key, id);
    const std::int64_t first = kBatch * batch;
    T* to = out + (first - run.begin);
    if (first >= run.begin && first + kBatch <= run.end) {  // a constant trip count vectorises best
      for (std::int64_t i = 0; i < kBatch; ++i)
        to[i] = from_f32<T>(values[static_cast<std::size_t>(i)]);
      continue;
    }
    const std::int64_t end = std::min(kBatch, run.end - first);
    for (std::int64_t i = std::max<std::int64_t>(run.begin - first, 0); i < end; ++i)
      to[i] = from_f32<T>(values[static_cast<std::size_t>(i)]);
  }
}

/// Multiplies elements [first, first + length), [first + step, ...), ... of a tensor, as far as
/// they are in the run, by a power of 2, exactly.
template <typename T>
void enlarge(T* x, Run run, std::int64_t first, std::int64_t length, std::int64_t step,
             float times) {
  const std::int64_t before = std::max<std::int64_t>(run.begin - first, 0) / step;
  for (first += before * step; first < run.end; first += step) {
    const std::int64_t end = std::min(first + length, run.end);
    for (std::int64_t i = std::max(first, run.begin); i < end; ++i)
      x[i - run.begin] = from_f32<T>(to_f32(x[i - run.begin]) * times);
  }
}

/// How much larger than the others they are. Scores stay below what one key would win alone, and
/// 16-bit gradients stay finite.
float outlier_factor(Values values, TensorId id) {
  if (values == Values::kOutlierChannel && id == TensorId::kV) return 256;
  if (values == Values::kOutlierRows && id == TensorId::kV) return 64;
  const bool outliers = values == Values::kOutlierChannel || values == Values::kOutlierRows;
  return outliers && id == TensorId::kK ? 8 : 1;
}

/// What trained models do not spare their kernels, in K and V alone: one channel, or some tokens.
template <typename T>
void add_outliers(T* x, Run run, std::int64_t d, Values values, TensorId id) {
  if (id != TensorId::kK && id != TensorId::kV) return;
  const float times = outlier_factor(values, id);
  if (values == Values::kOutlierChannel) enlarge(x, run, d / 3, 1, d, times);
  if (values == Values::kOutlierRows) enlarge(x, run, 0, d, 16 * d, times);
}

/// The f32 version over the descale of its head, a slice of a head at a time.
template <typename T>
void fill_divided(T* out, Run run, const Dims& dims, std::span<const float> descales,
                  std::uint64_t seed, TensorId id, Values values, int threads) {
  const MakeBatch make = batches_of(values);
  const float times = outlier_factor(values, id);
  const auto is_outlier = [&](std::int64_t i) {
    if (values == Values::kOutlierChannel) return i % dims.d == dims.d / 3;
    return values == Values::kOutlierRows && i / dims.d % 16 == 0;
  };
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t first = run.begin / kBatch * kBatch; first < run.end; first += kBatch) {
    const std::array<float, kBatch> batch = make(first / kBatch, philox_key(seed), id);
    for (std::int64_t i = std::max(first, run.begin); i < std::min(first + kBatch, run.end); ++i) {
      const float x = batch[static_cast<std::size_t>(i - first)];
      const Dims::Place place = dims.place(i / dims.d);
      const float descale = descales[static_cast<std::size_t>(place.b * dims.h + place.h)];
      out[i - run.begin] = from_f32<T>((times != 1 && is_outlier(i) ? times * x : x) / descale);
    }
  }
}

/// A run of a tensor of these dims.
template <typename T>
void fill_run(T* out, Run run, const Dims& dims, std::uint64_t seed, TensorId id, Values values,
              int threads, std::span<const float> descales) {
  const int team = threads > 0 ? threads : omp_get_max_threads();
  if (!descales.empty()) return fill_divided(out, run, dims, descales, seed, id, values, team);
  fill_as(out, run, batches_of(values), philox_key(seed), id, team);
  add_outliers(out, run, dims.d, values, id);
}

}  // namespace

void fill(Tensor& tensor, std::uint64_t seed, TensorId id, Values values, int threads,
          std::span<const float> descales) {
  with_dtype(tensor.dtype(), [&](auto zero) {
    fill_run(tensor.as<decltype(zero)>(), {0, tensor.count()}, tensor.dims(), seed, id, values,
             threads, descales);
  });
}

void fill_rows(Tensor& part, const Dims& whole, std::int64_t first, std::uint64_t seed, TensorId id,
               Values values, int threads, std::span<const float> descales) {
  with_dtype(part.dtype(), [&](auto zero) {
    for (std::int64_t b = 0; b < whole.b; ++b)
      for (std::int64_t h = 0; h < whole.h; ++h) {
        const std::int64_t begin = whole.index(b, h, first, 0);
        fill_run(part.as<decltype(zero)>() + part.dims().index(b, h, 0, 0),
                 {begin, begin + part.dims().rows * whole.d}, whole, seed, id, values, threads,
                 descales);
      }
  });
}

void fill_bias(Tensor& bias, std::uint64_t seed, int threads) {
  const int team = threads > 0 ? threads : omp_get_max_threads();
  with_dtype(bias.dtype(), [&](auto zero) {
    fill_as(bias.as<decltype(zero)>(), {0, bias.count()}, make_batch<hiding_1_of_16>,
            philox_key(seed), TensorId::kBias, team);
  });
}

std::vector<float> random_descales(std::int64_t heads, std::uint64_t seed, TensorId id,
                                   Values values) {
  // 17 to 61 times 2^-10 to 2^-8: normal values become up to 360, and e4m3 reaches 448.
  constexpr std::int64_t kFactors = 23, kPowers = 3;
  const std::int64_t start = philox4x32_10(counter(0, TensorId::kDescales), philox_key(seed))[0];
  const std::int64_t of_tensor = id == TensorId::kV ? kFactors / 2 : 0;
  std::vector<float> descales;
  for (std::int64_t n = 0; n < heads; ++n) {
    const std::int64_t factor = 17 + 2 * ((start + of_tensor + n) % kFactors);
    const std::int64_t power = std::int64_t{1} << ((start + of_tensor + n) % kPowers);
    descales.push_back(static_cast<float>(factor * power) * 0x1p-10f * outlier_factor(values, id));
  }
  return descales;
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
