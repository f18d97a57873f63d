#pragma once

#include <cstdint>
#include <vector>

#include "oracle/definition.h"
#include "oracle/expected.h"
#include "oracle/reference.h"

namespace flashbench::oracle {

/// Some rows of the gradient of a bias: of its batch element b and head h, [rows, kv_len].
struct BiasPart {
  std::int64_t b, h;
  std::vector<std::int64_t> rows;
  Expected expected;
};

/// The slice of a bias that a query head of a batch element takes.
struct BiasSlice {
  std::int64_t b, h;
  static BiasSlice of(const Dims& bias, std::int64_t b, std::int64_t h) {
    return {bias.b == 1 ? 0 : b, bias.h == 1 ? 0 : h};
  }
};

/// dbias = dS, summed over the batch elements and heads that share the bias, of the rows that
/// `parts` has of all of these. Nothing where it is not wanted.
std::vector<BiasPart> expect_bias_gradient(const Definition& def,
                                           const std::vector<RowPart>& parts);

}  // namespace flashbench::oracle
