#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "core/visibility.h"
#include "cpu/tile_ops.h"
#include "kernel/kernel.h"
#include "kernel/profile.h"
#include "system/buffer.h"

// What the drivers of lib/cpu share: a pass bound to a problem, waves of heads, tile geometry.
namespace flashbench::cpu {

/// The end of a row: its LSE, the sum of its keys' P, and with the sink's. In double: beside a sink
/// of 100 that is beyond f32, and P are not.
struct RowEnd {
  float lse;
  double of_keys, sum;

  /// A row that sees nothing: O is 0 already.
  static RowEnd empty(const float* sink) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    return {sink == nullptr ? -std::numeric_limits<float>::infinity() : *sink, 1, kInf};
  }
  float log2_sum() const { return static_cast<float>(std::log2(sum)); }
  /// Scales the keys' part of a row of n by descale / (share·sum), as far as that may be no normal
  /// number, and returns the rest of the factor.
  float normalise(const TileOps& ops, float* row, std::int64_t n, float share,
                  float descale = 1) const {
    using Limits = std::numeric_limits<float>;
    const double factor = static_cast<double>(descale) / (sum * static_cast<double>(share));
    if (factor == 0 || (factor >= static_cast<double>(Limits::min()) &&
                        factor <= static_cast<double>(Limits::max())))
      return static_cast<float>(factor);
    ops.row_scale(row, n, static_cast<float>(1 / (of_keys * static_cast<double>(share))));
    return static_cast<float>(static_cast<double>(descale) * of_keys / sum);
  }
};

/// How scores come from products: exp(score) is 2^x of `factor` (positive) times the product of K
/// with Q times `sign`, so that the largest product is that of the largest score. A scale of 0
/// makes the products 0, not the factor: a masked score is -inf, and 0 times that is NaN.
/// Under a soft cap, tanh(cap·product / 2) takes the place of the product: softcap times it is the
/// score. With ALiBi or a bias scores themselves do: `scale` times the product, and what is added.
struct ScoreFactor {
  float sign, factor;
  float cap = 0;  ///< 0: none
  float scale = 1;
  explicit ScoreFactor(const Problem& p)
      : sign(p.softmax_scale() < 0 ? -1.0f : 1.0f),
        softcap_(p.softcap),
        alibi_(p.alibi != Alibi::kNone),
        adds_(alibi_ || p.bias != Bias::kNone),
        heads_(p.shape.h),
        of_product_(std::abs(p.softmax_scale())) {
    derive();
    if (factor != 0 && scale != 0) return;
    sign = 0;
    factor = adds_ ? factor : 1;
  }
  /// Of a K/V head: the descale of its K, which are stored in 8 bits, is a part of the scale. Q is
  /// multiplied by `sign` alone, so that neither Q nor K is rounded again.
  ScoreFactor of_head(const Inputs& in, std::int64_t b, std::int64_t h_kv) const {
    ScoreFactor of = *this;
    if (in.k_scale.empty() || sign == 0) return of;
    of.of_product_ *= static_cast<double>(in.k_descale(b, h_kv));
    of.derive();
    constexpr float kLeast = std::numeric_limits<float>::min();
    of.factor = std::max(of.factor, kLeast);
    of.scale = std::max(of.scale, kLeast);
    return of;
  }

  /// Scores are not products times a factor.
  bool changes() const { return cap > 0 || adds_; }
  /// What is added to products may be so different from key to key that a row's first keys tell
  /// nothing of its maximum.
  bool first_keys_mislead() const { return adds_; }
  /// Of a query of head (b, h) that is aligned on `own_key`; `keys`: what KeyPositions says of the
  /// columns, `bias`: what BiasTile says of them.
  ScoreRow row(const Inputs& in, std::int64_t b, std::int64_t h, std::int64_t own_key,
               const float* keys, BiasRows bias) const {
    if (!adds_) return {cap};
    if (!alibi_) return {.cap = cap, .scale = scale, .bias = bias};
    const float slope = in.alibi_slopes[static_cast<std::size_t>(b * heads_ + h)];
    return {cap, keys, scale, slope, static_cast<float>(own_key), bias};
  }

  /// From the largest product and the sum of 2^(factor·(product - max)); the sink, if there is one,
  /// is one more term of the sum.
  RowEnd end_of_row(float max, float sum, const float* sink) const {
    const double keys = outer_ * static_cast<double>(max) + static_cast<double>(std::log(sum));
    const double of_keys = static_cast<double>(sum);
    if (sink == nullptr) return {static_cast<float>(keys), of_keys, of_keys};
    const double logit = static_cast<double>(*sink);
    // One exp and one log: where a window is short, this is a tenth of the row's time.
    const double smaller = std::exp(-std::abs(logit - keys));  // of the two, over the larger
    const double lse = std::max(keys, logit) + std::log(1 + smaller);
    return {static_cast<float>(lse), of_keys,
            of_keys * (1 + (logit <= keys ? smaller : 1 / smaller))};
  }
  /// The sink's share of a row whose keys and sink have that sum, as log2; of one without keys all.
  double sink_share(float sink, float max, float log_sum) const {
    if (std::isinf(log_sum)) return 1;
    return std::exp(static_cast<double>(sink) - outer_ * static_cast<double>(max) -
                    static_cast<double>(log_sum) * std::numbers::ln2);
  }

 private:
  void derive() {
    outer_ = of_product_;
    if (softcap_ > 0) {
      constexpr double kMost = std::numeric_limits<float>::max();
      cap = static_cast<float>(std::min(2 * outer_ / softcap_, kMost));
    }
    if (cap > 0) outer_ = softcap_;
    if (adds_) scale = static_cast<float>(std::exchange(outer_, 1.0));
    factor = static_cast<float>(outer_ * std::numbers::log2e);
  }

  double softcap_;
  bool alibi_, adds_;
  std::int64_t heads_;
  double of_product_;  ///< the scale without its sign
  double outer_ = 0;   ///< a score is so many products
};

/// What a forward keeps of each row for the backward that follows: P is computed again as
/// 2^(factor·(product - max) - log_sum). With the LSE, which is rounded once for both, the P of
/// large scores would be off by the rounding of the LSE.
class RowMaxima {
 public:
  static std::size_t bytes(const Shape& s) { return 2 * row_floats(s) * sizeof(float); }
  void allocate(const Shape& s) {
    buffer_ = Buffer(bytes(s));
    data_ = buffer_.as<float>();
    rows_ = row_floats(s);
  }
  /// [b, h, q_len]; 0 for a row that sees nothing, or nothing but keys that a bias of -inf hides.
  float* max() const { return data_; }
  /// [b, h, q_len], of the sink, too; +inf for such a row.
  float* log_sum() const { return data_ + rows_; }

 private:
  static std::size_t row_floats(const Shape& s) {
    return static_cast<std::size_t>((s.lse_dims().count() + 15) / 16 * 16);
  }
  Buffer buffer_;
  float* data_ = nullptr;
  std::size_t rows_ = 0;
};

/// Batch elements that have queries, those of most pairs first: in a ragged batch long ones at the
/// end would leave threads idle.
inline std::vector<std::int64_t> elements_with_queries(const Shape& s) {
  std::vector<std::int64_t> elements;
  for (std::int64_t b = 0; b < s.b; ++b)
    if (s.q_len_of(b) > 0) elements.push_back(b);
  const auto pairs = [&](std::int64_t b) { return s.q_len_of(b) * s.kv_len_of(b); };
  std::stable_sort(elements.begin(), elements.end(),
                   [&](std::int64_t x, std::int64_t y) { return pairs(x) > pairs(y); });
  return elements;
}

inline std::int64_t most_keys(const Shape& s, const std::vector<std::int64_t>& elements) {
  std::int64_t most = 0;
  for (const std::int64_t b : elements) most = std::max(most, s.kv_len_of(b));
  return most;
}

/// A forward or backward pass of one algorithm, bound to a problem. The constructor only computes
/// sizes, so that memory can be predicted; allocate() takes it.
class AttentionPass {
 public:
  /// f32 operands; a driver that also works on pairs of bf16 passes that table.
  AttentionPass(const Problem& p, const Execution& e) : AttentionPass(p, e, tile_ops(e.isa)) {}
  AttentionPass(const Problem& p, const Execution& e, const TileOps& operations)
      : shape(p.shape),
        dtype(p.dtype),
        kv_dtype(p.kv_dtype()),
        scale(p.softmax_scale()),
        threads(e.threads),
        ops(operations) {}
  virtual ~AttentionPass() = default;

  virtual std::size_t workspace_bytes() const = 0;
  virtual double flop_executed(const std::vector<Visibility>& sees) const = 0;
  virtual void allocate() = 0;
  virtual std::vector<std::string> phases() const = 0;
  /// Bytes of workspace by phase, in the order of phases().
  virtual std::vector<std::size_t> phase_bytes() const = 0;
  /// `sees` has one entry per batch element; `profile` may be null.
  virtual void run(const Operands& io, const std::vector<Visibility>& sees,
                   PhaseProfile* profile) = 0;

 protected:
  /// C[m][n] = or += A[m][k]·B[k][n] on packed tiles. `pairs`: the elements of A that count.
  PhaseCost product(std::int64_t m, std::int64_t n, std::int64_t k, Write write,
                    std::int64_t pairs) const {
    return multiply_adds(pairs * n) + touch(ops.words(k) * (m + n)) +
           touch(m * n * (write == Write::kStore ? 1 : 2));
  }
  PhaseCost product(std::int64_t m, std::int64_t n, std::int64_t k, Write write) const {
    return product(m, n, k, write, m * k);
  }
  /// The same where the epilogue turns C into operands: P and dS. `pairs`: the elements of C that
  /// are computed.
  PhaseCost product_to_operands(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t pairs,
                                std::int64_t copies = 1) const {
    return multiply_adds(pairs * k) + touch(ops.words(k) * (m + n)) +
           touch(copies * m * ops.words(n));
  }
  /// Conversion of n elements of a tensor to operands, or of n results to elements of a tensor.
  PhaseCost convert(std::int64_t n) const { return convert(n, dtype); }
  PhaseCost convert(std::int64_t n, Dtype t) const {
    return {0, static_cast<double>(n) * (static_cast<double>(size_bytes(t)) + 4.0 / ops.per_word)};
  }
  /// n f32, or words of operands, read or written.
  static PhaseCost touch(std::int64_t n) { return {0, 4.0 * static_cast<double>(n)}; }

  const Shape shape;
  const Dtype dtype, kv_dtype;
  const double scale;
  const int threads;
  const TileOps& ops;

 private:
  static PhaseCost multiply_adds(std::int64_t n) { return {2.0 * static_cast<double>(n), 0}; }
};

/// Rows [first, ...) of head `h` of batch `b`.
inline RowSource rows_of(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t first = 0,
                         const std::int32_t* position = nullptr) {
  const std::size_t offset =
      static_cast<std::size_t>(t.dims().index(b, h, first, 0)) * size_bytes(t.dtype());
  return {static_cast<const std::byte*>(t.data()) + offset, t.dtype(), t.dims().d, position};
}

/// K and V where kernels read them: the tensors themselves, or the pool that their pages are in. V
/// may be the first columns of K: rows of the one are rows of the other.
inline const Tensor& stored_keys(const Inputs& in) { return in.pages.empty() ? in.k : in.pages.k; }
inline const Tensor& stored_values(const Inputs& in) {
  if (in.v_in_k) return stored_keys(in);
  return in.pages.empty() ? in.v : in.pages.v;
}

/// Rows of stored K or V from kept key number `first` on. `first_key`: the row of the tensor at
/// which keys are counted from.
inline RowSource key_rows(const Inputs& in, const Tensor& stored, std::int64_t b,
                          std::int64_t kv_head, const KeptKeys& kept, std::int64_t first,
                          std::int64_t first_key = 0) {
  const RowMap map = kept.stored().from(first);
  return rows_of(stored, in.pages.empty() ? b : 0, kv_head, first_key + map.first, map.rows);
}

/// What a row sees of the keys of a tile that begins with key number `first`, counted from there.
struct TileColumns {
  std::int64_t begin, end;
};
inline TileColumns columns_of(KeyRange keys, std::int64_t first, std::int64_t columns) {
  const std::int64_t end = std::clamp<std::int64_t>(keys.end - first, 0, columns);
  return {std::clamp<std::int64_t>(keys.begin - first, 0, end), end};
}

/// The columns [begin, end) of a tile that each of its rows sees. Rows of a tile that all of them
/// see whole, as most tiles are, are not computed: they would cost 1 % of the products at d = 64.
template <int kMaxRows>
class TileRows {
 public:
  /// Queries [first_query, first_query + rows) against keys [first_key, first_key + columns).
  TileRows(const Visibility& sees, std::int64_t first_query, std::int64_t rows,
           std::int64_t first_key, std::int64_t columns)
      : rows_(rows), columns_(columns) {
    assert(rows <= kMaxRows);
    // Neither end falls: the first row ends first, the last one begins last.
    whole_ = sees.keys(first_query).end >= first_key + columns &&
             sees.keys(first_query + rows - 1).begin <= first_key;
    for (std::int64_t i = 0; i < rows && !whole_; ++i) {
      const TileColumns seen = columns_of(sees.keys(first_query + i), first_key, columns);
      begin_[i] = seen.begin;
      end_[i] = seen.end;
    }
  }
  TileColumns operator[](std::int64_t row) const {
    return whole_ ? TileColumns{0, columns_} : TileColumns{begin_[row], end_[row]};
  }
  SeenColumns seen() const {
    const auto count = static_cast<std::size_t>(rows_);
    if (whole_) return {};
    if (begin_[rows_ - 1] == 0) return {{}, {end_, count}};
    return {{begin_, count}, {end_, count}};
  }

 private:
  std::int64_t rows_, columns_;
  bool whole_;
  std::int64_t begin_[kMaxRows], end_[kMaxRows];
};

inline void* row_of(Tensor& t, std::int64_t b, std::int64_t h, std::int64_t row) {
  const std::size_t offset =
      static_cast<std::size_t>(t.dims().index(b, h, row, 0)) * size_bytes(t.dtype());
  return static_cast<std::byte*>(t.data()) + offset;
}

/// K/V heads are packed a few at a time, so that packed panels never amount to whole tensors: as
/// many as keep every thread busy four times over.
struct HeadWaves {
  std::int64_t heads, per_wave;

  HeadWaves(std::int64_t heads_, std::int64_t items_per_head, int threads)
      : heads(heads_),
        per_wave(std::clamp<std::int64_t>(blocks(4 * threads, items_per_head), 1, heads_)) {}
  std::int64_t count() const { return blocks(heads, per_wave); }
  std::int64_t size(std::int64_t wave) const { return std::min(per_wave, heads - wave * per_wave); }
};

/// Row stride of an f32 tile of n columns: whole vectors, and an odd number of cache lines, since
/// rows a power of two apart share one L1 set.
constexpr std::int64_t tile_stride(std::int64_t n) { return (blocks(n, 16) | 1) * 16; }

/// Rounds a count of f32 up to whole cache lines.
constexpr std::size_t floats(std::int64_t n) { return static_cast<std::size_t>(round_up(n, 16)); }

/// Hands out consecutive cache-line-aligned pieces of a buffer, or only adds up their sizes.
class Carver {
 public:
  explicit Carver(float* base = nullptr) : next_(base) {}
  float* take(std::int64_t n) {
    float* piece = next_;
    used_ += floats(n);
    if (next_ != nullptr) next_ += floats(n);
    return piece;
  }
  std::size_t bytes() const { return used_ * sizeof(float); }

 private:
  float* next_;
  std::size_t used_ = 0;
};

}  // namespace flashbench::cpu
