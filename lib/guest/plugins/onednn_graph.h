/* Attention as oneDNN's Graph API is said it: a graph of operations, of which oneDNN makes one
 * partition, its "SDPA", where it knows the pattern. */
#ifndef FLASHBENCH_ONEDNN_GRAPH_H
#define FLASHBENCH_ONEDNN_GRAPH_H

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdlib.h>

#include "flashbench_kernel.h"
#include "onednn_builder.h"
#include "onednn_functions.h"

/* A graph that is compiled: its ports, in the order in which oneDNN wants them. */
struct attention_graph {
  struct dnnl_graph_compiled_partition* compiled;
  struct dnnl_graph_tensor* ports[2][MOST_PORTS]; /* inputs, outputs */
  int ids[2][MOST_PORTS];
  size_t count[2];
};

/* Whether a tensor of 0 and -inf says which keys are seen. oneDNN can make a causal mask of its
 * own, but then takes its slow way, with passes over all scores, and has none of that backward. */
static bool makes_mask(const fbk_problem* p) {
  return uses(p, FBK_CAUSAL | FBK_KEY_MASK | FBK_WINDOW);
}

/* A key mask alone is the same for every query. */
static int64_t mask_rows(const fbk_problem* p) {
  return uses(p, FBK_CAUSAL | FBK_WINDOW) ? p->q_len : 1;
}
static int64_t mask_b(const fbk_problem* p) { return uses(p, FBK_KEY_MASK) ? p->b : 1; }

/* Whether a query may see no key: then softmax has to give 0, for which oneDNN is asked. */
static bool may_see_nothing(const fbk_problem* p) { return makes_mask(p) || uses(p, FBK_BIAS); }

/* scale * Q K^T with the mask, in f32. */
static int masked_scores(struct builder* g) {
  const fbk_problem* p = g->problem;
  int score = multiply(g, "Q K^T", Q, PLAIN, K, TRANSPOSED, scores(g, DATA_F32));
  const int64_t one[] = {1};
  define(g, SCALE, DATA_F32, 1, one);
  score = apply(g, OP_MULTIPLY, "scale", score, SCALE, scores(g, DATA_F32));
  if (makes_mask(p))
    define_heads(g, MASK, DATA_F32, mask_b(p), 1, mask_rows(p), p->kv_len);
  else if (uses(p, FBK_BIAS))
    define_heads(g, MASK, DATA_F32, p->bias_b, p->bias_h, p->q_len, p->kv_len);
  else
    return score;
  return apply(g, OP_ADD, "mask", score, MASK, scores(g, DATA_F32));
}

static void define_q_k_v_o(struct builder* g) {
  const fbk_problem* p = g->problem;
  define_heads(g, Q, g->type, p->b, p->h, p->q_len, p->d);
  define_heads(g, K, g->type, p->b, p->h_kv, p->kv_len, p->d);
  define_heads(g, V, g->type, p->b, p->h_kv, p->kv_len, p->d_v);
  define_heads(g, O, g->type, p->b, p->h, p->q_len, p->d_v);
}

enum stats { NO_LSE, WITH_LSE };

static void build_forward(struct builder* g, enum stats stats) {
  const fbk_problem* p = g->problem;
  define_q_k_v_o(g);
  const int score = masked_scores(g);
  const int weights = scores(g, g->type);
  struct dnnl_graph_op* op = begin_op(g, OP_SOFTMAX, "softmax");
  set_number(g, op, ATTR_AXIS, -1);
  if (may_see_nothing(p)) set_text(g, op, ATTR_MODE, "inf_as_zero");
  connect(g, op, INPUT, score);
  connect(g, op, OUTPUT, weights);
  if (stats == WITH_LSE)
    connect(g, op, OUTPUT, define_heads(g, LSE, DATA_F32, p->b, p->h, p->q_len, 1));
  end_op(g, op, "softmax");
  multiply(g, "P V", weights, PLAIN, V, PLAIN, O);
}

/* P or dS as a factor of products: in the type of the tensors. */
static int rounded(struct builder* g, const char* name, int x) {
  return g->type == DATA_F32 ? x : apply(g, OP_TYPE_CAST, name, x, -1, scores(g, g->type));
}

/* A gradient of K or V: of grouped heads one for each query head first, then their sum. */
static void multiply_for_keys(struct builder* g, const char* name, int weights, int rows,
                              int64_t columns, int result) {
  const fbk_problem* p = g->problem;
  define_heads(g, result, g->type, p->b, p->h_kv, p->kv_len, columns);
  if (!is_grouped(p)) {
    multiply(g, name, weights, TRANSPOSED, rows, PLAIN, result);
    return;
  }
  const int each = between(g, g->type, p->kv_len, columns);
  multiply(g, name, weights, TRANSPOSED, rows, PLAIN, each);
  sum(g, "over a group", each, 2, result);
}

static void build_backward(struct builder* g) {
  const fbk_problem* p = g->problem;
  define_q_k_v_o(g);
  define_heads(g, D_O, g->type, p->b, p->h, p->q_len, p->d_v);
  define_heads(g, DQ, g->type, p->b, p->h, p->q_len, p->d);
  define_heads(g, LSE, DATA_F32, p->b, p->h, p->q_len, 1);
  int weights = apply(g, OP_SUBTRACT, "S - LSE", masked_scores(g), LSE, scores(g, DATA_F32));
  weights = apply(g, OP_EXP, "P", weights, -1, scores(g, DATA_F32));
  multiply_for_keys(g, "dV", rounded(g, "P", weights), D_O, p->d_v, DV);
  const int dp = multiply(g, "dP", D_O, PLAIN, V, TRANSPOSED, scores(g, DATA_F32));
  const int o_do = apply(g, OP_MULTIPLY, "O dO", O, D_O, between(g, DATA_F32, p->q_len, p->d_v));
  const int delta = sum(g, "D", o_do, rank_of(p) - 1, between(g, DATA_F32, p->q_len, 1));
  int ds = apply(g, OP_SUBTRACT, "dP - D", dp, delta, scores(g, DATA_F32));
  ds = apply(g, OP_MULTIPLY, "dS", weights, ds, scores(g, DATA_F32));
  ds = apply(g, OP_MULTIPLY, "scale of dS", ds, SCALE, scores(g, DATA_F32));
  ds = rounded(g, "dS", ds);
  multiply_for_keys(g, "dK", ds, Q, p->d, DK);
  multiply(g, "dQ", ds, PLAIN, K, PLAIN, DQ);
}

/* Whether this processor has no products of f16, without which oneDNN does not fuse them. */
static bool lacks_f16(void) {
#if defined(__x86_64__)
  const unsigned avx512_fp16 = 1u << 23;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & avx512_fp16) == 0;
#else
  return false;
#endif
}

static void end_graph(struct builder* g, struct dnnl_graph_partition** partition) {
  size_t count = 0;
  if (!succeeds(g, onednn.dnnl_graph_graph_finalize(g->graph), "dnnl_graph_graph_finalize") ||
      !succeeds(g, onednn.dnnl_graph_graph_filter(g->graph, POLICY_FUSION),
                "dnnl_graph_graph_filter") ||
      !succeeds(g, onednn.dnnl_graph_graph_get_partition_num(g->graph, &count),
                "dnnl_graph_graph_get_partition_num"))
    return;
  if (count != 1) {
    g->status = FBK_UNSUPPORTED;
    snprintf(g->why, sizeof g->why, "it makes %zu partitions of this, and no attention of one%s",
             count,
             g->type == DATA_F16 && lacks_f16() ? ": f16 takes a processor with AVX512_FP16" : "");
    return;
  }
  uint8_t is_supported = 0;
  if (!succeeds(g, onednn.dnnl_graph_graph_get_partitions(g->graph, 1, partition),
                "dnnl_graph_graph_get_partitions") ||
      !succeeds(g, onednn.dnnl_graph_partition_is_supported(*partition, &is_supported),
                "dnnl_graph_partition_is_supported") ||
      is_supported)
    return;
  g->status = FBK_UNSUPPORTED;
  snprintf(g->why, sizeof g->why, "it does not know this attention");
}

static void find_ports(struct builder* g, const struct dnnl_graph_partition* partition,
                       struct attention_graph* out) {
  logical_tensor ports[MOST_PORTS];
  for (int side = 0; side < 2 && g->status == FBK_OK; ++side) {
    size_t* count = &out->count[side];
    succeeds(g,
             side == 0 ? onednn.dnnl_graph_partition_get_input_ports_num(partition, count)
                       : onednn.dnnl_graph_partition_get_output_ports_num(partition, count),
             "the number of ports");
    if (g->status == FBK_OK && *count > MOST_PORTS) {
      g->status = FBK_FAILED;
      snprintf(g->why, sizeof g->why, "its partition has %zu ports", *count);
      *count = 0;
    }
    if (g->status != FBK_OK) return;
    succeeds(g,
             side == 0 ? onednn.dnnl_graph_partition_get_input_ports(partition, *count, ports)
                       : onednn.dnnl_graph_partition_get_output_ports(partition, *count, ports),
             "ports");
    for (size_t i = 0; i < *count && g->status == FBK_OK; ++i) {
      out->ids[side][i] = (int)ports[i].id;
      if (ports[i].id < FIRST_BETWEEN) continue;
      g->status = FBK_UNSUPPORTED;
      snprintf(g->why, sizeof g->why, "its partition has a port between operations, tensor %zu",
               ports[i].id);
    }
  }
}

static void compile(struct builder* g, struct dnnl_engine* engine,
                    struct dnnl_graph_partition* partition, struct attention_graph* out) {
  const logical_tensor* ports[2][MOST_PORTS];
  for (int side = 0; side < 2; ++side)
    for (size_t i = 0; i < out->count[side]; ++i) ports[side][i] = &g->tensors[out->ids[side][i]];
  if (succeeds(g, onednn.dnnl_graph_compiled_partition_create(&out->compiled, partition),
               "dnnl_graph_compiled_partition_create"))
    succeeds(g,
             onednn.dnnl_graph_partition_compile(partition, out->compiled, out->count[0], ports[0],
                                                 out->count[1], ports[1], engine),
             "dnnl_graph_partition_compile");
  for (int side = 0; side < 2; ++side)
    for (size_t i = 0; i < out->count[side] && g->status == FBK_OK; ++i)
      succeeds(g,
               onednn.dnnl_graph_tensor_create(&out->ports[side][i], ports[side][i], engine, NULL),
               "dnnl_graph_tensor_create");
}

static void destroy_graph(struct attention_graph* a) {
  for (int side = 0; side < 2; ++side)
    for (size_t i = 0; i < a->count[side]; ++i)
      if (a->ports[side][i] != NULL) onednn.dnnl_graph_tensor_destroy(a->ports[side][i]);
  if (a->compiled != NULL) onednn.dnnl_graph_compiled_partition_destroy(a->compiled);
}

enum which { FORWARD, FORWARD_WITH_LSE, BACKWARD };

/* One pass of a problem. FBK_OK: `out` is to be destroyed; else `why` has oneDNN's reason. */
static fbk_status make_graph(const fbk_problem* p, int type, enum which which,
                             struct dnnl_engine* engine, struct attention_graph* out,
                             char why[LONGEST_WHY]) {
  struct dnnl_graph_partition* partition = NULL;
  struct builder g;
  memset(&g, 0, sizeof g);
  memset(out, 0, sizeof *out);
  g.problem = p;
  g.type = type;
  g.next_tensor = FIRST_BETWEEN;
  succeeds(&g, onednn.dnnl_graph_graph_create(&g.graph, ENGINE_CPU), "dnnl_graph_graph_create");
  if (which == BACKWARD)
    build_backward(&g);
  else
    build_forward(&g, which == FORWARD_WITH_LSE ? WITH_LSE : NO_LSE);
  if (g.status == FBK_OK) end_graph(&g, &partition);
  if (g.status == FBK_OK) find_ports(&g, partition, out);
  if (g.status == FBK_OK) compile(&g, engine, partition, out);
  if (g.status != FBK_OK) destroy_graph(out);
  if (partition != NULL) onednn.dnnl_graph_partition_destroy(partition);
  if (g.graph != NULL) onednn.dnnl_graph_graph_destroy(g.graph);
  memcpy(why, g.why, sizeof g.why);
  return g.status;
}

#endif
