#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::data {

/// Which stream of random numbers a tensor draws from: tensors of one seed are independent.
enum class TensorId : std::uint32_t {
  kQ = 0,
  kK = 1,
  kV = 2,
  kDo = 3,
  kMask = 4,
  kSinks = 5,
  kBias = 6,
  kDescales = 7,
  kPages = 8
};

/// Fills a tensor [b, h, row, d]: a pure function of seed, id, the element's flat index, the dtype
/// and `values`, computed with integers, so bit-identical for every compiler, ISA level and thread
/// count. The 16-bit versions are the f32 version rounded to nearest even.
///   kNormal: normal-like (mean 0, variance 0.9996, excess kurtosis -0.06, largest magnitude 5.95)
///   kUniform: [0, 1), all multiples of 2^-24
///   kPositive: the magnitudes of kNormal
///   kConstant: 0.1
///   kOutlierChannel: as kNormal, but channel d/3 of K is 8 times as large and that of V 256 times
///   kOutlierRows: as kNormal, but every 16th row, counted over all heads, is 8 times as large in K
///   and 64 times in V
/// `threads`: 0 takes OpenMP's default. `descales`: of each head, by which the f32 version is
/// divided before it is rounded.
void fill(Tensor& tensor, std::uint64_t seed, TensorId id, Values values = Values::kNormal,
          int threads = 0, std::span<const float> descales = {});

/// The same of a part: `part` [b, h, rows, d] gets rows [first, first + rows) of each head of a
/// tensor of dims `whole`, which is not ragged, and `descales` are those of the whole.
void fill_rows(Tensor& part, const Dims& whole, std::int64_t first, std::uint64_t seed, TensorId id,
               Values values = Values::kNormal, int threads = 0,
               std::span<const float> descales = {});

/// Descales of K or V for `heads` heads, with which random values fill most of the range of either
/// 8-bit type: odd multiples of a power of two, another one for each head and for the other tensor,
/// so that one that is left out or taken from elsewhere is seen.
std::vector<float> random_descales(std::int64_t heads, std::uint64_t seed, TensorId id,
                                   Values values = Values::kNormal);

/// Fills a bias [b or 1, h or 1, q_len, kv_len] with kNormal, but that it hides one pair in 16 with
/// -inf. Which ones the flat index decides alone, whatever the dtype.
void fill_bias(Tensor& bias, std::uint64_t seed, int threads = 0);

/// A random padding mask [b, kv_len], 1 = keep, each key kept with probability `keep` (0 keeps
/// none, 1 keeps all). From the same generator; the keys kept at one `keep` are kept at every
/// larger one.
std::vector<std::uint8_t> random_mask(std::int64_t b, std::int64_t kv_len, double keep,
                                      std::uint64_t seed);

}  // namespace flashbench::data
