/* oneDNN's attention for the processor as a plug-in, forward and backward: the patterns of its
 * Graph API that oneDNN calls SDPA and GQA. README.md beside this file says how to build it, what
 * is timed, and what is refused.
 *
 *     cc -O3 -shared -fPIC -I.. onednn.c -o onednn.so -ldl
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr(), sched_getaffinity() */
#endif
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "flashbench_kernel.h"
#include "onednn_functions.h"
#include "onednn_graph.h"
#include "seen_keys.h"

enum {
  LONGEST_BUILD = 200,
  ALIGNMENT = 256, /* of the parts of the workspace */
};

static char build[LONGEST_BUILD];
static char missing[512]; /* why there is no oneDNN */
static struct dnnl_engine* engine;
static struct dnnl_stream* stream;

struct fbk_plan {
  fbk_problem problem;
  bool is_ready;     /* what the first call makes */
  size_t mask_bytes; /* of the workspace, before LSE */
  float scale;
  struct attention_graph forward, backward; /* without ports where the pass is not asked for */
};

static int type_of(const fbk_problem* p) {
  if (p->dtype.code == FBK_FLOAT) return p->dtype.bits == 32 ? DATA_F32 : DATA_F16;
  return DATA_BF16;
}

/* Processors that this process may use: as many threads as TBB takes, whatever it is told. */
static int processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

static bool is_both(const fbk_problem* p) { return p->pass == (FBK_FORWARD | FBK_BACKWARD); }

static size_t padded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Why oneDNN, or this plug-in, does not compute it; null: it may. */
static const char* refuses(const fbk_problem* p) {
  const uint32_t known = FBK_CAUSAL | FBK_KEY_MASK | FBK_WINDOW | FBK_BIAS | FBK_VALUE_DIM;
  const struct {
    uint32_t feature;
    const char* why;
  } refused[] = {
      {FBK_GPU, "on the processor alone"},
      {FBK_SOFTCAP, "no soft cap: the plug-in does not say it to oneDNN"},
      {FBK_ALIBI, "no ALiBi: oneDNN has no slopes"},
      {FBK_BIAS_GRADIENT, "no gradient of a bias: the plug-in does not ask for it"},
      {FBK_SINKS, "no sinks: oneDNN's softmax has none"},
      {FBK_KV_DTYPE, "no K and V of 8 bits: its patterns for them take integers"},
      {FBK_VALUES_IN_KEYS, "V has a tensor of its own"},
      {FBK_RAGGED, "sequences of one length alone"},
      {FBK_PAGES, "no pages"},
      {FBK_DETERMINISTIC, "the plug-in does not ask oneDNN for the same bits each time"}};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i)
    if (uses(p, refused[i].feature)) return refused[i].why;
  if (uses(p, ~known)) return "this problem uses what the plug-in does not know";
  if (uses(p, FBK_BIAS) && (p->bias_dtype.code != FBK_FLOAT || p->bias_dtype.bits != 32))
    return "a bias of f32 alone: that is the type of its scores";
  if (uses(p, FBK_BIAS) && makes_mask(p))
    return "a bias has no other mask beside it: it adds one mask";
  if ((p->pass & FBK_BACKWARD) != 0 && p->d_v == 1)
    return "no gradients with d_v = 1: oneDNN has no sum over one column";
  if (is_both(p) && type_of(p) == DATA_F32)
    /* It makes LSE of the largest score and the log of the largest P. */
    return "forward and backward in one with f32: its LSE, and so its gradients, are off by "
           "several times what f32 rounds; each alone it computes";
  switch (onednn.dnnl_version()->cpu_runtime) {
    case RUNTIME_OPENMP:
      return NULL;
    case RUNTIME_SEQUENTIAL:
      return p->threads == 1 ? NULL : "one thread alone: this libdnnl is built without others";
    default:
      return p->threads >= processors()
                 ? NULL
                 : "all processors alone: only a libdnnl of OpenMP can be told how many";
  }
}

static void destroy(fbk_plan* plan) {
  destroy_graph(&plan->forward);
  destroy_graph(&plan->backward);
  free(plan);
}

static fbk_status make_plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                            size_t* workspace_bytes, char* why, size_t bytes) {
  (void)host;
  const char* reason = refuses(p);
  if (reason != NULL) {
    snprintf(why, bytes, "%s", reason);
    return FBK_UNSUPPORTED;
  }
  fbk_plan* plan = calloc(1, sizeof *plan);
  if (plan == NULL) return FBK_NO_MEMORY;
  plan->problem = *p;
  plan->scale = p->scale;
  if (makes_mask(p))
    plan->mask_bytes = padded((size_t)(mask_b(p) * mask_rows(p) * p->kv_len) * sizeof(float));
  char theirs[LONGEST_WHY] = "";
  fbk_status status = FBK_OK;
  if ((p->pass & FBK_FORWARD) != 0)
    status = make_graph(p, type_of(p), is_both(p) ? FORWARD_WITH_LSE : FORWARD, engine,
                        &plan->forward, theirs);
  if (status == FBK_OK && (p->pass & FBK_BACKWARD) != 0)
    status = make_graph(p, type_of(p), BACKWARD, engine, &plan->backward, theirs);
  if (status != FBK_OK) {
    const onednn_version* v = onednn.dnnl_version();
    snprintf(why, bytes, "oneDNN %d.%d.%d: %s", v->major, v->minor, v->patch, theirs);
    destroy(plan);
    return status;
  }
  *workspace_bytes = plan->mask_bytes;
  if (is_both(p)) *workspace_bytes += (size_t)(p->b * p->h * p->q_len) * sizeof(float);
  *out = plan;
  return FBK_OK;
}

/* What is added to the scores of query i. Returns whether it sees a key. */
static bool fill_row(const fbk_problem* p, int64_t i, const uint8_t* keep, float* row) {
  const struct seen_keys seen = keys_seen(p, i);
  bool sees_one = false;
  for (int64_t j = 0; j < p->kv_len; ++j) {
    const bool sees = j >= seen.first && j < seen.end && (keep == NULL || keep[j] != 0);
    row[j] = sees ? 0 : -INFINITY;
    sees_one |= sees;
  }
  return sees_one;
}

/* In the first call, which is no sample: masks stay. Returns whether each query sees a key. */
static bool fill_mask(const fbk_problem* p, const fbk_call* call) {
  float* row = call->workspace;
  bool all_see = true;
  for (int64_t b = 0; b < mask_b(p); ++b) {
    const uint8_t* keep = NULL;
    if (uses(p, FBK_KEY_MASK)) keep = (const uint8_t*)call->key_mask->data + b * p->kv_len;
    for (int64_t i = 0; i < mask_rows(p); ++i, row += p->kv_len)
      all_see &= fill_row(p, i, keep, row);
  }
  return all_see;
}

static void* data_of(fbk_plan* plan, const fbk_call* call, int id) {
  const fbk_tensor* const tensors[] = {
      [Q] = call->q,     [K] = call->k,   [V] = call->v,   [O] = call->o,  [LSE] = call->lse,
      [D_O] = call->d_o, [DQ] = call->dq, [DK] = call->dk, [DV] = call->dv};
  if (id == LSE && is_both(&plan->problem)) return (char*)call->workspace + plan->mask_bytes;
  switch (id) {
    case MASK:
      return call->bias != NULL ? call->bias->data : call->workspace;
    case SCALE:
      return &plan->scale;
    default:
      return tensors[id]->data;
  }
}

/* Whether the bias leaves each query a key. */
static bool bias_shows_keys(const fbk_problem* p, const float* bias) {
  for (int64_t row = 0; row < p->bias_b * p->bias_h * p->q_len; ++row, bias += p->kv_len) {
    int64_t j = 0;
    while (j < p->kv_len && bias[j] == -INFINITY) ++j;
    if (j == p->kv_len) return false;
  }
  return true;
}

/* What is done once, in the first call, which is no sample. */
static fbk_status start(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  const fbk_problem* p = &plan->problem;
  bool all_see = true;
  if (makes_mask(p)) all_see = fill_mask(p, call);
  if (uses(p, FBK_BIAS)) all_see = bias_shows_keys(p, call->bias->data);
  plan->is_ready = all_see || (p->pass & FBK_BACKWARD) == 0;
  if (plan->is_ready) return FBK_OK;
  snprintf(why, bytes,
           "each query has to see a key: its gradients have P = exp(S - LSE), and "
           "where both are -inf that is NaN");
  return FBK_UNSUPPORTED;
}

static fbk_status execute(fbk_plan* plan, const struct attention_graph* a, const fbk_call* call,
                          char* why, size_t bytes) {
  for (int side = 0; side < 2; ++side)
    for (size_t i = 0; i < a->count[side]; ++i)
      onednn.dnnl_graph_tensor_set_data_handle(a->ports[side][i],
                                               data_of(plan, call, a->ids[side][i]));
  unsigned status = onednn.dnnl_graph_compiled_partition_execute(
      a->compiled, stream, a->count[0], (const struct dnnl_graph_tensor**)a->ports[0], a->count[1],
      (const struct dnnl_graph_tensor**)a->ports[1]);
  if (status == STATUS_SUCCESS) status = onednn.dnnl_stream_wait(stream);
  if (status == STATUS_SUCCESS) return FBK_OK;
  snprintf(why, bytes, "dnnl_graph_compiled_partition_execute: %s", shown_status(status));
  return status == STATUS_NO_MEMORY ? FBK_NO_MEMORY : FBK_FAILED;
}

static fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  fbk_status status = plan->is_ready ? FBK_OK : start(plan, call, why, bytes);
  if (status == FBK_OK && plan->forward.compiled != NULL)
    status = execute(plan, &plan->forward, call, why, bytes);
  if (status == FBK_OK && plan->backward.compiled != NULL)
    status = execute(plan, &plan->backward, call, why, bytes);
  return status;
}

static fbk_status plan_without_onednn(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                                      size_t* workspace_bytes, char* why, size_t bytes) {
  (void)host, (void)p, (void)out, (void)workspace_bytes;
  snprintf(why, bytes, "%s", missing);
  return FBK_UNSUPPORTED;
}

static const char* shown_runtime(unsigned runtime) {
  switch (runtime) {
    case RUNTIME_SEQUENTIAL:
      return "one thread";
    case RUNTIME_OPENMP:
      return "OpenMP";
    case RUNTIME_TBB:
      return "TBB";
    case RUNTIME_SYCL:
      return "SYCL";
    default:
      return "another runtime";
  }
}

/* SYCL finds the processor through OpenCL, whose library for it pip puts beside libdnnl, and says
 * so to nobody. */
static void show_opencl_to_sycl(void) {
  void* symbol;
  Dl_info info;
  memcpy(&symbol, &onednn.dnnl_version, sizeof symbol);
  if (dladdr(symbol, &info) == 0 || strrchr(info.dli_fname, '/') == NULL) return;
  const int folder = (int)(strrchr(info.dli_fname, '/') - info.dli_fname);
  char path[4096];
  snprintf(path, sizeof path, "%.*s/libintelocl.so", folder, info.dli_fname);
  if (access(path, R_OK) == 0) setenv("OCL_ICD_FILENAMES", path, 0);
}

/* Whether there is a oneDNN to compute with; else `missing` says why not. */
static bool load(void) {
  if (!load_onednn(&onednn, missing, sizeof missing)) return false;
  const onednn_version* v = onednn.dnnl_version();
  if (v->cpu_runtime == RUNTIME_SYCL) show_opencl_to_sycl();
  unsigned status = onednn.dnnl_engine_create(&engine, ENGINE_CPU, 0);
  if (status == STATUS_SUCCESS)
    status = onednn.dnnl_stream_create(&stream, engine, STREAM_IN_ORDER);
  if (status != STATUS_SUCCESS) {
    snprintf(missing, sizeof missing, "oneDNN %d.%d.%d (%s) has no engine for the processor: %s",
             v->major, v->minor, v->patch, shown_runtime(v->cpu_runtime), shown_status(status));
    return false;
  }
  snprintf(build, sizeof build, "oneDNN %d.%d.%d (%.7s), %s", v->major, v->minor, v->patch, v->hash,
           shown_runtime(v->cpu_runtime));
  return true;
}

#define KERNEL(description, plan)                                                                \
  {                                                                                              \
    sizeof(fbk_kernel), FBK_VERSION, "onednn", description, build, 0, FBK_BHSD, plan, NULL, run, \
        destroy, NULL, FBK_ROUNDS_QUERY_HEADS, 0                                                 \
  }

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  static const fbk_kernel kernel = KERNEL("oneDNN Graph's attention on the processor", make_plan);
  static const fbk_kernel none = KERNEL("not installed", plan_without_onednn);
  static bool tried, loaded;
  if (host_version != FBK_VERSION || i > 0) return NULL;
  if (!tried) {
    tried = true;
    loaded = load();
  }
  return loaded ? &kernel : &none;
}
