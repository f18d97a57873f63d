#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/problem.h"
#include "core/verdict.h"

// What the tests of attention on every backend share.
namespace flashbench {

/// A row of a table of problems, named after the failure that it guards against.
struct AttentionCase {
  const char* guards_against;
  Shape shape;
  bool causal = false;
  double keep = 1.0;                 ///< of a random padding mask; 1: none
  std::optional<double> scale = {};  ///< absent: the default

  Problem problem(Dtype dtype, Pass pass = Pass::kBoth) const {
    Problem p;
    p.shape = shape;
    p.dtype = dtype;
    p.pass = pass;
    p.causal = causal;
    p.d_o = GradSource::kRandom;
    if (keep < 1.0) {
      p.padding = PaddingMask::kRandom;
      p.mask_keep = keep;
    }
    p.scale = scale;
    return p;
  }
  /// With another head dimension.
  AttentionCase with_d(std::int64_t d) const {
    AttentionCase other = *this;
    other.shape.d = d;
    return other;
  }
};

/// The tensors that are wrong, and where they are worst.
inline std::string describe(const Verdict& v) {
  std::string text;
  for (const TensorVerdict& t : v.tensors)
    if (!t.ok)
      text += t.tensor + " " + std::to_string(t.error_over_noise) + "x at [" +
              std::to_string(t.index[0]) + "," + std::to_string(t.index[1]) + "," +
              std::to_string(t.index[2]) + "," + std::to_string(t.index[3]) + "]: got " +
              std::to_string(t.got) + ", want " + std::to_string(t.want) + "; ";
  return text;
}

}  // namespace flashbench
