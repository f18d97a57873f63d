#pragma once

#include <vector>

#include "sweep/parse.h"

/// A flag of the workload that the program does not have: one row of a copy of the field table.
namespace flashbench {

/// Stands in for the member that a real row would add.
inline constexpr auto kDropout = [](auto& c) -> auto& { return c.problem.seed; };

inline constexpr sweep::Field kDropoutRow = {
    .name = "dropout",
    .value = "N",
    .help = "of so many pairs one is left out",
    .parse = sweep::parse_sizes<kDropout>,
    .text = sweep::print<kDropout>,
    .said = sweep::is_set<kDropout>,
    .recorded = {.place = sweep::Place::kWorkload,
                 .type = sweep::ValueType::kSeed,
                 .value = sweep::recorded_as<kDropout>},
};

inline std::vector<sweep::Field> table_with_dropout() {
  std::vector<sweep::Field> table(sweep::fields().begin(), sweep::fields().end());
  std::erase_if(table,
                [](const sweep::Field& f) { return f.name == "seed"; });  // its member is lent
  table.push_back(kDropoutRow);
  return table;
}

}  // namespace flashbench
