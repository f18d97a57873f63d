#pragma once

#include <string_view>

#include "core/enum_set.h"
#include "core/problem.h"

namespace flashbench {

/// What a problem may ask for beyond O = softmax(scale·QKᵀ)·V. A kernel that does not name a
/// feature is never given a problem that uses it; see Supports.
enum class Feature {
  kGradients,
  kCausal,
  kKeyMask,
  kWindow,
  kSoftcap,
  kAlibi,
  kSinks,
  kBias,
  kBiasGradient,
  kPages,     ///< K and V lie in pages of a pool
  kRagged,    ///< sequences of their own lengths
  kValueDim,  ///< V and O are as wide as d_v, which is not d
  kKvDtype,   ///< K and V are of another dtype than Q and O
  /// V is the first columns of K.
  kValuesInKeys,
  kKvChunk,  ///< K and V come in pieces
  kBf16x6,   ///< f32 operands are split into bf16 ones
};

using Features = EnumSet<Feature>;

/// The flag that asks for it, as a refusal names it.
constexpr std::string_view flag(Feature f) {
  switch (f) {
    case Feature::kGradients:
      return "--pass backward";
    case Feature::kCausal:
      return "--causal";
    case Feature::kKeyMask:
      return "--mask";
    case Feature::kWindow:
      return "--window_left or --window_right";
    case Feature::kSoftcap:
      return "--softcap";
    case Feature::kAlibi:
      return "--alibi";
    case Feature::kSinks:
      return "--sinks";
    case Feature::kBias:
      return "--bias";
    case Feature::kBiasGradient:
      return "--bias_grad";
    case Feature::kPages:
      return "--page_size";
    case Feature::kRagged:
      return "--ragged";
    case Feature::kValueDim:
      return "--d_v";
    case Feature::kKvDtype:
      return "--kv_dtype";
    case Feature::kValuesInKeys:
      return "--v_in_k";
    case Feature::kKvChunk:
      return "--kv_chunk";
    case Feature::kBf16x6:
      return "--f32_math bf16x6";
  }
  no_such_enumerator();
}

constexpr bool uses(const Problem& p, Feature f) {
  switch (f) {
    case Feature::kGradients:
      return p.needs_gradients();
    case Feature::kCausal:
      return p.causal;
    case Feature::kKeyMask:
      return p.padding != PaddingMask::kNone;
    case Feature::kWindow:
      return p.windowed();
    case Feature::kSoftcap:
      return p.softcap > 0;
    case Feature::kAlibi:
      return p.alibi != Alibi::kNone;
    case Feature::kSinks:
      return p.sinks != Sinks::kNone;
    case Feature::kBias:
      return p.bias != Bias::kNone;
    case Feature::kBiasGradient:
      return p.needs_bias_gradient();
    case Feature::kPages:
      return p.paged();
    case Feature::kRagged:
      return p.ragged != Ragged::kNone;
    case Feature::kValueDim:
      return p.shape.d_v() != p.shape.d;
    case Feature::kKvDtype:
      return p.kv_dtype() != p.dtype;
    case Feature::kValuesInKeys:
      return p.v_in_k;
    case Feature::kKvChunk:
      return p.kv_chunk > 0;
    case Feature::kBf16x6:
      return p.f32_math == F32Math::kBf16x6;
  }
  no_such_enumerator();
}

/// K and V in pages, or stored in 8 bits, and V within K are for a forward pass alone.
constexpr bool can_have_gradients(const Problem& p) {
  return !p.paged() && !p.has_descales() && !p.v_in_k;
}

constexpr Features used(const Problem& p) {
  Features features;
  for (const Feature f : kEnumerators<Feature>)
    if (uses(p, f)) features.add(f);
  return features;
}

}  // namespace flashbench
