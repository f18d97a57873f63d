#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/enumerators.h"
#include "core/rejection.h"
#include "core/shape.h"

namespace flashbench {

/// kBoth times a forward and a backward call as one.
enum class Pass { kForward, kBackward, kBoth };
/// kPlugin and kWorker: somebody else's kernel, see is_guest().
enum class AttentionType { kFlash, kNormal, kPaper, kPlugin, kWorker };
enum class PaddingMask { kNone, kRandom, kFile };
enum class Sinks { kNone, kRandom, kFile };
enum class Alibi { kNone, kStandard, kFile };  ///< where the slopes of the heads come from
enum class Bias { kNone, kRandom, kFile };
/// Which axes of a bias are not 1: it is [b or 1, h or 1, q_len, kv_len].
enum class BiasShape { kShared, kHead, kBatch, kBatchAndHead };
enum class Ragged { kNone, kLengths, kFile };  ///< where the lengths of sequences come from
/// How products of f32 tensors are made: as f32 multiplies, or kBf16x6: on tensor cores, each
/// operand split into three bf16 numbers, a product the six largest of the nine that these have.
enum class F32Math { kIeee, kBf16x6 };
enum class GradSource { kOnes, kRandom, kFile };  ///< where dO comes from; ones: loss = sum(O)
enum class Layout { kBhsd, kBshd };               ///< axis order in files
/// What random tensors hold. Real activations are not normal: after a ReLU they are positive,
/// padding and masks leave constants, trained models have channels and tokens of 10 to 1000 times
/// the others (Sun, Chen, Kolter, Liu 2024, "Massive Activations in Large Language Models").
enum class Values { kNormal, kUniform, kPositive, kConstant, kOutlierChannel, kOutlierRows };

constexpr std::string_view name(Pass p) {
  switch (p) {
    case Pass::kForward:
      return "forward";
    case Pass::kBackward:
      return "backward";
    case Pass::kBoth:
      return "both";
  }
  no_such_enumerator();
}
constexpr std::string_view name(AttentionType t) {
  switch (t) {
    case AttentionType::kFlash:
      return "flash";
    case AttentionType::kNormal:
      return "normal";
    case AttentionType::kPaper:
      return "paper";
    case AttentionType::kPlugin:
      return "plugin";
    case AttentionType::kWorker:
      return "worker";
  }
  no_such_enumerator();
}
/// The kernel comes from a library or a program that the user names.
constexpr bool is_guest(AttentionType t) {
  return t == AttentionType::kPlugin || t == AttentionType::kWorker;
}
constexpr std::string_view name(PaddingMask m) {
  switch (m) {
    case PaddingMask::kNone:
      return "none";
    case PaddingMask::kRandom:
      return "random";
    case PaddingMask::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Sinks s) {
  switch (s) {
    case Sinks::kNone:
      return "none";
    case Sinks::kRandom:
      return "random";
    case Sinks::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Alibi a) {
  switch (a) {
    case Alibi::kNone:
      return "none";
    case Alibi::kStandard:
      return "standard";
    case Alibi::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Bias b) {
  switch (b) {
    case Bias::kNone:
      return "none";
    case Bias::kRandom:
      return "random";
    case Bias::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(BiasShape s) {
  switch (s) {
    case BiasShape::kShared:
      return "1x1";
    case BiasShape::kHead:
      return "1xh";
    case BiasShape::kBatch:
      return "bx1";
    case BiasShape::kBatchAndHead:
      return "bxh";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Ragged r) {
  switch (r) {
    case Ragged::kNone:
      return "none";
    case Ragged::kLengths:
      return "lengths";
    case Ragged::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(F32Math m) {
  switch (m) {
    case F32Math::kIeee:
      return "ieee";
    case F32Math::kBf16x6:
      return "bf16x6";
  }
  no_such_enumerator();
}
constexpr std::string_view name(GradSource s) {
  switch (s) {
    case GradSource::kOnes:
      return "ones";
    case GradSource::kRandom:
      return "random";
    case GradSource::kFile:
      return "file";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Values v) {
  switch (v) {
    case Values::kNormal:
      return "normal";
    case Values::kUniform:
      return "uniform";
    case Values::kPositive:
      return "positive";
    case Values::kConstant:
      return "constant";
    case Values::kOutlierChannel:
      return "outlier_channel";
    case Values::kOutlierRows:
      return "outlier_rows";
  }
  no_such_enumerator();
}
constexpr std::string_view name(Layout l) {
  switch (l) {
    case Layout::kBhsd:
      return "bhsd";
    case Layout::kBshd:
      return "bshd";
  }
  no_such_enumerator();
}

/// Real tensors instead of random ones. Either `bundle` (one .safetensors file) or q, k and v
/// (.npy or .safetensors, one tensor each). Empty strings are absent.
struct InputFiles {
  std::string bundle;
  std::string q, k, v;
  std::string d_o;    ///< with GradSource::kFile
  std::string mask;   ///< with PaddingMask::kFile
  std::string sinks;  ///< with Sinks::kFile
  std::string q_name = "q", k_name = "k", v_name = "v", do_name = "do", mask_name = "mask";
  std::string alibi;   ///< with Alibi::kFile
  std::string bias;    ///< with Bias::kFile
  std::string ragged;  ///< with Ragged::kFile
  std::string sinks_name = "sinks", alibi_name = "alibi_slopes", bias_name = "bias";
  Layout layout = Layout::kBhsd;

  bool any() const { return !bundle.empty() || !q.empty(); }
};

/// A soft cap is 0 or within these.
inline constexpr double kLeastSoftcap = 1e-6, kMostSoftcap = 1e6;
/// Rows of a page.
inline constexpr std::int64_t kMostPageSize = 1 << 20;

/// One attention problem: everything that decides the numbers, nothing that decides who computes.
struct Problem {
  Shape shape;
  /// Where shape.sequences come from. They are packed without padding; masks by position are
  /// aligned within each.
  Ragged ragged = Ragged::kNone;
  /// K and V lie in pages of so many rows of a pool, wherever there was room, as servers keep them;
  /// 0: one row behind the other.
  std::int64_t page_size = 0;
  std::optional<std::int64_t> own_pool_pages = {};  ///< of a file's pool; absent: one is made
  /// K and V come in pieces of so many keys, one after the other, as a context does that is too
  /// long to be at hand at once: a forward carries O and LSE in f32 from piece to piece, a backward
  /// has the LSE of all keys and adds to dQ. 0: at once.
  std::int64_t kv_chunk = 0;
  Pass pass = Pass::kForward;
  Dtype dtype = Dtype::kF32;               ///< of Q, O and their gradients
  F32Math f32_math = F32Math::kIeee;       ///< of f32 tensors: what products may be made of
  std::optional<Dtype> own_kv_dtype = {};  ///< absent: as dtype. kv_dtype() is what counts
  /// V is the first d_v columns of K, as in multi-head latent attention whose projections are
  /// absorbed into Q and O (DeepSeek-V2, 2024, section 2.1): it has no memory of its own.
  bool v_in_k = false;
  bool causal = false;
  /// A query sees so many keys before its own and after it; absent: all. Its own is aligned at the
  /// bottom right, that of query i is i + kv_len - q_len. A model's sliding window of W is causal
  /// with W - 1 on the left (FlashAttention's window_size).
  std::optional<std::int64_t> window_left = {}, window_right = {};
  PaddingMask padding = PaddingMask::kNone;
  double mask_keep = 0.5;       ///< probability that the random mask keeps a key
  std::optional<double> scale;  ///< absent: 1/sqrt(d)
  double softcap = 0;           ///< a scaled score s becomes softcap·tanh(s / softcap); 0: stays s
  /// A sink is one more logit of each query head, f32, in the denominator of softmax and in the
  /// LSE; it has no value (gpt-oss; "StreamingLLM", Xiao et al. 2024, has the idea).
  Sinks sinks = Sinks::kNone;
  /// Attention with linear biases (Press, Smith, Lewis 2022): the score of query i and key j loses
  /// slope·|i + kv_len - q_len - j|, after the soft cap; a slope for each query head.
  Alibi alibi = Alibi::kNone;
  /// What is added to the score of each pair, after ALiBi. -inf hides the pair; what is added to a
  /// pair that is not visible may be anything.
  Bias bias = Bias::kNone;
  BiasShape bias_shape = BiasShape::kHead;
  std::optional<Dtype> own_bias_dtype = {};  ///< absent: as dtype. bias_dtype() is what counts
  bool bias_grad = false;  ///< dbias is wanted, where there are a bias and gradients
  std::uint64_t seed = 0;
  Values values = Values::kNormal;  ///< of tensors that come from no file
  GradSource d_o = GradSource::kOnes;
  InputFiles files;

  double softmax_scale() const {
    return scale ? *scale : 1.0 / std::sqrt(static_cast<double>(shape.d));
  }
  constexpr Dtype kv_dtype() const { return own_kv_dtype.value_or(dtype); }  ///< of K and V
  /// Stored values of K and V are multiplied by a descale of their head.
  constexpr bool has_descales() const { return is_only_stored(kv_dtype()); }
  constexpr bool windowed() const { return window_left || window_right; }
  bool needs_gradients() const { return pass != Pass::kForward; }
  constexpr Dtype bias_dtype() const { return own_bias_dtype.value_or(dtype); }
  constexpr Dims bias_dims() const {
    const bool of_batch = bias_shape == BiasShape::kBatch || bias_shape == BiasShape::kBatchAndHead;
    const bool of_head = bias_shape == BiasShape::kHead || bias_shape == BiasShape::kBatchAndHead;
    return {of_batch ? shape.b : 1, of_head ? shape.h : 1, shape.q_len, shape.kv_len};
  }
  constexpr bool paged() const { return page_size > 0; }
  bool needs_bias_gradient() const { return bias_grad && bias != Bias::kNone && needs_gradients(); }
};

/// Pages that the keys of a batch element take, and those of the pool: a file's, or one that is
/// made for all of them and has some that nobody uses.
std::int64_t pages_of(const Problem& p, std::int64_t b);
std::int64_t pages_in_pool(const Problem& p);

/// A batch element of a ragged batch as a problem of its own, b = 1. Its lengths may be 0.
Problem sequence(const Problem& p, std::int64_t b);

/// Makes the windows of a problem, which had `kv_len` keys, as much shorter as it has fewer now: 0
/// only where they were.
void shorten_windows(Problem& p, std::int64_t kv_len);

/// nullopt for a well-formed problem; otherwise what is wrong and what would be right.
std::optional<Rejection> invalid(const Problem& p);

}  // namespace flashbench
