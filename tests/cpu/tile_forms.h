#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "cpu/tile_ops.h"

// What the tests of tile operations share.
namespace flashbench::cpu {

inline void PrintTo(const TileOps& ops, std::ostream* out) {
  *out << name(ops.isa) << ' ' << ops.rows << 'x' << ops.cols << (ops.per_word == 2 ? " bf16" : "");
}

/// The name of a form in the name of a test.
inline std::string form_name(const TileOps& ops) {
  return fmt::format("{}_{}x{}", name(ops.isa), ops.rows, ops.cols);
}

inline std::vector<float> random_values(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

/// Every register tile of every ISA level that this processor has, not only the one it would take,
/// whose operands are of this kind.
inline std::vector<TileOps> all_forms(int per_word) {
  std::vector<TileOps> all;
  for (const Isa isa : available_isas())
    for (const TileOps& form : tile_forms(isa))
      if (form.per_word == per_word) all.push_back(form);
  return all;
}

inline std::vector<TileOps> forms_of_both_operands() {
  std::vector<TileOps> all = all_forms(1);
  for (const TileOps& pairs : all_forms(2)) all.push_back(pairs);
  return all;
}

/// The form on bf16 pairs that needs no processor with dot products: it proves drivers anywhere.
inline const TileOps& pairs_without_simd() {
  const std::vector<TileOps>& forms = tile_forms(Isa::kScalar);
  return *std::find_if(forms.begin(), forms.end(),
                       [](const TileOps& ops) { return ops.per_word == 2; });
}

inline std::string name_of(const testing::TestParamInfo<TileOps>& test) {
  return form_name(test.param) + (test.param.per_word == 2 ? "_pairs" : "");
}

struct GemmCase {
  std::int64_t m, n, k;
};

}  // namespace flashbench::cpu
