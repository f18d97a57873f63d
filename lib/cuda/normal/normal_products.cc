#include "cuda/normal/normal_products.h"

#include <limits>

#include "core/enumerators.h"
#include "cuda/contract/element.h"
#include "cuda/normal/simt_normal_layout.h"
#include "system/error.h"

namespace flashbench::cuda {
namespace {

Address address(const void* pointer) { return reinterpret_cast<Address>(pointer); }

/// The rows of one K/V head: `rows` of its own, or those of all its query heads.
GemmMatrix rows_of(const Rows& r, Element element, std::int64_t rows) {
  return {address(r.data), element, r.stride_row, rows * r.stride_row};
}

/// A row of scores is f32 when it holds S or dP. P and dS lie in the tensors' element type at the
/// start of the same rows.
GemmMatrix scores_of(const Attention& a, const float* scores, Element element) {
  const std::int64_t stride =
      a.scores_stride * static_cast<std::int64_t>(sizeof(float) / size_bytes(dtype_of(element)));
  return {address(scores), element, stride, std::int64_t{a.group} * a.q_len * stride};
}

/// Undoes what P is stored times.
float weight_factor(const Attention& a) {
  switch (a.element) {
    case Element::kF32:
    case Element::kBf16:
      return 1;
    case Element::kF16:
      return 1 / normal::kF16WeightScale;
  }
  no_such_enumerator();
}

/// Rows in memory are columns to BLAS: a row-major C = A · Bᵀ is its Cᵀ = B · Aᵀ. So every product
/// names the right factor first, and m is the length of a row of the result.
class Products {
 public:
  explicit Products(const Attention& a)
      : a_(a),
        queries_(a.group * a.q_len),
        p_(scores_of(a, a.scores, a.element)),
        ds_(scores_of(a, a.score_gradients, a.element)) {}

  /// scores = alpha · left · rightᵀ: [queries, n] · [keys, n]ᵀ, n being d or d_v.
  Gemm scores(const char* name, const Rows& left, const Rows& right, float alpha,
              const float* scores) const {
    return {name,
            Transpose::kYes,
            Transpose::kNo,
            a_.kv_len,
            queries_,
            columns(left),
            batch(),
            alpha,
            of_keys(right),
            of_queries(left),
            scores_of(a_, scores, Element::kF32)};
  }

  /// out = alpha · weights · right: [queries, keys] · [keys, n].
  Gemm over_keys(const char* name, const GemmMatrix& weights, const Rows& right, float alpha,
                 const Rows& out) const {
    return {name,    Transpose::kNo, Transpose::kNo, columns(out), queries_,       a_.kv_len,
            batch(), alpha,          of_keys(right), weights,      of_queries(out)};
  }

  /// out = alpha · weightsᵀ · right: [queries, keys]ᵀ · [queries, n], summed over the group.
  Gemm over_queries(const char* name, const GemmMatrix& weights, const Rows& right, float alpha,
                    const Rows& out) const {
    return {name,    Transpose::kNo, Transpose::kYes,   columns(out), a_.kv_len,   queries_,
            batch(), alpha,          of_queries(right), weights,      of_keys(out)};
  }

  const GemmMatrix& p() const { return p_; }
  const GemmMatrix& ds() const { return ds_; }

 private:
  static int columns(const Rows& r) { return static_cast<int>(r.stride_row); }
  int batch() const { return a_.b * a_.h_kv; }
  GemmMatrix of_queries(const Rows& r) const { return rows_of(r, a_.element, queries_); }
  GemmMatrix of_keys(const Rows& r) const { return rows_of(r, a_.element, a_.kv_len); }

  const Attention& a_;
  const int queries_;
  const GemmMatrix p_, ds_;
};

}  // namespace

Gemm gemm_of(Product product, const Attention& a) {
  const Products make(a);
  switch (product) {
    case Product::kScores:
      return make.scores("S = Q K^T", a.q, a.k, a.product_factor, a.scores);
    case Product::kOutput:
      return make.over_keys("O = P V", make.p(), a.v, weight_factor(a), a.o);
    case Product::kScoreGradients:
      return make.scores("dP = dO V^T", a.d_o, a.v, 1, a.score_gradients);
    case Product::kQueryGradients:
      return make.over_keys("dQ = dS K", make.ds(), a.k, a.scale, a.dq);
    case Product::kKeyGradients:
      return make.over_queries("dK = dS^T Q", make.ds(), a.q, a.scale, a.dk);
    case Product::kValueGradients:
      return make.over_queries("dV = P^T dO", make.p(), a.d_o, weight_factor(a), a.dv);
    case Product::kNone:
      throw DeviceError("a launch that is no product has no matrices");
  }
  no_such_enumerator();
}

bool gemms_fit(const Shape& s) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  const std::int64_t most_per_row = ceil_div(s.kv_len, 4) * 4 * 2;  // 16 bits in a row of f32
  return s.group() * s.q_len <= kMost && s.b * s.h_kv <= kMost && most_per_row <= kMost;
}

}  // namespace flashbench::cuda
