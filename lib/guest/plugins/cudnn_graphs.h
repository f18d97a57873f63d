// A problem as graphs of operations, which cuDNN makes plans of. Included by cudnn.cc alone: so the
// frontend is compiled once.
#pragma once

#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "cudnn_problem.h"
#include "flashbench_kernel.h"

namespace cudnn_plugin {

namespace fe = cudnn_frontend;
using TensorAttributes = fe::graph::Tensor_attributes;
using TensorPtr = std::shared_ptr<TensorAttributes>;
using Implementation = fe::AttentionImplementation_t;

/// What went wrong, and whether that is the problem's fault or the device's.
struct Failure {
  fbk_status status = FBK_OK;
  std::string text;
};

enum Uid : std::int64_t { kQ = 1, kK, kV, kO, kLse, kDo, kDq, kDk, kDv };
constexpr std::int64_t kFirstTableUid = 100;

/// The rows of a tensor, [b, heads, rows, d], and where each sequence of a ragged batch begins.
struct Rows {
  const char* name;
  std::int64_t heads, rows, d;
  Table offsets;
};

inline Rows rows_of(const fbk_problem& p, Uid uid) {
  switch (uid) {
    case kQ:
      return {"Q", p.h, p.q_len, p.d, kQueryOffsets};
    case kDq:
      return {"dQ", p.h, p.q_len, p.d, kQueryOffsets};
    case kK:
      return {"K", p.h_kv, p.kv_len, p.d, kKeyOffsets};
    case kDk:
      return {"dK", p.h_kv, p.kv_len, p.d, kKeyOffsets};
    case kV:
      return {"V", p.h_kv, p.kv_len, p.d_v, kValueOffsets};
    case kDv:
      return {"dV", p.h_kv, p.kv_len, p.d_v, kValueOffsets};
    case kDo:
      return {"dO", p.h, p.q_len, p.d_v, kOutputOffsets};
    case kLse:
      return {"LSE", p.h, p.q_len, 1, kLseOffsets};
    default:
      return {"O", p.h, p.q_len, p.d_v, kOutputOffsets};
  }
}

/// Describes a problem to cuDNN, one pass for one graph.
class Builder {
 public:
  explicit Builder(const fbk_problem& p) : p_(p), graph_(std::make_shared<fe::graph::Graph>()) {
    const bool bf16 = p.dtype.code == FBK_BFLOAT;
    graph_->set_io_data_type(bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }

  /// O and LSE.
  std::shared_ptr<fe::graph::Graph> forward(Implementation implementation) {
    auto options = fe::graph::SDPA_attributes()
                       .set_name("attention")
                       .set_generate_stats(true)
                       .set_implementation(implementation);
    set_options(options);
    auto [o, lse] = graph_->sdpa(input(kQ), input(kK), input(kV), options);
    output(*o, kO);
    output(*lse, kLse);
    return graph_;
  }

  /// dQ, dK and dV.
  std::shared_ptr<fe::graph::Graph> backward() {
    auto options = fe::graph::SDPA_backward_attributes()
                       .set_name("attention_backward")
                       .set_deterministic_algorithm(uses(p_, FBK_DETERMINISTIC));
    set_options(options);
    auto [dq, dk, dv] = graph_->sdpa_backward(input(kQ), input(kK), input(kV), input(kO),
                                              input(kDo), input(kLse), options);
    output(*dq, kDq);
    output(*dk, kDk);
    output(*dv, kDv);
    return graph_;
  }

 private:
  TensorPtr table(Table which) {
    if (tables_[which] == nullptr) {
      const bool is_lengths = which == kQueryLengths || which == kKeyLengths;
      tables_[which] = graph_->tensor(TensorAttributes()
                                          .set_name("table " + std::to_string(which))
                                          .set_uid(kFirstTableUid + which)
                                          .set_dim({is_lengths ? p_.b : p_.b + 1, 1, 1, 1})
                                          .set_stride({1, 1, 1, 1})
                                          .set_data_type(fe::DataType_t::INT32));
    }
    return tables_[which];
  }

  void describe(TensorAttributes& tensor, Uid uid) {
    const auto [name, heads, rows, d, offsets] = rows_of(p_, uid);
    tensor.set_name(name).set_uid(uid).set_dim({p_.b, heads, rows, d});
    if (uses(p_, FBK_RAGGED))
      tensor.set_stride({heads * rows * d, d, heads * d, 1}).set_ragged_offset(table(offsets));
    else
      tensor.set_stride({heads * rows * d, rows * d, d, 1});
    if (uid == kLse) tensor.set_data_type(fe::DataType_t::FLOAT);
  }

  TensorPtr input(Uid uid) {
    TensorAttributes tensor;
    describe(tensor, uid);
    return graph_->tensor(tensor);
  }

  void output(TensorAttributes& tensor, Uid uid) {
    describe(tensor, uid);
    tensor.set_output(true);
  }

  /// What both passes have.
  template <typename Options>
  void set_options(Options& options) {
    options.set_attn_scale(p_.scale);
    const Band band = band_of(p_);
    if (band.left || band.right)
      options.set_diagonal_alignment(band.bottom_right ? fe::DiagonalAlignment_t::BOTTOM_RIGHT
                                                       : fe::DiagonalAlignment_t::TOP_LEFT);
    if (band.left) options.set_diagonal_band_left_bound(static_cast<int>(*band.left));
    if (band.right) options.set_diagonal_band_right_bound(static_cast<int>(*band.right));
    if (uses(p_, FBK_RAGGED | FBK_KEY_MASK))
      options.set_padding_mask(true)
          .set_seq_len_q(table(kQueryLengths))
          .set_seq_len_kv(table(kKeyLengths));
  }

  const fbk_problem& p_;
  std::shared_ptr<fe::graph::Graph> graph_;
  std::array<TensorPtr, kTables> tables_;
};

/// Plans of cuDNN's own for a problem, on one device.
struct Graphs {
  std::shared_ptr<fe::graph::Graph> forward, backward;  // null: not of this pass
  std::int64_t workspace_bytes = 0;
};

/// Of the engines that cuDNN's heuristics propose the first one that can be built.
inline Failure build(fe::graph::Graph& graph, cudnnHandle_t handle, std::int64_t& workspace_bytes) {
  std::int64_t bytes = 0;
  auto status = graph.build(handle, {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
  if (status.is_good()) status = graph.get_workspace_size(bytes);
  workspace_bytes = std::max(workspace_bytes, bytes);
  if (status.is_good()) return {};
  const bool is_device = status.get_code() == fe::error_code_t::CUDA_API_FAILED ||
                         status.get_code() == fe::error_code_t::HANDLE_ERROR;
  return {is_device ? FBK_DEVICE_ERROR : FBK_UNSUPPORTED, status.get_message()};
}

/// Newer versions have one operation for attention, which the frontend takes where it may; where
/// no engine has it for this GPU, the older description by matrix products and softmax may do.
inline Failure build_forward(const fbk_problem& p, cudnnHandle_t handle, Graphs& graphs) {
  Failure failure;
  for (const Implementation i : {Implementation::AUTO, Implementation::COMPOSITE}) {
    graphs.forward = Builder(p).forward(i);
    failure = build(*graphs.forward, handle, graphs.workspace_bytes);
    if (failure.status != FBK_UNSUPPORTED) return failure;
  }
  return failure;
}

inline Failure build_graphs(const fbk_problem& p, cudnnHandle_t handle, Graphs& graphs) {
  // A backward pass alone has its forward in prepare().
  Failure failure = build_forward(p, handle, graphs);
  if (failure.status != FBK_OK || (p.pass & FBK_BACKWARD) == 0) return failure;
  graphs.backward = Builder(p).backward();
  return build(*graphs.backward, handle, graphs.workspace_bytes);
}

}  // namespace cudnn_plugin
