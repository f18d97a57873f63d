#pragma once

namespace flashbench {

/// x without its derivatives, for the maximum of a softmax: nothing depends on it, but
/// differentiated its rounding errors, of all keys, would end in the gradient of the one key that
/// has it. Types of automatic differentiation specialise it.
template <class T>
struct Passive {
  static T of(const T& x) { return x; }
};

}  // namespace flashbench
