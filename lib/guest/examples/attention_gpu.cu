// attention.cu as a plug-in for a GPU, through the CUDA runtime:
//
//     nvcc -O3 -arch=sm_80 -shared -Xcompiler -fPIC attention_gpu.cu -o attention_gpu.so
//     flashbench check --backend cuda --plugin ./attention_gpu.so
//     flashbench bench --backend cuda --plugin ./attention_gpu.so --h 8 --q_len 1k --d 64
#include <cstdio>

#include "attention.cu"
#include "flashbench_kernel.h"

struct fbk_plan {
  fbk_problem problem;
};

namespace {

constexpr uint32_t kFeatures = FBK_GPU | FBK_CAUSAL;

fbk_status refuse(const char* reason, char* why, size_t bytes) {
  std::snprintf(why, bytes, "%s", reason);
  return FBK_UNSUPPORTED;
}

fbk_status plan(const fbk_host*, const fbk_problem* p, fbk_plan** out, size_t* workspace_bytes,
                char* why, size_t bytes) {
  if ((p->features & FBK_GPU) == 0) return refuse("for GPUs: add --backend cuda", why, bytes);
  if (p->pass != FBK_FORWARD || (p->features & ~kFeatures) != 0)
    return refuse("forward alone, with a causal mask at most", why, bytes);
  if (p->dtype.code != FBK_FLOAT || p->dtype.bits != 32) return refuse("f32 alone", why, bytes);
  if (p->d > kMostD) return refuse("d up to 128", why, bytes);
  *workspace_bytes = 0;
  *out = new fbk_plan{*p};
  return FBK_OK;
}

const float* in(const fbk_tensor* t) { return static_cast<const float*>(t->data); }
float* out(const fbk_tensor* t) { return static_cast<float*>(t->data); }

// Queues the launch on the stream, and waits for nothing: the time is the GPU's.
fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  const fbk_problem& p = plan->problem;
  const dim3 grid((p.q_len + kQueries - 1) / kQueries, p.h, p.b);
  attention<<<grid, 32 * kQueries, 0, static_cast<cudaStream_t>(call->stream)>>>(
      in(call->q), in(call->k), in(call->v), out(call->o), out(call->lse), p.scale, p.h / p.h_kv,
      p.q_len, p.kv_len, p.d, (p.features & FBK_CAUSAL) != 0);
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return FBK_OK;
  std::snprintf(why, bytes, "%s", cudaGetErrorString(error));
  return FBK_DEVICE_ERROR;
}

const fbk_kernel kernel = {sizeof(fbk_kernel),
                           FBK_VERSION,
                           "attention_gpu",
                           "textbook attention, one warp a query",
                           nullptr,
                           FBK_WRITES_LSE,
                           FBK_BHSD,
                           plan,
                           nullptr,
                           run,
                           [](fbk_plan* plan) { delete plan; },
                           nullptr,
                           0,
                           0};

}  // namespace

extern "C" const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  return host_version == FBK_VERSION && i == 0 ? &kernel : nullptr;
}
