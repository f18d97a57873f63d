#include "core/io_model.h"

#include <algorithm>
#include <cmath>

#include "core/work.h"

namespace flashbench {
namespace {

/// Everything in bytes.
struct Sizes {
  double q, k, v, o;
  double values;               ///< as v, but also where V lies in K
  double row;                  ///< one f32 number per query row
  double matrix;               ///< one f32 matrix of scores over all heads
  double visible;              ///< share of the pairs that count
  double keys;                 ///< share of the keys that some query sees, but for padding
  double bias, bias_gradient;  ///< once for each head, also where heads share them; 0: none
};

Sizes sizes_of(const Problem& p) {
  const Shape& s = p.shape;
  const TensorBytes t = tensor_bytes(p);
  const double rows = static_cast<double>(s.b * s.h * s.q_len);
  const double pairs = rows * static_cast<double>(s.kv_len);
  const Work work = count_work(p, expected_visible(p));
  const double key_rows = static_cast<double>(s.b * s.h_kv) * static_cast<double>(s.kv_len);
  return {
      static_cast<double>(t.q),
      static_cast<double>(t.k),
      static_cast<double>(t.v),
      static_cast<double>(t.o),
      static_cast<double>(static_cast<std::size_t>(s.v_dims().count()) * size_bytes(p.kv_dtype())),
      static_cast<double>(t.lse),
      pairs * 4,
      work.flop_visible / work.flop_dense,
      count_visible(p, {}).kv_rows / key_rows,
      p.bias == Bias::kNone ? 0 : pairs * static_cast<double>(size_bytes(p.bias_dtype())),
      p.needs_bias_gradient() ? pairs * static_cast<double>(size_bytes(p.bias_dtype())) : 0};
}

/// How often an inner loop runs over its operand: once per block, less the blocks that nobody sees.
double passes(double length, double block, double visible, double least = 1) {
  return std::max(std::ceil(length / block) * visible, least);
}

double normal_bytes(const Sizes& s, Pass pass) {
  const double tensors = s.q + s.k + s.values + s.o;  // a step that reads V reads it again
  const double forward = tensors + s.row + 4 * s.matrix + s.bias;
  const double backward = 2 * tensors + 7 * s.matrix + s.bias_gradient;
  return of_pass(pass, forward, backward);
}

double paper_bytes(const Sizes& s, const Problem& p, std::int64_t kv_block) {
  const double group = static_cast<double>(p.shape.group());  // every query head reads its K and V
  const double n =
      passes(static_cast<double>(p.shape.kv_len), static_cast<double>(kv_block), s.visible);
  // Forward: Q read, O read and written. Backward: Q, O and dO read, dQ read and written.
  const double forward =
      group * s.keys * (s.k + s.v) + n * (s.q + 2 * s.o + 4 * s.row) + s.visible * s.bias;
  const double backward = 2 * group * s.keys * (s.k + s.v) + n * (3 * s.q + 2 * s.o + 2 * s.row) +
                          s.visible * s.bias + s.bias_gradient;
  return of_pass(p.pass, forward, backward);
}

double flash_bytes(const Sizes& s, const Problem& p, std::size_t fast_memory_bytes) {
  const double row_bytes = static_cast<double>(p.shape.widest_d()) * 4;
  const double block =
      std::max(std::floor(static_cast<double>(fast_memory_bytes) / 4 / row_bytes), 1.0);
  const double queries = static_cast<double>(p.shape.group() * p.shape.q_len);
  const double keys = static_cast<double>(p.shape.kv_len);
  const double forward = s.q + s.o + s.row +
                         passes(queries, block, s.visible, s.keys) * (s.k + s.v) +
                         s.visible * s.bias;
  // O and dO once, for D; then Q and dO read, dQ read and written, for every block of keys.
  const double backward = 2 * s.o + 2 * s.keys * (s.k + s.v) +
                          passes(keys, block, s.visible) * (3 * s.q + s.o + 2 * s.row) +
                          s.visible * s.bias + s.bias_gradient;
  return of_pass(p.pass, forward, backward);
}

IoBytes sum_of_sequences(const Problem& p, std::int64_t kv_block, std::size_t fast_memory_bytes) {
  IoBytes sum;
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    if (p.shape.q_len_of(b) == 0 || p.shape.kv_len_of(b) == 0) continue;
    const IoBytes one = io_bytes(sequence(p, b), kv_block, fast_memory_bytes);
    sum.normal += one.normal;
    sum.paper += one.paper;
    sum.flash += one.flash;
  }
  return sum;
}

}  // namespace

IoBytes io_bytes(const Problem& p, std::int64_t kv_block, std::size_t fast_memory_bytes) {
  if (p.shape.sequences != nullptr) return sum_of_sequences(p, kv_block, fast_memory_bytes);
  const Sizes s = sizes_of(p);
  return {normal_bytes(s, p.pass), paper_bytes(s, p, kv_block),
          flash_bytes(s, p, fast_memory_bytes)};
}

}  // namespace flashbench
