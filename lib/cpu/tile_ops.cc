#include "cpu/tile_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cpu/tile_ops_levels.h"
#include "system/error.h"

namespace flashbench::cpu {
namespace {

bool everywhere(Isa) { return true; }
bool for_all(Dtype) { return true; }
bool for_fast_bf16(Dtype dtype) { return dtype == Dtype::kBf16 && has_fast_bf16_dots(); }

/// A level of the dispatcher.
struct Level {
  Isa isa;
  bool (*runs_here)(Isa);               ///< on this processor and operating system
  std::vector<TileOps> (*forms)(Isa);   ///< its tables; empty: this build has no code for it
  DtypeSet in_pairs = {};               ///< dtypes whose operands are words of two bf16
  bool (*chosen_for)(Dtype) = for_all;  ///< best_isa() may choose it for these
};

constexpr Level kLevels[] = {
    {Isa::kScalar, everywhere, scalar_tile_ops},
    {Isa::kSse4, processor_has_simd, sse4_tile_ops},
    {Isa::kAvx2, processor_has_simd, avx2_tile_ops},
    {Isa::kAvx512, processor_has_simd, avx512_tile_ops},
    {Isa::kAvx512Bf16, processor_has_simd, avx512_bf16_tile_ops, {Dtype::kBf16}, for_fast_bf16},
    {Isa::kNeon, processor_has_simd, neon_tile_ops},
};

constexpr const Level& level_of(Isa isa) { return kLevels[static_cast<std::size_t>(isa)]; }

static_assert(std::size(kLevels) == kIsas.size() &&
                  std::all_of(kIsas.begin(), kIsas.end(),
                              [](Isa isa) { return level_of(isa).isa == isa; }),
              "one line for each level, in their order");

/// Empty where the processor lacks the level (even the function that makes the table is compiled
/// for it and must not run) or the build does.
const std::vector<TileOps>& tables(Isa isa) {
  static const auto levels = [] {
    std::array<std::vector<TileOps>, kIsas.size()> all;
    for (const Level& level : kLevels)
      if (level.runs_here(level.isa))
        all[static_cast<std::size_t>(level.isa)] = level.forms(level.isa);
    return all;
  }();
  return levels[static_cast<std::size_t>(isa)];
}

}  // namespace

std::optional<std::string> absent(Isa isa) {
  if (!level_of(isa).runs_here(isa)) return fmt::format("this processor has no {}", name(isa));
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
  const int per_word = level_of(isa).in_pairs.has(dtype) ? 2 : 1;
  return *std::find_if(forms.begin(), forms.end(),
                       [&](const TileOps& ops) { return ops.per_word == per_word; });
}

Isa best_isa(Dtype dtype) {
  std::vector<Isa> levels = available_isas();
  std::erase_if(levels, [&](Isa isa) { return !level_of(isa).chosen_for(dtype); });
  return levels.back();
}

}  // namespace flashbench::cpu
