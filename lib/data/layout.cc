#include "data/layout.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace flashbench::data {
namespace {

/// Heads lie apart in both.
bool same_order(Layout layout, const Dims& dims) {
  return layout == Layout::kBhsd && dims.first_row == nullptr;
}

constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;

struct Piece {
  std::int64_t b, first_row, rows;
};

/// The pieces of a [b, row, h, d] file, or of a ragged [row, h, d] one, in its order.
template <typename F>
void for_each_piece(const Dims& dims, std::int64_t row_bytes, F&& f) {
  const std::int64_t step = std::max<std::int64_t>(1, kPieceBytes / (dims.h * row_bytes));
  for (std::int64_t b = 0; b < dims.b; ++b)
    for (std::int64_t row = 0; row < dims.rows_of(b); row += step)
      f(Piece{b, row, std::min(step, dims.rows_of(b) - row)});
}

/// Copies between a piece in file order [row, h, d] and the tensor [b, h, row, d].
template <typename Copy>
void for_each_row(const Dims& dims, const Piece& piece, std::int64_t row_bytes, Copy&& copy) {
  for (std::int64_t r = 0; r < piece.rows; ++r)
    for (std::int64_t h = 0; h < dims.h; ++h)
      copy((r * dims.h + h) * row_bytes,
           dims.index(piece.b, h, piece.first_row + r, 0) / dims.d * row_bytes);
}

}  // namespace

void read_tensor(const TensorFile& file, const StoredTensor& stored, Layout layout, Tensor& to) {
  read_tensor(
      [&](std::uint64_t offset, std::span<std::byte> into) { file.read(stored, offset, into); },
      layout, to);
}

void read_tensor(const ByteSource& stored, Layout layout, Tensor& to) {
  std::byte* data = static_cast<std::byte*>(to.data());
  if (same_order(layout, to.dims())) {
    stored(0, {data, to.bytes()});
    return;
  }
  const Dims& dims = to.dims();
  const std::int64_t row_bytes = dims.d * static_cast<std::int64_t>(size_bytes(to.dtype()));
  std::vector<std::byte> buffer;
  std::uint64_t offset = 0;
  for_each_piece(dims, row_bytes, [&](const Piece& piece) {
    buffer.resize(static_cast<std::size_t>(piece.rows * dims.h * row_bytes));
    stored(offset, buffer);
    offset += buffer.size();
    for_each_row(dims, piece, row_bytes, [&](std::int64_t in_piece, std::int64_t in_tensor) {
      std::memcpy(data + in_tensor, buffer.data() + in_piece, static_cast<std::size_t>(row_bytes));
    });
  });
}

void write_tensor(const Tensor& from, Layout layout, const ByteSink& sink) {
  const std::byte* data = static_cast<const std::byte*>(from.data());
  if (same_order(layout, from.dims())) {
    sink({data, from.bytes()});
    return;
  }
  const Dims& dims = from.dims();
  const std::int64_t row_bytes = dims.d * static_cast<std::int64_t>(size_bytes(from.dtype()));
  std::vector<std::byte> buffer;
  for_each_piece(dims, row_bytes, [&](const Piece& piece) {
    buffer.resize(static_cast<std::size_t>(piece.rows * dims.h * row_bytes));
    for_each_row(dims, piece, row_bytes, [&](std::int64_t in_piece, std::int64_t in_tensor) {
      std::memcpy(buffer.data() + in_piece, data + in_tensor, static_cast<std::size_t>(row_bytes));
    });
    sink(buffer);
  });
}

}  // namespace flashbench::data
