#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "cpu/blocks.h"
#include "cpu/seen_columns.h"
#include "kernel/execution.h"

namespace flashbench::cpu {

/// The elements that these kernels read and write.
using CpuElements = ElementTypes<float, Bf16, F16>;
/// The elements of which K and V may be.
using CpuKeyElements = ElementTypes<float, Bf16, F16, E4m3, E5m2>;

/// Rows of a tensor to pack: row r is row position[r], or r itself when position is null. A
/// position of -1 is a row of zeros.
struct RowSource {
  const void* base = nullptr;
  Dtype dtype = Dtype::kF32;
  std::int64_t row_stride = 0;  ///< elements
  const std::int32_t* position = nullptr;
};

/// The left operand of a product. Operands are stored in 32-bit words along k, the dimension that
/// is summed over: a word is one f32, or two bf16 that are neighbours along k (what vdpbf16ps
/// multiplies), the second one 0 where the length is odd. Offsets, strides and k count words. Word
/// (i, k) is data[i·row + k·col]; one of the strides is 1: row-major or transposed.
struct MatrixA {
  const float* data;
  std::int64_t row, col;
  /// Of the queries, which are the rows of A or, where it is transposed, its columns.
  SeenColumns seen = {};
};

constexpr bool is_transposed(const MatrixA& a) { return a.row == 1 && a.col != 1; }

/// The right operand, in panels of TileOps::cols columns, as wide as the register tile:
/// word (k, j) is data[(j / cols)·panel + k·row + j % cols].
struct MatrixB {
  const float* data;
  std::int64_t row, panel;
};

/// The result, row-major; writable up to the next multiple of TileOps::lanes columns.
struct MatrixC {
  float* data;
  std::int64_t row;
};

/// The bias of the rows of a tile, by its columns. No data: there is none.
struct BiasRows {
  const float* data = nullptr;
  std::int64_t stride = 0;
};

/// What becomes of the products of a row before softmax: a soft cap, then ALiBi, then a bias.
struct ScoreRow {
  float cap = 0;  ///< of a soft cap: products become tanh(cap·product / 2); 0: they do not
  /// Of ALiBi: then scale·product - slope·|own_key - key|, own_key the one that the row is aligned
  /// on, key_positions where the columns' keys lie. Null: nothing of that.
  const float* key_positions = nullptr;
  float scale = 1, slope = 0, own_key = 0;
  /// What is added to that, by columns; without ALiBi to scale·product. Row 0 is this row's.
  BiasRows bias = {};

  bool changes() const { return cap > 0 || key_positions != nullptr || bias.data != nullptr; }
  /// Of the row that is `rows` further down, from column `columns` on.
  ScoreRow at(std::int64_t rows, std::int64_t columns) const {
    ScoreRow other = *this;
    if (key_positions != nullptr) other.key_positions += columns;
    if (bias.data != nullptr) other.bias.data += rows * bias.stride + columns;
    other.own_key += static_cast<float>(rows);
    return other;
  }
};

/// The softmax that gemm_exp2 applies to each row of a tile of products.
/// P = 2^(factor·(product - max) - log_sum): the maximum is that of products, and is subtracted
/// before they are scaled, so that what is off in P grows with the distance from the maximum and
/// not with the size of both.
struct SoftmaxRows {
  const float* max;     ///< [m]
  float* sum;           ///< [m][lanes]: written; the row's sum is that of its lanes
  float factor = 1.0f;  ///< positive
  SeenColumns seen = {};
  /// [m], for gemm_exp2_rows: what makes P of a row sum to 1; null: 0.
  const float* log_sum = nullptr;
  /// Of row 0; that of row i is score.at(i, 0). max and factor are of what comes out. Keys and bias
  /// are readable up to a multiple of lanes.
  ScoreRow score = {};
  /// [m][n], under a soft cap: gets 1 - tanh² in f32, but for vectors of columns that no row of
  /// a register tile sees. No data: it is not wanted.
  MatrixC slope = {};
};

/// D = rowsum(dO∘O) of each row, in two parts: rounded to f32, D alone would be most of what is off
/// in dQ where the rows of K have one sign. Sums of dP begin at -low and end by subtracting high.
struct RowDeltas {
  const float* high;  ///< [m]
  const float* low;   ///< [m]
};
struct TwoFloats {
  float high, low;
};
inline TwoFloats split(double x) {
  const auto high = static_cast<float>(x);
  return {high, std::isfinite(high) ? static_cast<float>(x - static_cast<double>(high)) : 0.0f};
}

/// Slopes that dS is multiplied by, and where it is kept as it is before. No data: 1; not kept.
struct DscoresSlope {
  MatrixC slope = {};  ///< [m][n], as gemm_exp2_rows left them
  /// [m][n] in f32, of which what no row of a register tile sees is left as it was. Where there is
  /// no slope and operands are f32, ds_rows is the same.
  MatrixC before = {};

  bool any() const { return slope.data != nullptr || before.data != nullptr; }
};

/// The largest sum of a row of P = 2^(S - max) that gemm_exp2 lets pass. A larger one says that max
/// was far below the row's true maximum: the tile is then computed again with the true one, long
/// before f32 overflows.
inline constexpr float kLargestSum = 65536.0f;

/// Terms that an f32 sum adds up one after the other; longer sums are sums of such. A chain of n
/// roundings is off by sqrt(n) of them, and by n where terms are alike. A vector is as many sums as
/// it has lanes.
inline constexpr std::int64_t kLongestChain = 128;

/// What a product does to C. kAddShortSums is for dV = Pᵀ·dO in f32: of a positive P, and dO of one
/// sign, a chain is off by as much as its terms are many, so that it ends after kShortChain. This
/// costs 1 % of the backward at d = 64. Of bf16 pairs it is kAdd.
enum class Write { kStore, kAdd, kAddShortSums };
inline constexpr std::int64_t kShortChain = 48;  ///< half of a block of 96 queries

/// Software prefetch of what the next product will read, so that memory is busy while this one
/// computes: `step` bytes from `next` on for each register tile (dots, add_rows: for each four rows
/// of B), less where the tile is summed over fewer words than k. Prefetching beyond an allocation
/// is harmless. Into L2, unless `close`.
struct Prefetch {
  const std::byte* next = nullptr;
  std::int64_t step = 0;
  /// For dots and add_rows. Of rows that do not lie one behind the other, such as those of pages:
  /// `rows` of `row_bytes`, number i is position[i] of them behind `base`.
  const std::int32_t* position = nullptr;
  const std::byte* base = nullptr;
  std::int64_t row_bytes = 0, rows = 0;
  bool close = false;  ///< for dots and add_rows: into L1
};

/// The operations that drivers are written in: one table per ISA level, kind of operand and
/// register tile. Tensors may be of any dtype; products are summed in f32. Drivers ask the table
/// for the shape of the register tile and choose their blocks by it.
struct TileOps {
  Isa isa;
  int per_word;       ///< elements in a word of an operand: 1 (f32) or 2 (bf16)
  bool reads_8_bits;  ///< do dots and add_rows, here
  int lanes;          ///< f32 per vector
  int rows;           ///< of the register tile; block sizes in rows are multiples of it
  int cols;           ///< of the register tile, and the width of a packed panel

  /// Words that n elements take.
  std::int64_t words(std::int64_t n) const { return blocks(n, per_word); }

  /// dst[rows][ld] = scale · source, an A operand of words(d), zero up to the next multiple of
  /// lanes.
  void (*pack_rows)(const RowSource& src, std::int64_t rows, std::int64_t d, float scale,
                    float* dst, std::int64_t ld);
  /// Rows [first, first + rows) of panels [d / cols][words(total)][cols], the last panel padded
  /// with zeros, `first` a multiple of per_word: the B operand of a product that sums over rows
  /// (P·V, dS·K, Pᵀ·dO, dSᵀ·Q).
  void (*pack_panels)(const RowSource& src, std::int64_t rows, std::int64_t d, float* dst,
                      std::int64_t first, std::int64_t total);
  /// Panels [rows / cols][words(d)][cols] of scale · sourceᵀ, the last panel padded with zeros:
  /// the B operand of a product that sums over d (Q·Kᵀ, dO·Vᵀ).
  void (*pack_panels_transposed)(const RowSource& src, std::int64_t rows, std::int64_t d,
                                 float scale, float* dst);

  /// C[m][n] = or += A[m][k]·B[k][n]. Computes round_up(n, lanes) columns; of A it reads, for a
  /// register tile of rows, what some of them see (where A is transposed: what sees some of them).
  void (*gemm)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b, MatrixC c,
               Write write, Prefetch prefetch);

  /// P[m][n] of SoftmaxRows from A[m][k]·B[k][n], 0 where a row does not see the column;
  /// rows.sum gets the sums of P, before it is rounded to an A operand, as which it is stored.
  /// False if one of them is beyond kLargestSum or NaN: then rows.max was too low, and the caller
  /// computes the tile again. Writes round_up(n, lanes) columns.
  bool (*gemm_exp2)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b, MatrixC p,
                    SoftmaxRows rows, Prefetch prefetch);

  /// The same with P as the A operand of a product that sums over rows (Pᵀ·dO): word (i, j) of
  /// [words(m)][n] holds rows per_word·i, ... of column j.
  bool (*gemm_exp2_rows)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                         MatrixC p, SoftmaxRows rows, Prefetch prefetch);

  /// dS[m][n] = P∘(A[m][k]·B[k][n] - D[m]), times the slope where one is given, P as
  /// gemm_exp2_rows left it. It is written as the A operand of two products: `ds` for one that sums
  /// over columns (dS·K), `ds_rows`, laid out like p, for one that sums over rows (dSᵀ·Q). In f32
  /// both are the same words, and only ds_rows is written. Writes round_up(n, lanes) columns, 0 in
  /// those that are not seen.
  void (*gemm_dscores)(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                       MatrixC ds, MatrixC ds_rows, const float* p, RowDeltas delta,
                       SeenColumns seen, DscoresSlope slope);

  /// C[m][n] = A[m][d]·B[n][d]ᵀ in f32, A as pack_rows leaves it, B read where it lies in a tensor:
  /// of any dtype; where words are pairs, of bf16 or, with reads_8_bits, of 8 bits; no position is
  /// -1, and rows are readable up to round_up(d, lanes), where A or B holds zeros.
  void (*dots)(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
               MatrixC c, Prefetch prefetch);
  /// C[m][d] += A[m][n]·B[n][d], A in f32, B of any dtype and likewise.
  void (*add_rows)(std::int64_t m, std::int64_t n, std::int64_t d, MatrixA a, const RowSource& b,
                   MatrixC c, Prefetch prefetch);

  /// Turns n f32 into a row of an A operand, in place; writable up to a multiple of lanes.
  void (*row_to_operand)(float* row, std::int64_t n);
  /// Largest of s[0, n); -inf when n is 0.
  float (*row_max)(const float* s, std::int64_t n);
  /// s[i] = 2^(factor·(s[i] - max)) over [0, n); returns their sum. Results of 2^-126 and more are
  /// within 1.25 ulp, smaller ones 0; NaN stays NaN.
  float (*row_exp2)(float* s, std::int64_t n, float max, float factor);
  /// Products become what ScoreRow says of this one row: tanh within 1.7 ulp (NaN stays NaN). Where
  /// there is a cap and `slope` is not null, slope[i] = 1 - tanh².
  void (*row_score)(float* s, std::int64_t n, const ScoreRow& row, float* slope);
  /// x[i] *= factor.
  void (*row_scale)(float* x, std::int64_t n, float factor);
  /// x[i] += y[i].
  void (*row_add)(float* x, const float* y, std::int64_t n);
  /// x[i] *= y[i].
  void (*row_multiply)(float* x, const float* y, std::int64_t n);
  /// dp[i] = p[i] · (dp[i] - delta): dS from P and dP.
  void (*row_dscores)(float* dp, const float* p, std::int64_t n, double delta);
  /// Sum of x[i]·y[i].
  double (*row_dot)(const float* x, const float* y, std::int64_t n);
  /// dst[i] = round(x[i] · factor) in the dtype.
  void (*row_store)(const float* x, std::int64_t n, float factor, Dtype dtype, void* dst);
  /// No x[i] is infinite or NaN.
  bool (*row_is_finite)(const float* x, std::int64_t n);
  /// Sum of x[i], for short rows: a lane of a vector is one chain.
  float (*row_sum)(const float* x, std::int64_t n);

  /// `iterations` rounds of independent multiply-adds that fill the register file; returns the FLOP
  /// done. `sink` keeps the compiler from dropping them.
  double (*multiply_adds)(std::int64_t iterations, float* sink);
  /// Sums n f32 at the speed of memory.
  float (*read)(const float* x, std::int64_t n);
};

/// The table of a level for the products of a problem of this dtype: its operands are bf16 for bf16
/// at avx512_bf16, else f32. Throws UnavailableError where absent(isa) has a reason.
const TileOps& tile_ops(Isa isa, Dtype dtype = Dtype::kF32);

/// All tables of a level. They differ in the kind of operand and in the register tile; of each kind
/// of operand, the one that suits this processor comes first.
const std::vector<TileOps>& tile_forms(Isa isa);

/// Why a level cannot run here: not built, or not in this processor. nullopt: it can.
std::optional<std::string> absent(Isa isa);

/// Levels that run here, in the order of kIsas; scalar is always one of them.
std::vector<Isa> available_isas();
/// The one that computes this dtype fastest.
Isa best_isa(Dtype dtype);

}  // namespace flashbench::cpu
