#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/columns.h"
#include "oracle/definition.h"
#include "oracle/directions.h"
#include "oracle/rows.h"

namespace flashbench::oracle {

/// Results for some rows (or keys) of one head.
struct RowPart {
  std::int64_t b, h;
  std::vector<std::int64_t> rows;
  RowResults results;
};
struct ColumnPart {
  std::int64_t b, h_kv;
  std::vector<std::int64_t> keys;
  ColumnResults results;
};

/// Fills in the results of parts whose b, h and rows are set; in parallel. `heads`: what
/// head_directions() gives.
void compute(const Definition& def, std::span<const HeadDirections> heads,
             std::vector<RowPart>& parts);

/// Every row of every head, in order of b, h and row.
std::vector<RowPart> all_rows(const Definition& def);

/// Every key of every K/V head, in order; `rows` is what all_rows gave. Nothing without dO.
std::vector<ColumnPart> all_columns(const Definition& def, const std::vector<RowPart>& rows);

}  // namespace flashbench::oracle
