#include "cpu/tile_ops.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "cpu/tile_ops_levels.h"

namespace flashbench::cpu {
namespace {

/// Empty where the processor lacks the level (its code must not even build the table) or the build.
const std::optional<TileOps>& table(Isa isa) {
  static const auto tables = [] {
    std::array<std::optional<TileOps>, std::size(kIsas)> all;
    for (const Isa level : kIsas)
      if (processor_has(level))
        all[static_cast<std::size_t>(level)] =
            level == Isa::kScalar ? scalar_tile_ops() : simd_tile_ops(level);
    return all;
  }();
  return tables[static_cast<std::size_t>(isa)];
}

}  // namespace

std::optional<std::string> absent(Isa isa) {
  if (!processor_has(isa)) return fmt::format("this processor has no {}", name(isa));
  if (!table(isa)) return fmt::format("this build has no {} kernels", name(isa));
  return std::nullopt;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> levels;
  for (const Isa isa : kIsas)
    if (!absent(isa)) levels.push_back(isa);
  return levels;
}

const TileOps& tile_ops(Isa isa) {
  if (const auto reason = absent(isa)) throw UnavailableError(*reason);
  return *table(isa);
}

}  // namespace flashbench::cpu
