#include "distributed/copy_rows.h"

#include <cstring>

namespace flashbench::distributed {
namespace {

std::byte* place(Tensor& t, std::int64_t b, std::int64_t h, std::int64_t row) {
  return t.as<std::byte>() +
         static_cast<std::size_t>(t.dims().index(b, h, row, 0)) * size_bytes(t.dtype());
}
const std::byte* place(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t row) {
  return t.as<std::byte>() +
         static_cast<std::size_t>(t.dims().index(b, h, row, 0)) * size_bytes(t.dtype());
}

std::size_t row_bytes(const Tensor& t, std::int64_t rows) {
  return static_cast<std::size_t>(rows * t.dims().d) * size_bytes(t.dtype());
}

/// Calls `visit(b, h, place, row)` for each row of each head: where it lies, and which it is.
template <typename Visit>
void for_rows(const Dims& dims, std::span<const RowRun> runs, const Visit& visit) {
  for (std::int64_t b = 0; b < dims.b; ++b)
    for (std::int64_t h = 0; h < dims.h; ++h) {
      std::int64_t at = 0;
      for (const RowRun& run : runs)
        for (std::int64_t i = 0; i < run.count; ++i) visit(b, h, at++, run.row(i));
    }
}

}  // namespace

void copy_part(const Tensor& from, Corner at, Tensor& to, Corner to_at, std::int64_t heads,
               std::int64_t rows) {
  const std::size_t bytes = row_bytes(from, rows);
  if (bytes == 0) return;
  for (std::int64_t b = 0; b < from.dims().b; ++b)
    for (std::int64_t h = 0; h < heads; ++h)
      std::memcpy(place(to, b, to_at.head + h, to_at.row), place(from, b, at.head + h, at.row),
                  bytes);
}

void gather_rows(const Tensor& whole, std::int64_t first_head, std::span<const RowRun> runs,
                 Tensor& to) {
  const std::size_t bytes = row_bytes(whole, 1);
  for_rows(to.dims(), runs, [&](std::int64_t b, std::int64_t h, std::int64_t at, std::int64_t row) {
    std::memcpy(place(to, b, h, at), place(whole, b, first_head + h, row), bytes);
  });
}

void scatter_rows(const Tensor& from, std::span<const RowRun> runs, Tensor& whole,
                  std::int64_t first_head) {
  const std::size_t bytes = row_bytes(whole, 1);
  for_rows(from.dims(), runs,
           [&](std::int64_t b, std::int64_t h, std::int64_t at, std::int64_t row) {
             std::memcpy(place(whole, b, first_head + h, row), place(from, b, h, at), bytes);
           });
}

}  // namespace flashbench::distributed
