#include "cuda/device/emulated_gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "cuda/contract/element.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

constexpr std::size_t kVectorBytes = 16;
constexpr int kColumnsAtOnce = 4;

std::size_t size_of(Element e) { return size_bytes(dtype_of(e)); }

template <typename F>
void with_element(Element e, F&& f) {
  with_dtype(CudaElements{}, dtype_of(e), f);
}

/// A matrix as it is stored, before op().
struct Stored {
  const char* letter;
  GemmMatrix matrix;
  int rows, columns;

  std::size_t column_bytes() const {
    return static_cast<std::size_t>(rows) * size_of(matrix.element);
  }
  Address column(int batch, int j) const {
    return matrix.data + static_cast<Address>(batch * matrix.stride + j * matrix.leading) *
                             size_of(matrix.element);
  }
  Address end(int batch) const { return column(batch - 1, columns - 1) + column_bytes(); }
};

[[noreturn]] void refuse(const Gemm& g, const Stored& s, const std::string& why) {
  throw DeviceError(
      fmt::format("the emulated device found: {}: matrix {} {}", g.name, s.letter, why));
}

void check_layout(const Gemm& g, const Stored& s) {
  const GemmMatrix& m = s.matrix;
  if (m.leading < s.rows)
    refuse(g, s, fmt::format("has columns of {} every {} elements", s.rows, m.leading));
  const std::size_t size = size_of(m.element);
  const auto bytes = [&](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * size;
  };
  for (const std::size_t offset : {std::size_t{m.data}, bytes(m.leading), bytes(m.stride)})
    if (offset % kVectorBytes != 0)
      refuse(g, s, fmt::format("is misaligned: {} is no multiple of 16 bytes", offset));
}

/// What is written lies in no other matrix of the batch and in no operand.
void check_apart(const Gemm& g, const Stored& c, const std::vector<Stored>& operands) {
  if (g.batch > 1 && c.matrix.stride < c.matrix.leading * (c.columns - 1) + c.rows)
    refuse(g, c, "overlaps the next one of the batch");
  for (const Stored& s : operands)
    if (s.matrix.data < c.end(g.batch) && c.matrix.data < s.end(g.batch))
      refuse(g, c, fmt::format("overlaps {}", s.letter));
}

/// One matrix of the batch as f32, transposed or not, column after column.
std::vector<float> load(const ptx::Device& device, const Gemm& g, const Stored& s, int batch,
                        Transpose op) {
  std::vector<float> out(static_cast<std::size_t>(s.rows) * static_cast<std::size_t>(s.columns));
  std::vector<std::byte> raw(s.column_bytes());
  const auto rows = static_cast<std::size_t>(s.rows), columns = static_cast<std::size_t>(s.columns);
  for (std::size_t j = 0; j < columns; ++j) {
    const Address from = s.column(batch, static_cast<int>(j));
    device.copy_out(raw, from);
    if (device.unwritten(from, raw.size()) > 0)
      refuse(g, s, fmt::format("has uninitialised elements in column {} of batch {}", j, batch));
    with_element(s.matrix.element, [&](auto zero) {
      using T = decltype(zero);
      for (std::size_t i = 0; i < rows; ++i) {
        T element;
        std::memcpy(&element, raw.data() + i * sizeof element, sizeof element);
        out[op == Transpose::kNo ? j * rows + i : i * columns + j] = to_f32(element);
      }
    });
  }
  return out;
}

/// sums[0..3] = columns [first, first + 4) of left · right; left is m x k, right k x n.
void multiply_columns(const Gemm& g, const std::vector<float>& left,
                      const std::vector<float>& right, int first,
                      std::vector<float> (&sums)[kColumnsAtOnce]) {
  const auto m = static_cast<std::size_t>(g.m), depth = static_cast<std::size_t>(g.k);
  const float* factors[kColumnsAtOnce];
  for (int c = 0; c < kColumnsAtOnce; ++c) {  // beyond the last column: the last one again
    factors[c] = right.data() + static_cast<std::size_t>(std::min(first + c, g.n - 1)) * depth;
    sums[c].assign(m, 0.0f);
  }
  float *s0 = sums[0].data(), *s1 = sums[1].data(), *s2 = sums[2].data(), *s3 = sums[3].data();
  for (std::size_t k = 0; k < depth; ++k) {
    const float* const column = left.data() + k * m;
    const float f0 = factors[0][k], f1 = factors[1][k], f2 = factors[2][k], f3 = factors[3][k];
    for (std::size_t i = 0; i < m; ++i) {
      const float x = column[i];
      s0[i] += x * f0;
      s1[i] += x * f1;
      s2[i] += x * f2;
      s3[i] += x * f3;
    }
  }
}

void store(ptx::Device& device, const Stored& c, int batch, int column,
           const std::vector<float>& sums, float alpha) {
  std::vector<std::byte> raw(c.column_bytes());
  with_element(c.matrix.element, [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const T element = from_f32<T>(alpha * sums[i]);
      std::memcpy(raw.data() + i * sizeof element, &element, sizeof element);
    }
  });
  device.copy_in(c.column(batch, column), raw);
}

}  // namespace

void multiply(ptx::Device& device, const Gemm& g) {
  const auto stored = [](const char* letter, const GemmMatrix& m, int rows, int columns,
                         Transpose op) {
    return op == Transpose::kNo ? Stored{letter, m, rows, columns}
                                : Stored{letter, m, columns, rows};
  };
  const Stored a = stored("A", g.a, g.m, g.k, g.a_op), b = stored("B", g.b, g.k, g.n, g.b_op);
  const Stored c = stored("C", g.c, g.m, g.n, Transpose::kNo);
  for (const Stored& s : {a, b, c}) check_layout(g, s);
  check_apart(g, c, {a, b});
  std::vector<float> sums[kColumnsAtOnce];
  for (int batch = 0; batch < g.batch; ++batch) {
    const std::vector<float> left = load(device, g, a, batch, g.a_op);
    const std::vector<float> right = load(device, g, b, batch, g.b_op);
    for (int first = 0; first < g.n; first += kColumnsAtOnce) {
      multiply_columns(g, left, right, first, sums);
      for (int j = 0; j < std::min(kColumnsAtOnce, g.n - first); ++j)
        store(device, c, batch, first + j, sums[j], g.alpha);
    }
  }
}

}  // namespace flashbench::cuda
