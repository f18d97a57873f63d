#pragma once

#include "core/dtype.h"
#include "cuda/contract/arguments.h"

// Between the dtypes of problems and the element types of CUDA kernels. A dtype that no family
// supports has no element type, and is refused before anybody asks.
namespace flashbench::cuda {

/// How elements are stored.
using CudaElements = ElementTypes<float, Bf16, F16>;

constexpr Dtype dtype_of(Element e) {
  switch (e) {
    case Element::kF32:
      return Dtype::kF32;
    case Element::kBf16:
      return Dtype::kBf16;
    case Element::kF16:
      return Dtype::kF16;
  }
  no_such_enumerator();
}

constexpr Element element_of(Dtype t) {
  for (const Element e : kEnumerators<Element>)
    if (dtype_of(e) == t) return e;
  no_such_enumerator();
}

}  // namespace flashbench::cuda
