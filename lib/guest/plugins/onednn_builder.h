/* A graph of operations for oneDNN's Graph API, as it is built. Shapes are [b, h, rows, columns],
 * and for grouped heads [b, h_kv, group, rows, columns], with a group of 1 for K and V. */
#ifndef FLASHBENCH_ONEDNN_BUILDER_H
#define FLASHBENCH_ONEDNN_BUILDER_H

#include "flashbench_kernel.h"
#include "onednn_functions.h"

static struct onednn_functions onednn;

/* The tensors that are given to a graph or asked of it; those between operations come after. */
enum {
  Q,
  K,
  V,
  O,
  LSE,
  D_O,
  DQ,
  DK,
  DV,
  MASK,  /* 0 or -inf, or the bias: added to scores */
  SCALE, /* a number */
  FIRST_BETWEEN,
  MOST_TENSORS = 48,
  MOST_PORTS = 24
};

enum { LONGEST_WHY = 256 };

/* While a graph is built. The first failure stays, and everything after it does nothing. */
struct builder {
  const fbk_problem* problem;
  struct dnnl_graph_graph* graph;
  logical_tensor tensors[MOST_TENSORS];
  int next_tensor, next_op;
  int type; /* of Q, K, V, O and gradients */
  fbk_status status;
  char why[LONGEST_WHY];
};

static bool uses(const fbk_problem* p, uint32_t features) { return (p->features & features) != 0; }

static const char* shown_status(unsigned status) {
  static const char* const names[] = {"success",
                                      "out of memory",
                                      "invalid arguments",
                                      "unimplemented",
                                      "last implementation reached",
                                      "a run-time error",
                                      "not required",
                                      "invalid graph",
                                      "invalid operation",
                                      "invalid shape",
                                      "invalid data type"};
  const size_t count = sizeof names / sizeof *names;
  return status < count ? names[status] : "an unknown status";
}

/* Keeps what oneDNN answers, if that is a failure. */
static bool succeeds(struct builder* g, unsigned status, const char* what) {
  if (g->status != FBK_OK || status == STATUS_SUCCESS) return g->status == FBK_OK;
  g->status = status == STATUS_NO_MEMORY       ? FBK_NO_MEMORY
              : status == STATUS_UNIMPLEMENTED ? FBK_UNSUPPORTED
                                               : FBK_FAILED;
  snprintf(g->why, sizeof g->why, "%s: %s", what, shown_status(status));
  return false;
}

static int define(struct builder* g, int id, unsigned type, int rank, const int64_t* dims) {
  succeeds(g,
           onednn.dnnl_graph_logical_tensor_init_with_dims(&g->tensors[id], (size_t)id, type, rank,
                                                           dims, LAYOUT_STRIDED, PROPERTY_VARIABLE),
           "dnnl_graph_logical_tensor_init_with_dims");
  return id;
}

static bool is_grouped(const fbk_problem* p) { return p->h != p->h_kv; }

static int rank_of(const fbk_problem* p) { return is_grouped(p) ? 5 : 4; }

/* heads: h, h_kv, or 1. */
static int define_heads(struct builder* g, int id, int type, int64_t b, int64_t heads, int64_t rows,
                        int64_t columns) {
  const fbk_problem* p = g->problem;
  const int64_t group = p->h / p->h_kv;
  const int64_t plain[] = {b, heads, rows, columns};
  const int64_t grouped[] = {b, heads == 1 ? 1 : p->h_kv, heads == p->h ? group : 1, rows, columns};
  return define(g, id, type, rank_of(p), is_grouped(p) ? grouped : plain);
}

/* A tensor between operations: for every query head. */
static int between(struct builder* g, int type, int64_t rows, int64_t columns) {
  return define_heads(g, g->next_tensor++, type, g->problem->b, g->problem->h, rows, columns);
}
static int scores(struct builder* g, int type) {
  return between(g, type, g->problem->q_len, g->problem->kv_len);
}

static struct dnnl_graph_op* begin_op(struct builder* g, int kind, const char* name) {
  struct dnnl_graph_op* op = NULL;
  succeeds(g, onednn.dnnl_graph_op_create(&op, (size_t)g->next_op++, kind, name), name);
  return op;
}

enum side { INPUT, OUTPUT };

static void connect(struct builder* g, struct dnnl_graph_op* op, enum side side, int id) {
  if (g->status != FBK_OK) return;
  succeeds(g,
           side == INPUT ? onednn.dnnl_graph_op_add_input(op, &g->tensors[id])
                         : onednn.dnnl_graph_op_add_output(op, &g->tensors[id]),
           "dnnl_graph_op_add_input or _output");
}

static void end_op(struct builder* g, struct dnnl_graph_op* op, const char* name) {
  if (g->status == FBK_OK) succeeds(g, onednn.dnnl_graph_add_op(g->graph, op), name);
  if (op != NULL) onednn.dnnl_graph_op_destroy(op);
}

/* result = kind(x, y); y below 0: there is none. */
static int apply(struct builder* g, int kind, const char* name, int x, int y, int result) {
  struct dnnl_graph_op* op = begin_op(g, kind, name);
  connect(g, op, INPUT, x);
  if (y >= 0) connect(g, op, INPUT, y);
  connect(g, op, OUTPUT, result);
  end_op(g, op, name);
  return result;
}

static void set_flag(struct builder* g, struct dnnl_graph_op* op, unsigned attribute, bool is_set) {
  const uint8_t value = is_set;
  if (g->status == FBK_OK)
    succeeds(g, onednn.dnnl_graph_op_set_attr_bool(op, attribute, &value, 1),
             "dnnl_graph_op_set_attr_bool");
}

static void set_number(struct builder* g, struct dnnl_graph_op* op, unsigned attribute,
                       int64_t value) {
  if (g->status == FBK_OK)
    succeeds(g, onednn.dnnl_graph_op_set_attr_s64(op, attribute, &value, 1),
             "dnnl_graph_op_set_attr_s64");
}

static void set_text(struct builder* g, struct dnnl_graph_op* op, unsigned attribute,
                     const char* value) {
  if (g->status == FBK_OK)
    succeeds(g, onednn.dnnl_graph_op_set_attr_str(op, attribute, value, strlen(value)),
             "dnnl_graph_op_set_attr_str");
}

enum { PLAIN, TRANSPOSED };

static int multiply(struct builder* g, const char* name, int x, int x_is, int y, int y_is,
                    int result) {
  struct dnnl_graph_op* op = begin_op(g, OP_MATMUL, name);
  set_flag(g, op, ATTR_TRANSPOSE_A, x_is == TRANSPOSED);
  set_flag(g, op, ATTR_TRANSPOSE_B, y_is == TRANSPOSED);
  connect(g, op, INPUT, x);
  connect(g, op, INPUT, y);
  connect(g, op, OUTPUT, result);
  end_op(g, op, name);
  return result;
}

static int sum(struct builder* g, const char* name, int x, int64_t axis, int result) {
  struct dnnl_graph_op* op = begin_op(g, OP_REDUCE_SUM, name);
  set_number(g, op, ATTR_AXES, axis);
  set_flag(g, op, ATTR_KEEP_DIMS, true);
  connect(g, op, INPUT, x);
  connect(g, op, OUTPUT, result);
  end_op(g, op, name);
  return result;
}

#endif
