#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"
#include "distributed/partition.h"

// Parts of tensors [b, head, row, d], copied byte by byte.
namespace flashbench::distributed {

struct Corner {
  std::int64_t head = 0, row = 0;
};

/// `heads` heads of `rows` rows of every batch element.
void copy_part(const Tensor& from, Corner at, Tensor& to, Corner to_at, std::int64_t heads,
               std::int64_t rows);

/// Those rows of a whole tensor, one behind the other, of all heads of `to`, which begin with
/// `first_head` of the whole one; and back.
void gather_rows(const Tensor& whole, std::int64_t first_head, std::span<const RowRun> runs,
                 Tensor& to);
void scatter_rows(const Tensor& from, std::span<const RowRun> runs, Tensor& whole,
                  std::int64_t first_head);

}  // namespace flashbench::distributed
