/* ggml's attention for the processor (ggml_flash_attn_ext) as a plug-in: what llama.cpp and
 * whisper.cpp compute with. README.md beside this file says how to build it, what is timed, and
 * what ggml rounds.
 *
 *     cc -O3 -shared -fPIC -I.. ggml.c -o ggml.so -ldl -lm
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "flashbench_kernel.h"
#include "ggml_functions.h"
#include "seen_keys.h"

enum {
  HIDDEN = 0xFC00,   /* -inf in f16, the type of ggml's masks */
  FURTHEST = 2048,   /* up to there f16 holds every whole number */
  MOST_TENSORS = 16, /* of a graph: 12 at most */
  ALIGNMENT = 256,   /* of the parts of the workspace */
  TILE = 64,         /* queries, GGML_FA_TILE_Q */
  POLL = 1,          /* see engine_for() */
  LONGEST_BUILD = 200,
};
/* ggml's slopes are those of Press et al. for this max_bias; see their_slopes_are_ours(). */
static const float MAX_BIAS = 8;

static struct ggml_functions ggml;
static char build[LONGEST_BUILD];
static char missing[512]; /* why there is no ggml */

/* One for all plans: only one of them runs at a time. */
static struct {
  struct ggml_backend* backend;
  struct ggml_threadpool* pool;
  int threads;
} engine;

struct fbk_plan {
  fbk_problem problem;
  int type; /* of Q, K, V and O */
  int64_t mask_b;
  size_t mask_bytes, q_bytes, o_bytes; /* of the workspace, in this order */
  bool mask_is_ready;                  /* where it depends on positions alone */
  uint16_t* distance;                  /* ALiBi: -n in f16 */
  struct ggml_context* context;        /* built by the first call; so is all below */
  struct ggml_cgraph* graph;
  struct ggml_backend_buffer* buffers[MOST_TENSORS];
  int buffers_used;
};

static const uint32_t MASKS = FBK_CAUSAL | FBK_WINDOW | FBK_ALIBI | FBK_KEY_MASK;

static bool uses(const fbk_problem* p, uint32_t features) { return (p->features & features) != 0; }

/* Ours: a bias is one already. With a soft cap and no mask ggml 0.20 counts up to 63 keys that are
 * not there (llama.cpp's pull request 29034); llama.cpp itself always gives it a mask. */
static bool makes_mask(const fbk_problem* p) {
  return uses(p, MASKS) || (uses(p, FBK_SOFTCAP) && !uses(p, FBK_BIAS));
}

static int64_t longest(const fbk_problem* p) { return p->q_len > p->kv_len ? p->q_len : p->kv_len; }

static int type_of(const fbk_problem* p) {
  if (p->dtype.code == FBK_FLOAT) return p->dtype.bits == 32 ? TYPE_F32 : TYPE_F16;
  return TYPE_BF16;
}

/* Whether ggml sums P V in f16: its tiles of queries sum in f32, while a query alone has a sum of
 * V's type, but bf16. */
static bool sums_in_f16(const fbk_problem* p) {
  const int64_t lanes = ggml.ggml_cpu_has_avx512() || ggml.ggml_cpu_has_sve() ? 16 : 8;
  return type_of(p) == TYPE_F16 && (p->q_len < TILE || p->d_v % lanes != 0);
}

/* Why ggml does not compute this; null: it does. */
static const char* refuses(const fbk_problem* p) {
  const uint32_t known =
      MASKS | FBK_SOFTCAP | FBK_BIAS | FBK_SINKS | FBK_VALUE_DIM | FBK_VALUES_IN_KEYS;
  if (p->pass != FBK_FORWARD) return "forward alone";
  if (uses(p, FBK_KV_DTYPE))
    return "no floats of 8 bits: its small types are blocks of integers with a scale";
  if (uses(p, FBK_RAGGED)) return "sequences of one length alone";
  if (uses(p, FBK_PAGES)) return "no pages";
  if (uses(p, ~known)) return "this problem uses what the plug-in does not know";
  if (sums_in_f16(p))
    return "with f16 and fewer than 64 queries, or a d_v that its vectors do not divide, it sums P "
           "V in f16: up to 34 times the error that f16 allows; with f32 and bf16 it sums in f32";
  if (uses(p, FBK_BIAS) && (p->bias_dtype.code != FBK_FLOAT || p->bias_dtype.bits != 16))
    return "a bias of f16 alone, which is what its mask is: it would round this one";
  if (uses(p, FBK_BIAS) && uses(p, MASKS))
    return "a bias has no other mask beside it: it takes one mask";
  if (uses(p, FBK_ALIBI) && longest(p) - 1 > FURTHEST)
    return "it holds ALiBi's distances in f16, which rounds those beyond 2048";
  if (p->threads > MOST_THREADS) return "512 threads at most";
  if (longest(p) > INT_MAX / p->h / p->b) return "it counts rows in 32 bits";
  return NULL;
}

static size_t padded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* ggml's result is [b, q_len, h, d_v] in memory, and f32. */
static bool is_in_our_order(const fbk_plan* plan) {
  const fbk_problem* p = &plan->problem;
  return plan->type == TYPE_F32 && (p->h == 1 || p->q_len == 1);
}

static void destroy(fbk_plan* plan) {
  for (int i = 0; i < plan->buffers_used; ++i) ggml.ggml_backend_buffer_free(plan->buffers[i]);
  if (plan->context != NULL) ggml.ggml_free(plan->context);
  free(plan->distance);
  free(plan);
}

static fbk_status make_plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                            size_t* workspace_bytes, char* why, size_t bytes) {
  (void)host;
  const int type = type_of(p);
  const char* reason = refuses(p);
  if (reason != NULL) {
    snprintf(why, bytes, "%s", reason);
    return FBK_UNSUPPORTED;
  }
  fbk_plan* plan = calloc(1, sizeof *plan);
  if (plan == NULL) return FBK_NO_MEMORY;
  plan->problem = *p;
  plan->type = type;
  plan->mask_b = uses(p, FBK_KEY_MASK) ? p->b : 1;
  const size_t q_rows = (size_t)(p->b * p->h * p->q_len);
  if (makes_mask(p))
    plan->mask_bytes = padded((size_t)(plan->mask_b * p->q_len * p->kv_len) * sizeof(uint16_t));
  if (type != TYPE_F32) plan->q_bytes = padded(q_rows * (size_t)p->d * sizeof(float));
  if (!is_in_our_order(plan)) plan->o_bytes = padded(q_rows * (size_t)p->d_v * sizeof(float));
  if (uses(p, FBK_ALIBI)) {
    plan->distance = malloc((size_t)longest(p) * sizeof *plan->distance);
    if (plan->distance == NULL) {
      destroy(plan);
      return FBK_NO_MEMORY;
    }
    for (int64_t n = 0; n < longest(p); ++n) plan->distance[n] = ggml.ggml_fp32_to_fp16(-(float)n);
  }
  *workspace_bytes = plan->mask_bytes + plan->q_bytes + plan->o_bytes;
  *out = plan;
  return FBK_OK;
}

/* What is added to the scores of query i: -inf where it does not see a key, else 0 or the distance
 * that ggml multiplies with a slope. */
static void fill_row(const fbk_plan* plan, int64_t i, const uint8_t* keep, uint16_t* row) {
  const fbk_problem* p = &plan->problem;
  const int64_t x = i + p->kv_len - p->q_len;
  const struct seen_keys seen = keys_seen(p, i);
  for (int64_t j = 0; j < seen.first; ++j) row[j] = HIDDEN;
  if (plan->distance != NULL)
    for (int64_t j = seen.first; j < seen.end; ++j) row[j] = plan->distance[j < x ? x - j : j - x];
  else
    for (int64_t j = seen.first; j < seen.end; ++j) row[j] = 0;
  if (keep != NULL)
    for (int64_t j = seen.first; j < seen.end; ++j) row[j] = keep[j] ? row[j] : HIDDEN;
  for (int64_t j = seen.end; j < p->kv_len; ++j) row[j] = HIDDEN;
}

/* In the first call, which is no sample: masks stay. */
static void fill_mask(fbk_plan* plan, const fbk_call* call) {
  const fbk_problem* p = &plan->problem;
  if (!makes_mask(p) || plan->mask_is_ready) return;
  uint16_t* row = call->workspace;
  for (int64_t b = 0; b < plan->mask_b; ++b) {
    const uint8_t* keep = NULL;
    if (uses(p, FBK_KEY_MASK)) keep = (const uint8_t*)call->key_mask->data + b * p->kv_len;
    for (int64_t i = 0; i < p->q_len; ++i, row += p->kv_len) fill_row(plan, i, keep, row);
  }
  plan->mask_is_ready = true;
}

/* Gives a tensor its memory. */
static struct ggml_tensor* at(fbk_plan* plan, struct ggml_tensor* tensor, void* data) {
  struct ggml_backend_buffer* buffer =
      ggml.ggml_backend_cpu_buffer_from_ptr(data, ggml.ggml_nbytes(tensor));
  plan->buffers[plan->buffers_used++] = buffer;
  ggml.ggml_backend_tensor_alloc(buffer, tensor, data);
  return tensor;
}

/* A contiguous tensor [ne3, ne2, ne1, ne0]. */
static struct ggml_tensor* tensor(fbk_plan* plan, int type, int64_t ne3, int64_t ne2, int64_t ne1,
                                  int64_t ne0, void* data) {
  struct ggml_tensor* t =
      ggml.ggml_new_tensor_4d(plan->context, (unsigned)type, ne0, ne1, ne2, ne3);
  return at(plan, t, data);
}

static struct ggml_tensor* mask_of(fbk_plan* plan, const fbk_call* call) {
  const fbk_problem* p = &plan->problem;
  if (uses(p, FBK_BIAS))
    return tensor(plan, TYPE_F16, p->bias_b, p->bias_h, p->q_len, p->kv_len, call->bias->data);
  if (!makes_mask(p)) return NULL;
  return tensor(plan, TYPE_F16, plan->mask_b, 1, p->q_len, p->kv_len, call->workspace);
}

/* [Q to f32,] attention, [O into its place]: what every run() computes. */
static void build_graph(fbk_plan* plan, const fbk_call* call) {
  const fbk_problem* p = &plan->problem;
  struct ggml_context* context = plan->context;
  char* q_memory = (char*)call->workspace + plan->mask_bytes;
  char* o_memory = q_memory + plan->q_bytes;
  struct ggml_tensor* q = tensor(plan, plan->type, p->b, p->h, p->q_len, p->d, call->q->data);
  if (plan->type != TYPE_F32)
    q = ggml.ggml_cpy(context, q, tensor(plan, TYPE_F32, p->b, p->h, p->q_len, p->d, q_memory));
  struct ggml_tensor* k = tensor(plan, plan->type, p->b, p->h_kv, p->kv_len, p->d, call->k->data);
  struct ggml_tensor* v = NULL;
  if (uses(p, FBK_VALUES_IN_KEYS)) {
    const size_t row = (size_t)p->d * p->dtype.bits / 8, head = row * (size_t)p->kv_len;
    v = ggml.ggml_view_4d(context, k, p->d_v, p->kv_len, p->h_kv, p->b, row, head,
                          head * (size_t)p->h_kv, 0);
  } else {
    v = tensor(plan, plan->type, p->b, p->h_kv, p->kv_len, p->d_v, call->v->data);
  }
  struct ggml_tensor* o = ggml.ggml_flash_attn_ext(context, q, k, v, mask_of(plan, call), p->scale,
                                                   uses(p, FBK_ALIBI) ? MAX_BIAS : 0, p->softcap);
  if (uses(p, FBK_SINKS))
    ggml.ggml_flash_attn_ext_add_sinks(o, tensor(plan, TYPE_F32, 1, 1, 1, p->h, call->sinks->data));
  at(plan, o, is_in_our_order(plan) ? call->o->data : o_memory);
  if (!is_in_our_order(plan))
    o = ggml.ggml_cpy(context, ggml.ggml_permute(context, o, 0, 2, 1, 3),
                      tensor(plan, plan->type, p->b, p->h, p->q_len, p->d_v, call->o->data));
  plan->graph = ggml.ggml_new_graph(context);
  ggml.ggml_build_forward_expand(plan->graph, o);
}

/* The backend for as many threads. ggml's threads spin after their work, into the samples of
 * others: these for some ms, a fiftieth of the default and far longer than lies between two calls
 * that are timed together. */
static bool engine_for(int threads) {
  if (engine.backend == NULL) engine.backend = ggml.ggml_backend_cpu_init();
  if (engine.backend == NULL) return false;
  if (engine.pool != NULL && engine.threads == threads) return true;
  struct pool_params params;
  memset(&params, 0, sizeof params);
  ggml.ggml_threadpool_params_init((struct ggml_threadpool_params*)&params, threads);
  params.poll = POLL;
  struct ggml_threadpool* pool = ggml.ggml_threadpool_new((struct ggml_threadpool_params*)&params);
  if (pool == NULL) return false;
  ggml.ggml_backend_cpu_set_n_threads(engine.backend, threads);
  ggml.ggml_backend_cpu_set_threadpool(engine.backend, pool);
  if (engine.pool != NULL) ggml.ggml_threadpool_free(engine.pool);
  engine.pool = pool;
  engine.threads = threads;
  return true;
}

/* The slopes are an input here, while ggml computes its own, by powers in f32. */
static bool their_slopes_are_ours(const fbk_problem* p, const float* slopes) {
  const double heads = exp2(floor(log2((double)p->h)));
  for (int64_t n = 0; n < p->b * p->h; ++n) {
    const double head = (double)(n % p->h);
    const double power = head < heads ? (head + 1) / heads : (head - heads + 0.5) / heads;
    const double slope = exp2(-MAX_BIAS * power);
    if (!(fabs(slopes[n] - slope) <= 1e-6 * slope)) return false;
  }
  return true;
}

static fbk_status start(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  const fbk_problem* p = &plan->problem;
  if (uses(p, FBK_ALIBI) && !their_slopes_are_ours(p, call->alibi_slopes->data)) {
    snprintf(why, bytes, "the standard slopes of ALiBi alone, which it computes itself");
    return FBK_UNSUPPORTED;
  }
  fill_mask(plan, call);
  if (!engine_for(p->threads)) return FBK_NO_MEMORY;
  if (plan->graph != NULL) return FBK_OK;
  const size_t memory = MOST_TENSORS * ggml.ggml_tensor_overhead() + ggml.ggml_graph_overhead();
  plan->context = ggml.ggml_init((struct init_params){memory, NULL, true});
  if (plan->context == NULL) return FBK_NO_MEMORY;
  build_graph(plan, call);
  return FBK_OK;
}

static fbk_status run(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  const fbk_status started = start(plan, call, why, bytes);
  if (started != FBK_OK) return started;
  const int status = ggml.ggml_backend_graph_compute(engine.backend, plan->graph);
  if (status == STATUS_SUCCESS) return FBK_OK;
  snprintf(why, bytes, "ggml_backend_graph_compute: %s", ggml.ggml_status_to_string(status));
  return status == STATUS_NO_MEMORY ? FBK_NO_MEMORY : FBK_FAILED;
}

static fbk_status plan_without_ggml(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                                    size_t* workspace_bytes, char* why, size_t bytes) {
  (void)host, (void)p, (void)out, (void)workspace_bytes;
  snprintf(why, bytes, "%s", missing);
  return FBK_UNSUPPORTED;
}

static void describe_build(void) {
  int used =
      snprintf(build, sizeof build, "ggml %s (%s),", ggml.ggml_version(), ggml.ggml_commit());
  const struct {
    const char* name;
    int is_there;
  } features[] = {{"avx2", ggml.ggml_cpu_has_avx2()},
                  {"fma", ggml.ggml_cpu_has_fma()},
                  {"f16c", ggml.ggml_cpu_has_f16c()},
                  {"avx512", ggml.ggml_cpu_has_avx512()},
                  {"avx512_bf16", ggml.ggml_cpu_has_avx512_bf16()},
                  {"neon", ggml.ggml_cpu_has_neon()},
                  {"sve", ggml.ggml_cpu_has_sve()}};
  for (size_t i = 0; i < sizeof features / sizeof *features; ++i)
    if (features[i].is_there && used < (int)sizeof build)
      used += snprintf(build + used, sizeof build - (size_t)used, " %s", features[i].name);
}

#define KERNEL(description, plan)                                                                \
  {                                                                                              \
    sizeof(fbk_kernel), FBK_VERSION, "ggml", description, build, 0, 0, plan, NULL, run, destroy, \
        NULL, 0, 0                                                                               \
  }

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  static const fbk_kernel kernel =
      KERNEL("ggml_flash_attn_ext on the processor; scores, P and sums in f32", make_plan);
  static const fbk_kernel none = KERNEL("not installed", plan_without_ggml);
  static bool tried, loaded;
  if (host_version != FBK_VERSION || i > 0) return NULL;
  if (!tried) {
    tried = true;
    loaded = load_ggml(&ggml, missing, sizeof missing);
    if (loaded) describe_build();
  }
  return loaded ? &kernel : &none;
}
