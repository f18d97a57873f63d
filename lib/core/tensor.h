#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "system/buffer.h"

namespace flashbench {

/// [batch, head, row, dim] over memory that it does not own; strides in elements, dim contiguous.
template <typename T>
struct View4 {
  T* data = nullptr;
  std::int64_t stride_b = 0, stride_h = 0, stride_row = 0;

  T* row(std::int64_t b, std::int64_t h, std::int64_t r) const {
    return data + b * stride_b + h * stride_h + r * stride_row;
  }
};

/// A contiguous [batch, head, row, dim] tensor in host memory, its pages untouched at birth.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Dtype dtype, Dims dims)
      : dtype_(dtype),
        dims_(dims),
        buffer_(static_cast<std::size_t>(dims.count()) * size_bytes(dtype)) {}
  /// Over memory of another one, which must outlive it.
  Tensor(Dtype dtype, Dims dims, void* borrowed)
      : dtype_(dtype), dims_(dims), borrowed_(borrowed) {}

  Dtype dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  std::int64_t count() const { return dims_.count(); }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_bytes(dtype_); }
  bool empty() const { return count() == 0; }

  void* data() { return borrowed_ != nullptr ? borrowed_ : buffer_.as<void>(); }
  const void* data() const { return borrowed_ != nullptr ? borrowed_ : buffer_.as<void>(); }
  template <typename T>
  T* as() {
    return static_cast<T*>(data());
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data());
  }

  /// The element at a flat index, exact in f32 for every dtype.
  float at(std::int64_t i) const {
    return with_dtype(dtype_, [&](auto zero) { return to_f32(as<decltype(zero)>()[i]); });
  }
  float at(std::int64_t b, std::int64_t h, std::int64_t r, std::int64_t d) const {
    return at(dims_.index(b, h, r, d));
  }

  void set(std::int64_t i, float value) {
    with_dtype(dtype_,
               [&](auto zero) { as<decltype(zero)>()[i] = from_f32<decltype(zero)>(value); });
  }

  /// Every byte 0xFF: a NaN in every dtype, so that an element nobody wrote is seen.
  void poison() {
    if (bytes() != 0) std::memset(data(), 0xFF, bytes());
  }

 private:
  Dtype dtype_ = Dtype::kF32;
  Dims dims_{};
  Buffer buffer_;
  void* borrowed_ = nullptr;
};

/// K and V as servers keep them: in pages of a pool. Key j of batch element b is row j % page_size
/// of page block_table[b, j / page_size]; what no key is may be anything.
struct Pages {
  Tensor k;                               ///< [pages, h_kv, page_size, d]
  Tensor v;                               ///< [pages, h_kv, page_size, d_v]; empty: in K
  std::vector<std::int32_t> block_table;  ///< [b, most], most = block_table.size() / b

  bool empty() const { return k.empty(); }
};

/// What attention reads. In a ragged batch q_len and kv_len are those of each sequence. `key_mask`
/// is [b, kv_len], 1 = keep; empty when there is no padding mask.
struct Inputs {
  Tensor q;    ///< [b, h, q_len, d]
  Tensor k;    ///< [b, h_kv, kv_len, d]
  Tensor v;    ///< [b, h_kv, kv_len, d_v]
  Tensor d_o;  ///< [b, h, q_len, d_v]; empty for a forward pass
  std::vector<std::uint8_t> key_mask;
  std::vector<float> sinks;         ///< [h], natural logits; empty where there are none
  std::vector<float> alibi_slopes;  ///< [b, h]; likewise
  Tensor bias;                      ///< [b or 1, h or 1, q_len, kv_len]; likewise
  /// [b, h_kv], positive: what the stored values of a head count times; empty where these are
  /// numbers themselves.
  std::vector<float> k_scale, v_scale;
  /// Of a paged problem: the same K and V again, for kernels that read them there. Else empty.
  Pages pages;
  /// V is the first columns of K: kernels read it there, from the pool where K lies in one. `v` is
  /// a copy for those that judge; so is v_scale. pages.v is empty.
  bool v_in_k = false;

  float k_descale(std::int64_t b, std::int64_t h_kv) const { return of_head(k_scale, k, b, h_kv); }
  float v_descale(std::int64_t b, std::int64_t h_kv) const { return of_head(v_scale, v, b, h_kv); }

 private:
  static float of_head(const std::vector<float>& scale, const Tensor& t, std::int64_t b,
                       std::int64_t h_kv) {
    return scale.empty() ? 1.0f : scale[static_cast<std::size_t>(b * t.dims().h + h_kv)];
  }
};

/// What attention writes. Gradients are empty for a forward pass.
struct Outputs {
  Tensor o;  ///< [b, h, q_len, d_v]
  /// [b, h, q_len, 1] f32, natural log, sinks included; a row that sees nothing has -inf, or the
  /// sink.
  Tensor lse;
  Tensor dq;      ///< [b, h, q_len, d]
  Tensor dk;      ///< [b, h_kv, kv_len, d]
  Tensor dv;      ///< [b, h_kv, kv_len, d_v]
  Tensor dsinks;  ///< [1, h, 1, 1] f32; empty where there are no sinks
  /// As the bias, summed over the axes that are 1 there; empty where it is not wanted.
  Tensor dbias;

  void poison() {
    for (Tensor* t : {&o, &lse, &dq, &dk, &dv, &dsinks, &dbias}) t->poison();
  }
};

}  // namespace flashbench
