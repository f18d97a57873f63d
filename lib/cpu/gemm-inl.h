// The register-tile product, once per Highway target: see tile_ops-inl.h.
#if defined(FLASHBENCH_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHBENCH_CPU_GEMM_INL_H_
#undef FLASHBENCH_CPU_GEMM_INL_H_
#else
#define FLASHBENCH_CPU_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "cpu/operand-inl.h"
#include "cpu/seen_columns.h"
#include "cpu/tile_ops.h"

HWY_BEFORE_NAMESPACE();
namespace flashbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Register tile of kTileRows rows by kTileVectors vectors of columns, and the kind of operand that
/// it multiplies.
template <int kTileRows_, int kTileVectors_, typename Operand_ = F32Word>
struct TileShape {
  using Operand = Operand_;
  static constexpr int kTileRows = kTileRows_;
  static constexpr int kTileVectors = kTileVectors_;
};

// The accumulators fill the register file but for the vectors of B and one broadcast of A. Loads
// per step of k: tall, 12 x 2 of 32 registers, 14 for 24 multiply-adds (6 x 2 of 16 registers: 8
// for 12); wide, 6 x 4, 10 for 24. Which one is faster where: tile_ops_processor.cc and the README.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
using TallTile = TileShape<12, 2>;
#else
using TallTile = TileShape<6, 2>;
#endif
using WideTile = TileShape<6, 4>;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_SCALAR
using TallPairTile = TileShape<TallTile::kTileRows, TallTile::kTileVectors, Bf16Pair>;
using WidePairTile = TileShape<WideTile::kTileRows, WideTile::kTileVectors, Bf16Pair>;
#endif

enum class LayoutA { kRowMajor, kTransposed };

template <int kRows, int kVectors>
using Accumulators = hn::Vec<hn::ScalableTag<float>>[kRows][kVectors];

/// The words of one column of A, which multiply_tile broadcasts row by row. Row r lies at base +
/// stride·r: with two bases (rows 0 and 6) and the registers stride, 3·stride and 5·stride, x86's
/// addressing modes (index·1, 2, 4) reach all twelve rows. Left alone, GCC keeps a pointer per row
/// and spills some of them; the empty assembly statements hide the values from it. Worth 2 % of the
/// forward and of the backward on Zen 5.
template <LayoutA kLayout>
class Column {
 public:
  HWY_INLINE Column(const float* a, std::int64_t stride)
      : low_(reinterpret_cast<const std::byte*>(a)),
        stride_(stride * static_cast<std::int64_t>(sizeof(float))),
        stride3_(3 * stride_),
        stride5_(5 * stride_),
        high_(low_ + 6 * stride_) {
    asm("" : "+r"(stride_), "+r"(stride3_), "+r"(stride5_));
  }
  HWY_INLINE float operator[](int row) const {
    if (kLayout == LayoutA::kTransposed) return reinterpret_cast<const float*>(low_)[row];
    const std::byte* base = row < 6 ? low_ : high_;
    const int i = row % 6;
    return *reinterpret_cast<const float*>(base + (i == 3   ? stride3_
                                                   : i == 5 ? stride5_
                                                            : i * stride_));
  }
  HWY_INLINE void advance() {
    const std::int64_t step =
        kLayout == LayoutA::kTransposed ? stride_ : static_cast<std::int64_t>(sizeof(float));
    low_ += step;
    high_ += step;
    asm("" : "+r"(low_), "+r"(high_));
  }

 private:
  const std::byte* low_;
  std::int64_t stride_, stride3_, stride5_;
  const std::byte* high_;
};

/// sum[kRows][kVectors·lanes] += A·B over k words, prefetching one cache line from `next` in each
/// step: issued all at once before the tile, they fill the load buffers (3 % of d = 512). The
/// literal unroll counts exceed the trip counts: every loop must be unrolled fully, so that the
/// accumulators become registers.
template <int kRows, int kVectors, LayoutA kLayout, typename Operand>
HWY_INLINE void multiply_tile(std::int64_t k, const float* HWY_RESTRICT a, std::int64_t stride_a,
                              const float* HWY_RESTRICT b, std::int64_t row_b,
                              const std::byte* next, std::int64_t next_step,
                              Accumulators<kRows, kVectors>& sum) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
  Column<kLayout> column(a, stride_a);
  for (std::int64_t p = 0; p < k; ++p) {
    hn::Vec<decltype(f32)> bv[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) bv[v] = hn::LoadU(f32, b + v * lanes);
    b += row_b;
    __builtin_prefetch(next, 0, 2);
    next += next_step;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto av = hn::Set(f32, column[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = Operand::multiply_add(av, bv[v], sum[i][v]);
    }
    column.advance();
  }
}

template <int kRows, int kVectors>
HWY_INLINE void set_zero(Accumulators<kRows, kVectors>& sum) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(hn::ScalableTag<float>());
}

/// sum += c, rows of c `row` apart.
template <int kRows, int kVectors>
HWY_INLINE void add_tile(const float* HWY_RESTRICT c, std::int64_t row,
                         Accumulators<kRows, kVectors>& sum) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = hn::Add(sum[r][v], hn::LoadU(f32, c + r * row + v * lanes));
}

template <int kRows, int kVectors>
HWY_INLINE void store_tile(const Accumulators<kRows, kVectors>& sum, float* HWY_RESTRICT c,
                           std::int64_t row) {
  const hn::ScalableTag<float> f32;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(f32));
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], f32, c + r * row + v * lanes);
}

/// What is computed of a register tile: its first columns, summed over words [begin, end).
struct TilePart {
  std::int64_t columns, begin, end;
};

/// The epilogue that stores or adds to C. An epilogue is told the element (i, j) of the product at
/// which a register tile begins: begin() initialises the accumulators, finish() consumes them.
/// longest_chain(): the words that are added up before the accumulators begin anew.
/// part(): of the tile of `rows` rows and `columns` columns at (i, j) of a product over k words;
/// columns that are left out go to store_zeros(). Tiles are asked for in ascending order of i.
template <typename Operand>
class StoreTile {
 public:
  /// A[m][k]: row-major or transposed.
  StoreTile(MatrixC c, Write write, const MatrixA& a)
      : c_(c), write_(write), words_(a.seen, is_transposed(a), kPerWord<Operand>) {}

  std::int64_t longest_chain() const {
    if (!kAddAtEnd && adds()) return std::numeric_limits<std::int64_t>::max();
    return write_ == Write::kAddShortSums ? kShortChain : kLongestChainWords<Operand>;
  }
  TilePart part(std::int64_t i, std::int64_t rows, std::int64_t, std::int64_t columns,
                std::int64_t k) {
    const auto [begin, end] = words_.of_rows(i, rows, k);
    return {begin == end && adds() ? 0 : columns, begin, end};
  }
  void store_zeros(std::int64_t, std::int64_t, std::int64_t, std::int64_t) const {}
  template <int kRows, int kVectors>
  HWY_INLINE void begin(Accumulators<kRows, kVectors>& sum, std::int64_t i, std::int64_t j) const {
    set_zero<kRows, kVectors>(sum);
    if (!kAddAtEnd && adds()) add_tile<kRows, kVectors>(c_.data + i * c_.row + j, c_.row, sum);
  }
  template <int kRows, int kVectors>
  HWY_INLINE void finish(Accumulators<kRows, kVectors>& sum, std::int64_t i, std::int64_t j) const {
    float* tile = c_.data + i * c_.row + j;
    if (kAddAtEnd && adds()) add_tile<kRows, kVectors>(tile, c_.row, sum);
    store_tile<kRows, kVectors>(sum, tile, c_.row);
  }

 private:
  // Sums over many blocks are sums of short sums if C is added at the end. For bf16 that is not
  // worth its time (up to 2 % of the backward): the rounding of operands is coarser by far.
  static constexpr bool kAddAtEnd = kPerWord<Operand> == 1;

  bool adds() const { return write_ != Write::kStore; }

  MatrixC c_;
  Write write_;
  SeenWords words_;
};

template <typename Epilogue>
using TileFunction = void (*)(std::int64_t k, const float* a, std::int64_t stride_a, const float* b,
                              std::int64_t row_b, const std::byte* next, std::int64_t next_step,
                              const Epilogue& epilogue, std::int64_t i, std::int64_t j);

// g++ does not see that the first part of a long sum is stored before it is added.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
/// One function for every number of rows and vectors up to those of the register tile: the edges of
/// a product are smaller tiles. Sums of one chain have their own: a loop over chains around them
/// costs 3 % of the backward at d = 64 and 128 in bf16.
template <typename Tile, typename Epilogue>
struct TileTable {
  /// [one chain, several][layout][vectors][rows]
  TileFunction<Epilogue> f[2][2][Tile::kTileVectors + 1][Tile::kTileRows + 1] = {};

  TileTable() { fill<Tile::kTileRows, Tile::kTileVectors>(); }

 private:
  template <int kRows, int kVectors>
  void fill() {
    f[0][0][kVectors][kRows] = one_chain<kRows, kVectors, LayoutA::kRowMajor>;
    f[0][1][kVectors][kRows] = one_chain<kRows, kVectors, LayoutA::kTransposed>;
    f[1][0][kVectors][kRows] = several_chains<kRows, kVectors, LayoutA::kRowMajor>;
    f[1][1][kVectors][kRows] = several_chains<kRows, kVectors, LayoutA::kTransposed>;
    if constexpr (kVectors > 1) fill<kRows, kVectors - 1>();
    if constexpr (kVectors == Tile::kTileVectors && kRows > 1) fill<kRows - 1, kVectors>();
  }
  template <int kRows, int kVectors, LayoutA kLayout>
  static HWY_ATTR void one_chain(std::int64_t k, const float* a, std::int64_t stride_a,
                                 const float* b, std::int64_t row_b, const std::byte* next,
                                 std::int64_t next_step, const Epilogue& epilogue, std::int64_t i,
                                 std::int64_t j) {
    Accumulators<kRows, kVectors> sum;
    epilogue.template begin<kRows, kVectors>(sum, i, j);
    multiply_tile<kRows, kVectors, kLayout, typename Tile::Operand>(k, a, stride_a, b, row_b, next,
                                                                    next_step, sum);
    epilogue.template finish<kRows, kVectors>(sum, i, j);
  }
  template <int kRows, int kVectors, LayoutA kLayout>
  static HWY_ATTR void several_chains(std::int64_t k, const float* a, std::int64_t stride_a,
                                      const float* b, std::int64_t row_b, const std::byte* next,
                                      std::int64_t next_step, const Epilogue& epilogue,
                                      std::int64_t i, std::int64_t j) {
    using Operand = typename Tile::Operand;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
    const std::int64_t longest = epilogue.longest_chain();
    const std::int64_t step_a = kLayout == LayoutA::kTransposed ? stride_a : 1;
    HWY_ALIGN float longer[kRows * kVectors * HWY_MAX_BYTES / sizeof(float)];
    Accumulators<kRows, kVectors> sum;
    epilogue.template begin<kRows, kVectors>(sum, i, j);
    for (std::int64_t done = 0;;) {
      const std::int64_t chain = std::min(longest, k - done);
      multiply_tile<kRows, kVectors, kLayout, Operand>(chain, a + done * step_a, stride_a,
                                                       b + done * row_b, row_b,
                                                       next + done * next_step, next_step, sum);
      if (done > 0) add_tile<kRows, kVectors>(longer, kVectors * lanes, sum);
      done += chain;
      if (done >= k) break;
      store_tile<kRows, kVectors>(sum, longer, kVectors * lanes);
      set_zero<kRows, kVectors>(sum);
    }
    epilogue.template finish<kRows, kVectors>(sum, i, j);
  }
};

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// All register tiles of A[m][k]·B[k][n], panel by panel: a panel of B stays in L1 while all rows
/// of A are multiplied with it.
template <typename Tile, typename Epilogue>
inline void for_each_tile(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b,
                          Epilogue epilogue, Prefetch prefetch) {
  static const TileTable<Tile, Epilogue> table;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const std::int64_t cols = Tile::kTileVectors * lanes;
  const bool transposed = is_transposed(a);
  const std::int64_t stride_a = transposed ? a.col : a.row;
  // With nothing to prefetch, the instruction is aimed at a line of B that is in L1 anyway.
  const std::byte* next =
      prefetch.next != nullptr ? prefetch.next : reinterpret_cast<const std::byte*>(b.data);
  const std::int64_t next_step = k > 0 ? (prefetch.step + k - 1) / k : 0;
  for (std::int64_t j = 0; j < n; j += cols) {
    const std::int64_t columns = std::min(cols, round_up(n - j, lanes));
    const float* panel = b.data + j / cols * b.panel;
    for (std::int64_t i = 0; i < m; i += Tile::kTileRows) {
      const std::int64_t rows = std::min<std::int64_t>(Tile::kTileRows, m - i);
      const TilePart part = epilogue.part(i, rows, j, columns, k);
      const std::int64_t words = part.end - part.begin;
      if (part.columns > 0)
        table.f[words > epilogue.longest_chain()][transposed][part.columns / lanes][rows](
            words, a.data + i * a.row + part.begin * a.col, stride_a, panel + part.begin * b.row,
            b.row, next, next_step, epilogue, i, j);
      if (part.columns < columns)
        epilogue.store_zeros(i, rows, j + part.columns, columns - part.columns);
      next += prefetch.step;
    }
  }
}

template <typename Tile>
inline void gemm(std::int64_t m, std::int64_t n, std::int64_t k, MatrixA a, MatrixB b, MatrixC c,
                 Write write, Prefetch prefetch) {
  for_each_tile<Tile>(m, n, k, a, b, StoreTile<typename Tile::Operand>(c, write, a), prefetch);
}

}  // namespace HWY_NAMESPACE
}  // namespace flashbench::cpu
HWY_AFTER_NAMESPACE();

#endif
