#pragma once

#include <vector>

#include "sweep/parse.h"

/// A flag of the workload that the program does not have: one row of a copy of the field table.
namespace flashbench {

/// Stands in for the member that a real row would add.
inline constexpr auto kWindow = [](auto& c) -> auto& { return c.problem.seed; };

inline constexpr sweep::Field kWindowRow = {
    .name = "window",
    .value = "N",
    .help = "keys that a query sees on its left",
    .parse = sweep::parse_sizes<kWindow>,
    .text = sweep::print<kWindow>,
    .said = sweep::is_set<kWindow>,
    .recorded = {.place = sweep::Place::kWorkload,
                 .type = sweep::ValueType::kSeed,
                 .value = sweep::recorded_as<kWindow>},
};

inline std::vector<sweep::Field> table_with_window() {
  std::vector<sweep::Field> table(sweep::fields().begin(), sweep::fields().end());
  std::erase_if(table,
                [](const sweep::Field& f) { return f.name == "seed"; });  // its member is lent
  table.push_back(kWindowRow);
  return table;
}

}  // namespace flashbench
