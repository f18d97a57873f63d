/* A plug-in for GPUs that calls the driver itself, as compilers' ahead-of-time code does: the
 * kernel is the PTX of examples/attention.cu, GUEST_PTX names its file. ATTACK chooses what must
 * not pass; what is computed otherwise is right. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flashbench_kernel.h"

typedef int Result;
typedef unsigned long long Address;

static struct {
  Result (*module_load)(void** module, const void* image);
  Result (*module_function)(void** function, void* module, const char* name);
  Result (*launch)(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void* stream, void** parameters, void** extra);
  Result (*stream_create)(void** stream, unsigned flags);
  Result (*allocate)(Address* address, size_t bytes);
  Result (*release)(Address address);
  Result (*set_bytes)(Address to, unsigned char value, size_t bytes, void* stream);
  Result (*attribute)(int* value, int attribute, int device);
} cuda;

static void* attention;

static int is(const char* attack) {
  const char* chosen = getenv("ATTACK");
  return chosen != NULL && strcmp(chosen, attack) == 0;
}

struct fbk_plan {
  fbk_problem problem;
  int calls;
};

static fbk_status refuse(const char* reason, char* why, size_t bytes) {
  snprintf(why, bytes, "%s", reason);
  return FBK_UNSUPPORTED;
}

static const char* load_driver(void) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (driver == NULL) return "no libcuda.so.1";
  *(void**)&cuda.module_load = dlsym(driver, "cuModuleLoadData");
  *(void**)&cuda.module_function = dlsym(driver, "cuModuleGetFunction");
  *(void**)&cuda.launch = dlsym(driver, "cuLaunchKernel");
  *(void**)&cuda.stream_create = dlsym(driver, "cuStreamCreate");
  *(void**)&cuda.allocate = dlsym(driver, "cuMemAlloc_v2");
  *(void**)&cuda.release = dlsym(driver, "cuMemFree_v2");
  *(void**)&cuda.set_bytes = dlsym(driver, "cuMemsetD8Async");
  *(void**)&cuda.attribute = dlsym(driver, "cuDeviceGetAttribute");
  static char ptx[1 << 20];
  const char* name = getenv("GUEST_PTX");
  FILE* file = fopen(name != NULL ? name : "attention.ptx", "r");
  if (file == NULL) return "no PTX";
  ptx[fread(ptx, 1, sizeof ptx - 1, file)] = 0;
  fclose(file);
  void* module = NULL;
  if (cuda.module_load(&module, ptx) != 0) return "the driver does not take the PTX";
  if (cuda.module_function(&attention, module, "attention") != 0) return "no attention in the PTX";
  return NULL;
}

static fbk_status plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                       size_t* workspace_bytes, char* why, size_t bytes) {
  (void)host;
  if ((p->features & FBK_GPU) == 0) return refuse("for GPUs: add --backend cuda", why, bytes);
  if (p->device.device_type != FBK_CUDA) return refuse("a device that is no GPU", why, bytes);
  if (p->pass != FBK_FORWARD || (p->features & ~(uint32_t)(FBK_GPU | FBK_CAUSAL)) != 0)
    return refuse("forward alone, with a causal mask at most", why, bytes);
  if (p->dtype.bits != 32 || p->d > 128) return refuse("f32 alone, d up to 128", why, bytes);
  if (attention == NULL) {
    const char* missing = load_driver();
    if (missing != NULL) return refuse(missing, why, bytes);
  }
  *workspace_bytes = 1000;
  *out = calloc(1, sizeof **out);
  (*out)->problem = *p;
  return FBK_OK;
}

static Address at(const fbk_tensor* t) { return (Address)(uintptr_t)t->data; }

static fbk_status launch(const fbk_problem* p, const fbk_call* call) {
  Address q = at(call->q), k = at(call->k), v = at(call->v), o = at(call->o), lse = at(call->lse);
  if (is("fault")) q = 4096;
  if (is("null_pointer")) q = 0;
  if (is("use_after_free")) {
    cuda.allocate(&k, 64);
    cuda.release(k);
  }
  if (is("read_unwritten")) q = at(call->o) + 4 * (Address)p->d;
  if (is("read_own_memory")) cuda.allocate(&k, 64);
  float scale = p->scale;
  int group = (int)(p->h / p->h_kv), q_len = (int)p->q_len, kv_len = (int)p->kv_len, d = (int)p->d;
  int causal = (p->features & FBK_CAUSAL) != 0;
  void* stream = call->stream;
  if (is("other_stream")) cuda.stream_create(&stream, 1); /* CU_STREAM_NON_BLOCKING */
  void* parameters[] = {&q, &k, &v, &o, &lse, &scale, &group, &q_len, &kv_len, &d, &causal};
  const Result result = cuda.launch(attention, (unsigned)((q_len + 3) / 4), (unsigned)p->h,
                                    (unsigned)p->b, 128, 1, 1, 0, stream, parameters, NULL);
  return result == 0 ? FBK_OK : FBK_DEVICE_ERROR;
}

static fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  const fbk_problem* p = &plan->problem;
  (void)why, (void)bytes;
  ++plan->calls;
  if (is("crash")) abort();
  if (is("touch_on_host")) ((volatile float*)call->o->data)[0] = 0;
  if (is("free_tensor")) cuda.release(at(call->o));
  if (is("free_workspace")) cuda.release((Address)(uintptr_t)call->workspace);
  int unknown = 0;
  if (is("lack_and_go_on")) cuda.attribute(&unknown, 9999, 0);
  if (is("lack_and_fail") && cuda.attribute(&unknown, 9999, 0) != 0) return FBK_DEVICE_ERROR;
  if (is("replay") && plan->calls > 1) return FBK_OK;
  if (is("write_input")) cuda.set_bytes(at(call->k), 0, 4, call->stream);
  if (is("write_behind_the_workspace"))
    cuda.set_bytes((Address)(uintptr_t)call->workspace + 1000, 0, 4, call->stream);
  if (is("write_between_outputs"))
    cuda.set_bytes(at(call->o) + (Address)(p->b * p->h * p->q_len * p->d_v * 4), 0, 4,
                   call->stream);
  return launch(p, call);
}

static void destroy(fbk_plan* plan) { free(plan); }

static const fbk_kernel kernel = {.struct_size = sizeof(fbk_kernel),
                                  .version = FBK_VERSION,
                                  .name = "gpu_guest",
                                  .description = "one warp a query, by the driver",
                                  .writes = FBK_WRITES_LSE,
                                  .plan = plan,
                                  .run = run,
                                  .destroy = destroy};

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  return host_version == FBK_VERSION && i == 0 ? &kernel : NULL;
}
