#include "cpu/tile_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cpu/tile_ops_levels.h"
#include "system/error.h"

namespace flashbench::cpu {
namespace {

/// Empty where the processor lacks the level (its code must not even build the table) or the build.
const std::vector<TileOps>& tables(Isa isa) {
  static const auto levels = [] {
    std::array<std::vector<TileOps>, std::size(kIsas)> all;
    for (const Isa level : kIsas)
      if (processor_has(level))
        all[static_cast<std::size_t>(level)] =
            level == Isa::kScalar ? scalar_tile_ops() : simd_tile_ops(level);
    return all;
  }();
  return levels[static_cast<std::size_t>(isa)];
}

}  // namespace

std::optional<std::string> absent(Isa isa) {
  if (!processor_has(isa)) return fmt::format("this processor has no {}", name(isa));
  if (tables(isa).empty()) return fmt::format("this build has no {} kernels", name(isa));
  return std::nullopt;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> levels;
  for (const Isa isa : kIsas)
    if (!absent(isa)) levels.push_back(isa);
  return levels;
}

const std::vector<TileOps>& tile_forms(Isa isa) {
  if (const auto reason = absent(isa)) throw UnavailableError(*reason);
  return tables(isa);
}

const TileOps& tile_ops(Isa isa, Dtype dtype) {
  const std::vector<TileOps>& forms = tile_forms(isa);
  const int per_word = isa == Isa::kAvx512Bf16 && dtype == Dtype::kBf16 ? 2 : 1;
  return *std::find_if(forms.begin(), forms.end(),
                       [&](const TileOps& ops) { return ops.per_word == per_word; });
}

Isa best_isa(Dtype dtype) {
  std::vector<Isa> levels = available_isas();
  std::erase_if(levels, [&](Isa isa) {
    return isa == Isa::kAvx512Bf16 && (dtype != Dtype::kBf16 || !has_fast_bf16_dots());
  });
  return levels.back();
}

}  // namespace flashbench::cpu
