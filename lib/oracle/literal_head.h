#pragma once

#include <cstdint>

#include "oracle/definition.h"

namespace flashbench::oracle {

/// One query head of a definition, for formulas that are written for one head.
struct LiteralHead {
  const Definition* def;
  std::int64_t b, h;

  const Shape& shape() const { return def->shape(); }
  double scale() const { return def->scale(); }
  bool visible(std::int64_t i, std::int64_t j) const { return def->visible(b, h, i, j); }
  bool empty_row(std::int64_t i) const { return def->empty_row(b, h, i); }
  /// `s` is scale·q·k; the bias comes afterwards.
  template <typename T>
  T score_before_bias(const T& s, std::int64_t i, std::int64_t j) const {
    return def->score_before_bias(s, b, h, i, j);
  }
};

}  // namespace flashbench::oracle
