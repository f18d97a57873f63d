/* A plug-in for flashbench: forward attention in f32, one query at a time, with the running maximum
 * of FlashAttention (Dao et al. 2022, Algorithm 1).
 *
 *     cc -O3 -march=native -shared -fPIC attention.c -o attention.so -lm
 *     flashbench check --plugin ./attention.so
 *     flashbench bench --plugin ./attention.so --q_len 1k --d 64 --causal
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "flashbench_kernel.h"

#ifndef LAYOUT
#define LAYOUT FBK_BHSD /* how tensors lie in memory; FBK_BSHD: the rows of a token together */
#endif

struct fbk_plan {
  const fbk_host* host;
  const fbk_problem* problem; /* which stays; a copy would have the size that this header knows */
};

static fbk_status plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                       size_t* workspace_bytes, char* why, size_t bytes) {
  const uint32_t known = FBK_CAUSAL | FBK_KEY_MASK;
  if ((p->features & ~known) != 0 || p->pass != FBK_FORWARD) {
    snprintf(why, bytes, "forward alone, with a causal or a key mask at most");
    return FBK_UNSUPPORTED;
  }
  if (p->dtype.code != FBK_FLOAT || p->dtype.bits != 32) {
    snprintf(why, bytes, "f32 alone");
    return FBK_UNSUPPORTED;
  }
  fbk_plan* own = malloc(sizeof *own);
  if (own == NULL) return FBK_NO_MEMORY;
  own->host = host;
  own->problem = p;
  *workspace_bytes = 0;
  *out = own;
  return FBK_OK;
}

struct work {
  const fbk_problem* p;
  const fbk_call* call;
};

/* Row i of a head: strides say where it lies. */
static float* row(const fbk_tensor* t, int64_t b, int64_t h, int64_t i) {
  return (float*)t->data + b * t->strides[0] + h * t->strides[1] + i * t->strides[2];
}

/* Row number n of all heads' query rows. */
static void one_query(void* context, int64_t n) {
  const struct work* w = context;
  const fbk_problem* p = w->p;
  const int64_t i = n % p->q_len, h = n / p->q_len % p->h, b = n / p->q_len / p->h;
  const int64_t kv_head = h / (p->h / p->h_kv);
  const float* q = row(w->call->q, b, h, i);
  float* o = row(w->call->o, b, h, i);
  const uint8_t* keep = NULL;
  if (p->features & FBK_KEY_MASK) keep = (const uint8_t*)w->call->key_mask->data + b * p->kv_len;
  int64_t last = p->kv_len;
  if ((p->features & FBK_CAUSAL) && i + p->kv_len - p->q_len + 1 < last)
    last = i + p->kv_len - p->q_len + 1;

  float most = -HUGE_VALF, sum = 0;
  for (int64_t e = 0; e < p->d; ++e) o[e] = 0;
  for (int64_t j = 0; j < last; ++j) {
    if (keep != NULL && !keep[j]) continue;
    const float *k = row(w->call->k, b, kv_head, j), *v = row(w->call->v, b, kv_head, j);
    float s = 0;
    for (int64_t e = 0; e < p->d; ++e) s += q[e] * k[e];
    s *= p->scale;
    if (s > most) {
      const float shrink = sum == 0 ? 0 : expf(most - s);
      for (int64_t e = 0; e < p->d; ++e) o[e] *= shrink;
      sum *= shrink;
      most = s;
    }
    const float weight = expf(s - most);
    for (int64_t e = 0; e < p->d; ++e) o[e] += weight * v[e];
    sum += weight;
  }
  for (int64_t e = 0; e < p->d && sum > 0; ++e) o[e] /= sum;
  ((float*)w->call->lse->data)[n] = sum > 0 ? most + logf(sum) : -INFINITY;
}

static fbk_status run(fbk_plan* own, const fbk_call* call, char* why, size_t bytes) {
  struct work work = {own->problem, call};
  (void)why, (void)bytes;
  own->host->parallel(own->host->self, work.p->b * work.p->h * work.p->q_len, one_query, &work);
  return FBK_OK;
}

static void destroy(fbk_plan* own) { free(own); }

static const fbk_kernel kernel = {.struct_size = sizeof(fbk_kernel),
                                  .version = FBK_VERSION,
                                  .name = "online_softmax",
                                  .description = "one query at a time, f32",
                                  .writes = FBK_WRITES_LSE,
                                  .layout = LAYOUT,
                                  .plan = plan,
                                  .run = run,
                                  .destroy = destroy};

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  return host_version == FBK_VERSION && i == 0 ? &kernel : NULL;
}
