#pragma once

#include <cstddef>

#include "core/tensor.h"
#include "cuda/contract/arguments.h"
#include "cuda/contract/family.h"
#include "cuda/device/device.h"

// What stands between scaled products and softmax, as numbers and buffers on a device.
namespace flashbench::cuda {

/// How exponents come from q.k.
struct ScoreFactors {
  ScoreChange change;
  float scale_log2;      ///< Attention::scale_log2
  float product_factor;  ///< what the product of normal attention multiplies by
};
ScoreFactors score_factors(const KernelFamily& family, const Problem& p);

/// What soft cap, ALiBi and sinks need on the device beside the tensors that every problem has.
class ScoreOperands {
 public:
  ScoreOperands(Device& device, const KernelFamily& family, const Problem& p);

  /// What the constructor allocates: tensors of the user's, and the rest.
  static std::size_t tensor_bytes(const Problem& p);
  static std::size_t workspace_bytes(const KernelFamily& family, const Problem& p);

  void describe(Attention& a) const;
  void prepare(const Inputs& in);
  void collect(Outputs& out);

 private:
  Device& device_;
  ScoreFactors factors_;
  DeviceBuffer score_slopes_, alibi_slopes_, sinks_, dsinks_, delta_;
};

}  // namespace flashbench::cuda
