#pragma once

#include "cuda/contract/arguments.h"
#include "cuda/decode_sm80/decode_sm80_layout.h"
#include "cuda/fragments/accumulators.cuh"

/// The line of all key steps of all heads, and how it is cut into shares.
namespace flashbench::cuda::decode_sm80 {

using namespace fragments;

/// The keys that some query of a batch element sees, as kept ones, and the steps that they take. A
/// head that sees nothing has one step all the same: somebody writes its zeros.
struct HeadKeys {
  int end;           ///< behind the last key
  int first, steps;  ///< of kKeys keys each

  template <int kKeys>
  static __device__ __forceinline__ HeadKeys of(const Attention& a, int b) {
    const int begin = keys(a, b, 0).begin;
    const int end = keys(a, b, a.q_len - 1).end;
    const int first = begin / kKeys;
    return {end, first, max((end + kKeys - 1) / kKeys - first, 1)};
  }
};

/// A step of the line: the `position`-th. Heads follow one another, and their keys.
template <int kKeys>
struct Place {
  int position;
  int b, h_kv;
  int step;  ///< of the head: keys step · kKeys and those behind it
  int left;  ///< steps of the head from here on
  int end;   ///< behind the head's last key

  __device__ __forceinline__ bool sees_keys() const { return step * kKeys < end; }

  /// `steps` further, at whichever head that is.
  __device__ __forceinline__ void advance(const Attention& a, int steps) {
    position += steps;
    while (steps >= left) {
      steps -= left;
      if (++h_kv == a.h_kv) {
        h_kv = 0;
        if (++b == a.b) {  // the end of the line
          left = 0x7fffffff;
          return;
        }
      }
      const HeadKeys head = HeadKeys::of<kKeys>(a, b);
      step = head.first;
      left = head.steps;
      end = head.end;
    }
    step += steps;
    left -= steps;
  }
};

/// Steps of all heads. All lanes of a warp call it.
template <int kKeys>
__device__ __forceinline__ int steps_of_all(const Attention& a) {
  if (a.kept_before == nullptr) return HeadKeys::of<kKeys>(a, 0).steps * a.b * a.h_kv;
  int steps = 0;
  for (int b = lane(); b < a.b; b += 32) steps += HeadKeys::of<kKeys>(a, b).steps;
  return __reduce_add_sync(0xffffffffu, steps) * a.h_kv;
}

/// Where the line has its `position`-th step, which exists.
template <int kKeys>
__device__ __forceinline__ Place<kKeys> place_at(const Attention& a, int position) {
  int b = 0, before = 0;  // the batch element, and the steps before it
  HeadKeys head = HeadKeys::of<kKeys>(a, 0);
  if (a.kept_before == nullptr) {
    b = position / (head.steps * a.h_kv);
    before = b * head.steps * a.h_kv;
  } else {
    while (position >= before + head.steps * a.h_kv) {
      before += head.steps * a.h_kv;
      head = HeadKeys::of<kKeys>(a, ++b);
    }
  }
  const int h_kv = (position - before) / head.steps;
  const int within = position - before - h_kv * head.steps;
  return {position, b, h_kv, head.first + within, head.steps - within, head.end};
}

/// The line in equal runs, one a CTA, none of them empty: the first ones have a step more.
struct Shares {
  int ctas, each, longer;

  __device__ __forceinline__ Shares(int steps, int ctas)
      : ctas(ctas), each(steps / ctas), longer(steps - steps / ctas * ctas) {}
  __device__ __forceinline__ int begin(int cta) const { return cta * each + min(cta, longer); }
  /// Whose share has that position.
  __device__ __forceinline__ int owner(int position) const {
    const int in_longer = longer * (each + 1);
    return position < in_longer ? position / (each + 1) : longer + (position - in_longer) / each;
  }
};

}  // namespace flashbench::cuda::decode_sm80
