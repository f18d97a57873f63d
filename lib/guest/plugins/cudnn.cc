// cuDNN's attention for GPUs as a plug-in, forward and backward, through NVIDIA's cudnn-frontend,
// which says a graph of operations to cuDNN and knows what each version of it can do. README.md
// beside this file says how to build it, what is timed and what is refused.
//
// The one file that includes the frontend: a minute to compile.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cudnn_graphs.h"
#include "cudnn_library.h"
#include "cudnn_problem.h"
#include "flashbench_kernel.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the frontend looks for cuDNN's functions there
}

namespace cudnn_plugin {
namespace {

const Library& library() {
  // Never destroyed, as all that cuDNN owns here: it would outlive the context.
  static const Library& loaded = *new Library(load_cudnn());
  return loaded;
}

/// One line for `why`.
fbk_status answer(fbk_status status, std::string text, char* why, std::size_t bytes) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::snprintf(why, bytes, "%s", text.c_str());
  return status;
}

/// Calls f, which returns a status and may throw.
template <typename F>
fbk_status guarded(char* why, std::size_t bytes, F&& f) {
  try {
    return f();
  } catch (const std::exception& e) {
    return answer(FBK_FAILED, e.what(), why, bytes);
  } catch (...) {
    return answer(FBK_FAILED, "an exception that is no std::exception", why, bytes);
  }
}

/// cuDNN's state for a device, made once. Null: it cannot be.
cudnnHandle_t handle_for(int device) {
  static auto& handles = *new std::unordered_map<int, cudnnHandle_t>;
  cudnnHandle_t& handle = handles[device];
  if (handle == nullptr && fe::detail::create_handle(&handle) != CUDNN_STATUS_SUCCESS)
    handle = nullptr;
  return handle;
}

/// Building takes a while, NVRTC included, and a problem is asked about before its plan is made:
/// graphs are kept.
Failure graphs_for(const fbk_problem& p, cudnnHandle_t handle, std::shared_ptr<Graphs>& graphs) {
  constexpr std::size_t kMostKept = 64;
  const auto key = [](const fbk_problem& q) {
    return std::tuple(q.pass, q.features, q.device.device_id, q.dtype.code, q.b, q.h, q.h_kv,
                      q.q_len, q.kv_len, q.d, q.d_v, q.window_left, q.window_right, q.scale);
  };
  static auto& kept = *new std::map<decltype(key(p)), std::shared_ptr<Graphs>>;
  const auto found = kept.find(key(p));
  if (found != kept.end()) {
    graphs = found->second;
    return {};
  }
  graphs = std::make_shared<Graphs>();
  const Failure failure = build_graphs(p, handle, *graphs);
  if (failure.status != FBK_OK) return failure;
  if (kept.size() == kMostKept) kept.clear();
  kept[key(p)] = graphs;
  return {};
}

// ---- tables in the memory of the GPU ----

/// What the plug-in itself calls of the CUDA runtime. Newer headers overload these names: their
/// types are written out.
struct Runtime {
  cudaError_t (*malloc)(void**, std::size_t);
  cudaError_t (*free)(void*);
  cudaError_t (*memcpy_async)(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t);
  cudaError_t (*memset_async)(void*, int, std::size_t, cudaStream_t);
  cudaError_t (*synchronize)(cudaStream_t);
  const char* (*error_string)(cudaError_t);
};

template <typename F>
void find(F*& function, const char* name) {
  function = reinterpret_cast<F*>(::dlsym(library().runtime, name));
  if (function == nullptr) throw std::runtime_error(std::string("this libcudart has no ") + name);
}

const Runtime& runtime() {
  static const Runtime found = [] {
    Runtime r;
    find(r.malloc, "cudaMalloc");
    find(r.free, "cudaFree");
    find(r.memcpy_async, "cudaMemcpyAsync");
    find(r.memset_async, "cudaMemsetAsync");
    find(r.synchronize, "cudaStreamSynchronize");
    find(r.error_string, "cudaGetErrorString");
    return r;
  }();
  return found;
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + runtime().error_string(error));
}

/// Copies and waits: not for timed calls.
void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check(runtime().memcpy_async(to, from, bytes, kind, stream), "cudaMemcpyAsync");
  check(runtime().synchronize(stream), "cudaStreamSynchronize");
}

template <typename T>
std::vector<T> read(const fbk_tensor& tensor, std::int64_t count, cudaStream_t stream) {
  std::vector<T> values(static_cast<std::size_t>(count));
  copy(values.data(), tensor.data, values.size() * sizeof(T), cudaMemcpyDeviceToHost, stream);
  return values;
}

}  // namespace
}  // namespace cudnn_plugin

using namespace cudnn_plugin;

struct fbk_plan {
  fbk_problem problem;
  cudnnHandle_t handle;
  std::shared_ptr<Graphs> graphs;
  void* tables = nullptr;  // made by the first call: what they say stays
  std::unordered_map<std::int64_t, void*> pointers;
};

namespace cudnn_plugin {
namespace {

/// Reads what says the lengths and writes the tables. Not in a timed call: the first one is none.
Failure make_tables(fbk_plan& plan, const fbk_call& call) {
  const fbk_problem& p = plan.problem;
  const auto stream = static_cast<cudaStream_t>(call.stream);
  Tables tables;
  const char* reason = nullptr;
  if (uses(p, FBK_RAGGED)) {
    const auto cu_q = read<std::int32_t>(*call.cu_seqlens_q, p.b + 1, stream);
    const auto cu_k = read<std::int32_t>(*call.cu_seqlens_k, p.b + 1, stream);
    reason = tables_of_sequences(p, cu_q.data(), cu_k.data(), tables);
  } else {
    const auto mask = read<std::uint8_t>(*call.key_mask, p.b * p.kv_len, stream);
    reason = lengths_of_mask(p, mask.data(), tables);
  }
  if (reason != nullptr) return {FBK_UNSUPPORTED, reason};
  constexpr std::size_t kAlignment = 64;  // in numbers: 256 bytes
  const std::size_t stride = (static_cast<std::size_t>(p.b) / kAlignment + 1) * kAlignment;
  std::vector<std::int32_t> all(kTables * stride);
  for (std::size_t t = 0; t < kTables; ++t)
    std::copy(tables[t].begin(), tables[t].end(), all.begin() + t * stride);
  const std::size_t bytes = all.size() * sizeof all[0];
  if (runtime().malloc(&plan.tables, bytes) != cudaSuccess) {
    plan.tables = nullptr;
    return {FBK_NO_MEMORY, "cudaMalloc for the lengths of sequences"};
  }
  copy(plan.tables, all.data(), bytes, cudaMemcpyHostToDevice, stream);
  for (std::size_t t = 0; t < kTables; ++t)
    plan.pointers[kFirstTableUid + static_cast<std::int64_t>(t)] =
        static_cast<std::int32_t*>(plan.tables) + t * stride;
  return {};
}

/// Keys that are padding have no gradients, and cuDNN need not write there.
void clear_gradients(const fbk_plan& plan, const fbk_call& call, cudaStream_t stream) {
  const fbk_problem& p = plan.problem;
  const auto clear = [&](const fbk_tensor& tensor, std::int64_t d) {
    const auto bytes = static_cast<std::size_t>(p.b * p.h_kv * p.kv_len * d * p.dtype.bits / 8);
    check(runtime().memset_async(tensor.data, 0, bytes, stream), "cudaMemsetAsync");
  };
  clear(*call.dk, p.d);
  clear(*call.dv, p.d_v);
}

/// Queues some passes of a plan.
Failure queue(fbk_plan& plan, const fbk_call& call, std::int32_t passes) {
  const auto stream = static_cast<cudaStream_t>(call.stream);
  if (uses(plan.problem, FBK_RAGGED | FBK_KEY_MASK) && plan.tables == nullptr)
    if (const Failure failure = make_tables(plan, call); failure.status != FBK_OK) return failure;
  const std::pair<Uid, const fbk_tensor*> tensors[] = {
      {kQ, call.q},    {kK, call.k},   {kV, call.v},   {kO, call.o},  {kLse, call.lse},
      {kDo, call.d_o}, {kDq, call.dq}, {kDk, call.dk}, {kDv, call.dv}};
  for (const auto& [uid, tensor] : tensors)
    if (tensor != nullptr) plan.pointers[uid] = tensor->data;
  if (fe::detail::set_stream(plan.handle, stream) != CUDNN_STATUS_SUCCESS)
    return {FBK_DEVICE_ERROR, "cudnnSetStream failed"};
  const auto execute = [&](const fe::graph::Graph& graph) -> Failure {
    auto status = graph.execute(plan.handle, plan.pointers, call.workspace);
    if (status.is_good()) return {};
    return {FBK_FAILED, status.get_message()};
  };
  if ((passes & FBK_FORWARD) != 0)
    if (const Failure failure = execute(*plan.graphs->forward); failure.status != FBK_OK)
      return failure;
  if ((passes & FBK_BACKWARD) == 0) return {};
  if (uses(plan.problem, FBK_KEY_MASK)) clear_gradients(plan, call, stream);
  return execute(*plan.graphs->backward);
}

fbk_status make_plan(const fbk_host*, const fbk_problem* p, fbk_plan** out,
                     std::size_t* workspace_bytes, char* why, std::size_t bytes) {
  return guarded(why, bytes, [&] {
    if (const char* reason = refuses(*p)) return answer(FBK_UNSUPPORTED, reason, why, bytes);
    const cudnnHandle_t handle = handle_for(p->device.device_id);
    if (handle == nullptr)
      return answer(FBK_DEVICE_ERROR, "cudnnCreate: " + fe::detail::get_last_error_string_(), why,
                    bytes);
    std::shared_ptr<Graphs> graphs;
    const Failure failure = graphs_for(*p, handle, graphs);
    if (failure.status != FBK_OK)
      return answer(failure.status, "cuDNN: " + failure.text, why, bytes);
    *workspace_bytes = static_cast<std::size_t>(graphs->workspace_bytes);
    *out = new fbk_plan{*p, handle, graphs, nullptr, {}};
    return FBK_OK;
  });
}

fbk_status queue_and_answer(fbk_plan* plan, const fbk_call* call, std::int32_t passes, char* why,
                            std::size_t bytes) {
  return guarded(why, bytes, [&] {
    const Failure failure = queue(*plan, *call, passes);
    if (failure.status == FBK_OK) return FBK_OK;
    return answer(failure.status, failure.text, why, bytes);
  });
}

fbk_status prepare(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes) {
  return queue_and_answer(plan, call, FBK_FORWARD, why, bytes);
}

fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, std::size_t bytes) {
  return queue_and_answer(plan, call, plan->problem.pass, why, bytes);
}

void destroy(fbk_plan* plan) {
  if (plan->tables != nullptr) runtime().free(plan->tables);
  delete plan;
}

fbk_status plan_without_cudnn(const fbk_host*, const fbk_problem*, fbk_plan**, std::size_t*,
                              char* why, std::size_t bytes) {
  return answer(FBK_UNSUPPORTED, library().missing, why, bytes);
}

std::string build_text() {
  if (library().cudnn == nullptr) return {};
  return "cuDNN " + shown_version(library().version) + ", frontend " +
         std::to_string(CUDNN_FRONTEND_MAJOR_VERSION) + "." +
         std::to_string(CUDNN_FRONTEND_MINOR_VERSION) + "." +
         std::to_string(CUDNN_FRONTEND_PATCH_VERSION);
}

}  // namespace
}  // namespace cudnn_plugin

const fbk_kernel* flashbench_kernel(std::uint32_t host_version, std::uint32_t i) {
  if (host_version != FBK_VERSION || i > 0) return nullptr;
  const bool loaded = library().missing.empty();
  cudnn_frontend::cudnn_dlhandle = library().cudnn;
  static const std::string build = build_text();
  static const fbk_kernel kernel = {sizeof(fbk_kernel),
                                    FBK_VERSION,
                                    "cudnn",
                                    loaded ? "cuDNN's fused attention on GPUs" : "not installed",
                                    build.c_str(),
                                    FBK_WRITES_LSE,
                                    FBK_BHSD,
                                    loaded ? make_plan : plan_without_cudnn,
                                    prepare,
                                    run,
                                    destroy,
                                    nullptr,
                                    FBK_ROUNDS_QUERY_HEADS,
                                    0};
  return &kernel;
}
