#include "core/io_model.h"

#include <algorithm>
#include <cmath>

#include "core/work.h"

namespace flashbench {
namespace {

/// Everything in bytes.
struct Sizes {
  double q;        ///< one tensor like Q
  double kv;       ///< one tensor like K
  double row;      ///< one f32 number per query row
  double matrix;   ///< one f32 matrix of scores over all heads
  double visible;  ///< share of the pairs that count
};

Sizes sizes_of(const Problem& p) {
  const Shape& s = p.shape;
  const double element = static_cast<double>(size_bytes(p.dtype));
  const double rows = static_cast<double>(s.b * s.h * s.q_len);
  const Work work = count_work(p, expected_visible(p));
  return {rows * static_cast<double>(s.d) * element,
          static_cast<double>(s.b * s.h_kv * s.kv_len * s.d) * element, rows * 4,
          rows * static_cast<double>(s.kv_len) * 4, work.flop_visible / work.flop_dense};
}

/// How often an inner loop runs over its operand: once per block, less the blocks that nobody sees.
double passes(double length, double block, double visible) {
  return std::max(std::ceil(length / block) * visible, 1.0);
}

double normal_bytes(const Sizes& s, Pass pass) {
  const double forward = 2 * s.q + 2 * s.kv + s.row + 4 * s.matrix;
  const double backward = 4 * s.q + 4 * s.kv + 7 * s.matrix;
  return pass == Pass::kForward ? forward : pass == Pass::kBackward ? backward : forward + backward;
}

double paper_bytes(const Sizes& s, const Problem& p, std::int64_t kv_block) {
  const double group = static_cast<double>(p.shape.group());  // every query head reads its K and V
  const double n =
      passes(static_cast<double>(p.shape.kv_len), static_cast<double>(kv_block), s.visible);
  const double forward = 2 * group * s.kv + n * (3 * s.q + 4 * s.row);
  const double backward = 4 * group * s.kv + n * (5 * s.q + 2 * s.row);
  return p.pass == Pass::kForward    ? forward
         : p.pass == Pass::kBackward ? backward
                                     : forward + backward;
}

double flash_bytes(const Sizes& s, const Problem& p, std::size_t fast_memory_bytes) {
  const double row_bytes = static_cast<double>(p.shape.d) * 4;
  const double block =
      std::max(std::floor(static_cast<double>(fast_memory_bytes) / 4 / row_bytes), 1.0);
  const double queries = static_cast<double>(p.shape.group() * p.shape.q_len);
  const double keys = static_cast<double>(p.shape.kv_len);
  const double forward = 2 * s.q + s.row + passes(queries, block, s.visible) * 2 * s.kv;
  const double backward =
      2 * s.q + 4 * s.kv + passes(keys, block, s.visible) * (4 * s.q + 2 * s.row);
  return p.pass == Pass::kForward    ? forward
         : p.pass == Pass::kBackward ? backward
                                     : forward + backward;
}

}  // namespace

IoBytes io_bytes(const Problem& p, std::int64_t kv_block, std::size_t fast_memory_bytes) {
  const Sizes s = sizes_of(p);
  return {normal_bytes(s, p.pass), paper_bytes(s, p, kv_block),
          flash_bytes(s, p, fast_memory_bytes)};
}

}  // namespace flashbench
