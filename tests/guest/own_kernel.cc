// The program's own `flash` for the processor, as a plug-in: judged and timed like the built-in
// one, it must be as right and as fast. Knows every feature, so that the suite of check tries all
// that the interface hands over.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "core/problem.h"
#include "core/sequences.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "data/inputs.h"
#include "data/layout.h"
#include "guest/flashbench_kernel.h"
#include "kernel/kernel.h"

namespace fb = flashbench;

namespace {

fb::Backend& processor() {
  static fb::cpu::CpuBackend backend({});
  return backend;
}

fb::Dtype dtype_of(fbk_dtype t) {
  switch (t.code) {
    case FBK_BFLOAT:
      return fb::Dtype::kBf16;
    case FBK_E4M3FN:
      return fb::Dtype::kE4m3;
    case FBK_E5M2:
      return fb::Dtype::kE5m2;
    default:
      return t.bits == 32 ? fb::Dtype::kF32 : fb::Dtype::kF16;
  }
}

std::optional<std::int64_t> unless_unbounded(std::int64_t window) {
  return window < 0 ? std::nullopt : std::optional(window);
}

fb::Pass pass_of(std::int32_t bits) {
  if (bits == FBK_FORWARD) return fb::Pass::kForward;
  return bits == FBK_BACKWARD ? fb::Pass::kBackward : fb::Pass::kBoth;
}

fb::BiasShape bias_shape(const fbk_problem& p) {
  if (p.bias_b > 1) return p.bias_h > 1 ? fb::BiasShape::kBatchAndHead : fb::BiasShape::kBatch;
  return p.bias_h > 1 ? fb::BiasShape::kHead : fb::BiasShape::kShared;
}

fb::Problem problem_of(const fbk_problem& p) {
  const auto has = [&](std::uint32_t bit) { return (p.features & bit) != 0; };
  fb::Problem q;
  q.shape = {p.b, p.h, p.h_kv, p.q_len, p.kv_len, p.d};
  if (p.d_v != p.d) q.shape.own_d_v = p.d_v;
  q.pass = pass_of(p.pass);
  q.dtype = dtype_of(p.dtype);
  if (has(FBK_KV_DTYPE)) q.own_kv_dtype = dtype_of(p.kv_dtype);
  q.causal = has(FBK_CAUSAL);
  q.window_left = unless_unbounded(p.window_left);
  q.window_right = unless_unbounded(p.window_right);
  q.padding = has(FBK_KEY_MASK) ? fb::PaddingMask::kRandom : fb::PaddingMask::kNone;
  q.scale = p.scale;
  if (has(FBK_SOFTCAP))
    q.softcap = std::max<double>(p.softcap, fb::kLeastSoftcap);  // as f32 it is less
  q.sinks = has(FBK_SINKS) ? fb::Sinks::kRandom : fb::Sinks::kNone;
  q.alibi = has(FBK_ALIBI) ? fb::Alibi::kStandard : fb::Alibi::kNone;
  q.bias = has(FBK_BIAS) ? fb::Bias::kRandom : fb::Bias::kNone;
  if (has(FBK_BIAS)) {
    q.bias_shape = bias_shape(p);
    q.own_bias_dtype = dtype_of(p.bias_dtype);
  }
  q.bias_grad = has(FBK_BIAS_GRADIENT);
  q.page_size = p.page_size;
  q.v_in_k = has(FBK_VALUES_IN_KEYS);
  return q;
}

std::int64_t count_of(const fbk_tensor& t) {
  std::int64_t n = 1;
  for (std::int32_t i = 0; i < t.ndim; ++i) n *= t.shape[i];
  return n;
}

template <typename T>
std::vector<T> values_of(const fbk_tensor* t) {
  if (t == nullptr) return {};
  const T* data = static_cast<const T*>(t->data);
  return {data, data + count_of(*t)};
}

/// A tensor over the caller's memory; of a ragged batch a copy, whose heads lie apart.
fb::Tensor tensor_of(const fbk_tensor* t, const fb::Dims& dims) {
  if (t == nullptr) return {};
  const fb::Dtype dtype = dtype_of(t->dtype);
  if (dims.first_row == nullptr) return {dtype, dims, t->data};
  fb::Tensor copy(dtype, dims);
  fb::data::read_tensor(
      [&](std::uint64_t offset, std::span<std::byte> to) {
        std::memcpy(to.data(), static_cast<const std::byte*>(t->data) + offset, to.size());
      },
      fb::Layout::kBhsd, copy);
  return copy;
}

void give_back(const fb::Tensor& from, fbk_tensor* to) {
  if (to == nullptr || from.dims().first_row == nullptr) return;
  auto* at = static_cast<std::byte*>(to->data);
  fb::data::write_tensor(from, fb::Layout::kBhsd, [&](std::span<const std::byte> piece) {
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  });
}

const fb::Sequences* sequences_of(const fbk_call& call) {
  const auto q = values_of<std::int32_t>(call.cu_seqlens_q),
             k = values_of<std::int32_t>(call.cu_seqlens_k);
  std::vector<fb::SequenceLengths> lengths;
  for (std::size_t i = 0; i + 1 < q.size(); ++i)
    lengths.push_back({q[i + 1] - q[i], k[i + 1] - k[i]});
  return fb::Sequences::of(lengths);
}

fb::Dims pool_dims(const fbk_tensor& t) { return {t.shape[0], t.shape[1], t.shape[2], t.shape[3]}; }

}  // namespace

/// Planned at its first call, where the lengths of sequences and the masks are known.
struct fbk_plan {
  fbk_problem asked{};
  fb::Problem problem;
  fb::Execution execution;
  const fb::Kernel* kernel = nullptr;
  fb::Inputs in;
  fb::Outputs out;
  std::unique_ptr<fb::Plan> own;

  void read(const fbk_call& call) {
    if ((asked.features & FBK_RAGGED) != 0) {
      problem.ragged = fb::Ragged::kLengths;
      problem.shape.set(sequences_of(call));
    }
    const fb::Shape& s = problem.shape;
    in.q = tensor_of(call.q, s.q_dims());
    in.v_in_k = problem.v_in_k;
    if (problem.paged()) {
      in.pages.k = tensor_of(call.k, pool_dims(*call.k));
      if (call.v != nullptr) in.pages.v = tensor_of(call.v, pool_dims(*call.v));
      in.pages.block_table = values_of<std::int32_t>(call.block_table);
      problem.own_pool_pages = call.k->shape[0];
    } else {
      in.k = tensor_of(call.k, s.k_dims());
      in.v = tensor_of(call.v, s.v_dims());
    }
    in.key_mask = values_of<std::uint8_t>(call.key_mask);
    in.sinks = values_of<float>(call.sinks);
    in.alibi_slopes = values_of<float>(call.alibi_slopes);
    if (call.bias != nullptr) in.bias = tensor_of(call.bias, problem.bias_dims());
    in.k_scale = values_of<float>(call.k_scale);
    in.v_scale = values_of<float>(call.v_scale);
    out.o = tensor_of(call.o, s.o_dims());
    out.lse = tensor_of(call.lse, s.lse_dims());
    out.dq = tensor_of(call.dq, s.q_dims());
    out.dk = tensor_of(call.dk, s.k_dims());
    out.dv = tensor_of(call.dv, s.v_dims());
    if (call.dsinks != nullptr) out.dsinks = tensor_of(call.dsinks, s.sink_dims());
    if (call.dbias != nullptr) out.dbias = tensor_of(call.dbias, problem.bias_dims());
  }

  void write(const fbk_call& call) {
    give_back(out.o, call.o);
    give_back(out.lse, call.lse);
    give_back(out.dq, call.dq);
    give_back(out.dk, call.dk);
    give_back(out.dv, call.dv);
  }

  fb::Operands io(const fbk_call& call) {
    if (!own || (asked.features & FBK_RAGGED) != 0) read(call);  // of which it has copies
    if (!own) {
      own = kernel->plan(problem, execution, in);
      if (problem.pass != fb::Pass::kBackward) own->prepare({&in, &out});
    }
    in.d_o = tensor_of(call.d_o, problem.shape.o_dims());
    return {&in, &out};
  }
};

namespace {

fbk_status failed(const std::exception& e, char* why, std::size_t bytes) {
  std::strncpy(why, e.what(), bytes - 1);
  return FBK_FAILED;
}

constexpr std::uint32_t kFeatures = 2 * FBK_DETERMINISTIC - 1;  // but for GPUs

fbk_status plan(const fbk_host*, const fbk_problem* p, fbk_plan** out, std::size_t* workspace_bytes,
                char* why, std::size_t bytes) try {
  if ((p->features & ~kFeatures) != 0) {
    std::strncpy(why, "a feature that came later", bytes - 1);
    return FBK_UNSUPPORTED;
  }
  auto plan = std::make_unique<fbk_plan>();
  plan->asked = *p;
  plan->problem = problem_of(*p);
  fb::ExecutionRequest asked;
  asked.threads = p->threads;
  asked.deterministic = (p->features & FBK_DETERMINISTIC) != 0;
  plan->execution = processor().execution(asked, plan->problem.dtype);
  std::string refused = "no kernel";
  for (const fb::Kernel* k : processor().kernels()) {
    if (k->info().type != fb::AttentionType::kFlash) continue;
    const auto rejection = k->refuses(plan->problem, plan->execution);
    if (!rejection) {
      plan->kernel = k;
      *workspace_bytes = 0;  // it allocates its own
      *out = plan.release();
      return FBK_OK;
    }
    refused = rejection->reason;
  }
  std::strncpy(why, refused.c_str(), bytes - 1);
  return FBK_UNSUPPORTED;
} catch (const std::exception& e) {
  return failed(e, why, bytes);
}

fbk_status prepare(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes) try {
  const fb::Operands io = plan->io(*call);
  plan->own->prepare(io);
  plan->write(*call);
  return FBK_OK;
} catch (const std::exception& e) {
  return failed(e, why, bytes);
}

fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes) try {
  const fb::Operands io = plan->io(*call);
  plan->own->launch(io);
  plan->write(*call);
  return FBK_OK;
} catch (const std::exception& e) {
  return failed(e, why, bytes);
}

void destroy(fbk_plan* plan) { delete plan; }

constexpr fbk_kernel kKernel = {sizeof(fbk_kernel),
                                FBK_VERSION,
                                "own_flash",
                                "cpu_flash as a plug-in",
                                "tests",
                                FBK_WRITES_LSE,
                                0,
                                plan,
                                prepare,
                                run,
                                destroy,
                                nullptr,
                                0,
                                0};

}  // namespace

extern "C" const fbk_kernel* flashbench_kernel(std::uint32_t version, std::uint32_t i) {
  return version == FBK_VERSION && i == 0 ? &kKernel : nullptr;
}
