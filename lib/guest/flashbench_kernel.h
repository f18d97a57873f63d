/* flashbench's kernel interface, version 1, for C11 and C++17. A plug-in is a shared library that
 * exports flashbench_kernel(); this file is all that it needs.
 *
 *     cc -O3 -shared -fPIC mine.c -o mine.so && flashbench check --plugin ./mine.so
 *     flashbench bench --plugin ./mine.so --q_len 1k --d 64
 *
 * Attention: P = softmax(scale * Q K^T + ...), O = P V, LSE = log of the sum of exp, natural.
 * Query i of a batch element that has q_len queries and kv_len keys is at position
 * i + kv_len - q_len: masks by position are aligned at the bottom right. A query that sees no key
 * has O = 0 and LSE = -inf. Query head n reads K/V head n / (h / h_kv).
 */
#ifndef FLASHBENCH_KERNEL_H
#define FLASHBENCH_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a struct changes other than by growing at its end. A struct that has grown says by
 * its struct_size which fields its maker knows: look at it before you read a field that came later,
 * and do not copy a struct of the program, which may be smaller than yours. */
#define FBK_VERSION 1u

typedef enum {
  FBK_OK = 0,
  FBK_UNSUPPORTED = 1,  /* this problem is not for this kernel: it is skipped, with the reason */
  FBK_NO_MEMORY = 2,    /* likewise */
  FBK_DEVICE_ERROR = 3, /* the case fails */
  FBK_FAILED = 4        /* likewise */
} fbk_status;

/* Bits of fbk_problem.pass. Both: run() does a forward and a backward call. */
enum { FBK_FORWARD = 1, FBK_BACKWARD = 2 };

/* Bits of fbk_problem.features: what the problem uses. A bit that a kernel does not know must be
 * answered with FBK_UNSUPPORTED, or it would answer a question that nobody asked. */
enum {
  FBK_CAUSAL = 1 << 0,        /* a query at position x sees the keys j <= x */
  FBK_KEY_MASK = 1 << 1,      /* and only where key_mask[b][j] is 1 */
  FBK_WINDOW = 1 << 2,        /* and x - window_left <= j <= x + window_right */
  FBK_SOFTCAP = 1 << 3,       /* a scaled score s becomes softcap * tanh(s / softcap) */
  FBK_ALIBI = 1 << 4,         /* then loses alibi_slopes[b][h] * |x - j| */
  FBK_BIAS = 1 << 5,          /* then gains bias[b or 0][h or 0][i][j]; -inf hides the pair */
  FBK_BIAS_GRADIENT = 1 << 6, /* dbias is wanted: dS, summed over the axes that are 1 in bias */
  FBK_SINKS = 1 << 7,         /* sinks[h] is one more logit of the sum, and has no value */
  FBK_VALUE_DIM = 1 << 8,     /* d_v is not d */
  FBK_KV_DTYPE = 1 << 9, /* K and V have kv_dtype, and count times k_scale and v_scale[b][h_kv] */
  FBK_VALUES_IN_KEYS = 1 << 10, /* V is the first d_v columns of K; v is null */
  FBK_RAGGED = 1 << 11,         /* see fbk_call */
  FBK_PAGES = 1 << 12,          /* see fbk_call */
  FBK_DETERMINISTIC = 1 << 13,  /* gradients are to be the same bits in every call */
  FBK_GPU = 1 << 14             /* tensors and workspace are in the memory of problem.device */
};

/* DLPack's tensor (1.1), field by field: a DLTensor is one of these. */
enum { FBK_CPU = 1, FBK_CUDA = 2 }; /* device_type */
enum { FBK_INT = 0, FBK_UINT = 1, FBK_FLOAT = 2, FBK_BFLOAT = 4, FBK_E4M3FN = 10, FBK_E5M2 = 12 };
typedef struct {
  int32_t device_type, device_id;
} fbk_device;
typedef struct {
  uint8_t code, bits; /* f32: FBK_FLOAT 32; f16: FBK_FLOAT 16; bf16: FBK_BFLOAT 16 */
  uint16_t lanes;     /* 1 */
} fbk_dtype;
typedef struct {
  void *data; /* 256-byte aligned */
  fbk_device device;
  int32_t ndim;
  fbk_dtype dtype;
  int64_t *shape, *strides; /* strides in elements; that of the last axis is 1 */
  uint64_t byte_offset;     /* 0 */
} fbk_tensor;

/* What is asked for; it holds from plan() to destroy(). */
typedef struct {
  uint32_t struct_size, features;
  int32_t pass;
  int32_t threads; /* that the kernel may use; OMP_NUM_THREADS says the same */
  fbk_device device;
  fbk_dtype dtype, kv_dtype, bias_dtype; /* of Q, O and gradients; of K and V; of bias and dbias */
  int64_t b, h, h_kv, q_len, kv_len, d, d_v;
  int64_t window_left, window_right; /* -1: unbounded */
  int64_t page_size;                 /* rows; 0: no pages */
  int64_t bias_b, bias_h;            /* axes of bias: 1, or b and h */
  float scale, softcap;              /* softcap 0: none */
} fbk_problem;

/* The tensors of one call; null where the problem has none. Inputs cannot be written: to try ends
 * the case. Every byte of an output is 0xFF, which is NaN, before the first call on new inputs, and
 * some bytes are before every call.
 *
 * Between calls of run() the numbers in q, k, v, d_o and the o and lse that a backward call takes
 * as given change; where they lie does not, nor does anything else: masks, slopes, bias, sinks,
 * scales, cu_seqlens, block_table.
 *
 * FBK_GPU: every pointer to data, workspace too, is the GPU's. Its primary context is current in
 * every function of the kernel, so that the runtime's calls and the driver's meet; time is that of
 * the stream. Nothing stops a write to an input there, or within 256 bytes of a tensor or of the
 * workspace: it is found when results are collected, and fails the case. Nothing becomes 0xFF
 * between two calls.
 *
 * FBK_RAGGED: b sequences of their own lengths, one behind the other: rows cu_seqlens_q[n] to
 * cu_seqlens_q[n + 1] of q, do, o, lse and dq are those of sequence n, rows of cu_seqlens_k those
 * of k, v, dk and dv. These tensors are [1, heads, all rows, d] with strides that make them [all
 * rows, heads, d] in memory (FlashAttention's "varlen"); q_len and kv_len are the longest.
 *
 * FBK_PAGES: k and v are pools [pages, h_kv, page_size, d]. Key j of batch element n is row
 * j % page_size of page block_table[n][j / page_size]; with FBK_RAGGED, element n has
 * cu_seqlens_k[n + 1] - cu_seqlens_k[n] keys, else kv_len. */
typedef struct {
  uint32_t struct_size, reserved;
  const fbk_tensor *q;                           /* [b, h, q_len, d] */
  const fbk_tensor *k, *v;                       /* [b, h_kv, kv_len, d], [b, h_kv, kv_len, d_v] */
  const fbk_tensor *d_o;                         /* [b, h, q_len, d_v], with FBK_BACKWARD */
  const fbk_tensor *key_mask;                    /* [b, kv_len] u8, 1 = keep */
  const fbk_tensor *sinks;                       /* [h] f32 */
  const fbk_tensor *alibi_slopes;                /* [b, h] f32 */
  const fbk_tensor *bias;                        /* [bias_b, bias_h, q_len, kv_len] */
  const fbk_tensor *k_scale, *v_scale;           /* [b, h_kv] f32 */
  const fbk_tensor *cu_seqlens_q, *cu_seqlens_k; /* [b + 1] i32 */
  const fbk_tensor *block_table;                 /* [b, most pages] i32 */
  fbk_tensor *o;                                 /* [b, h, q_len, d_v] */
  fbk_tensor *lse; /* [b, h, q_len] f32; a kernel that has none may leave it: see `writes` */
  fbk_tensor *dq, *dk, *dv; /* with FBK_BACKWARD, of the shapes of q, k, v */
  fbk_tensor *dsinks;       /* [h] f32, with FBK_BACKWARD and FBK_SINKS */
  fbk_tensor *dbias;        /* as bias, with FBK_BIAS_GRADIENT */
  void *workspace; /* of the bytes that plan() asked for, 256-byte aligned; anything may be in it */
  void *stream;    /* FBK_GPU: the CUstream on which run() queues; it waits for nothing. Null is the
                    * legacy default stream. Work on other streams has to be joined into it. */
} fbk_call;

typedef struct fbk_plan fbk_plan; /* the kernel's own */

/* What the program lends to kernels. */
typedef struct {
  uint32_t struct_size, version;
  void *self;
  void (*log)(void *self, const char *line); /* a line for the user */
  /* Calls f(context, i) for every i in [0, n), on as many threads as the problem allows. */
  void (*parallel)(void *self, int64_t n, void (*f)(void *context, int64_t i), void *context);
} fbk_host;

/* Bits of fbk_kernel.writes. */
enum { FBK_WRITES_LSE = 1 };

/* Bits of fbk_kernel.rounds: what the kernel rounds to the tensors' dtype beyond what every kernel
 * must (results, P and dS). Its limits count that, and reports say so. Unknown bits are refused. */
enum { FBK_ROUNDS_QUERY_HEADS = 1 /* dK, dV of each query head, before its group's are added */ };

/* Values of fbk_kernel.layout: how q, k, v, o and what belongs to them (d_o, gradients, pages) lie
 * in memory. Shapes are the same: strides tell. What is packed has one layout alone. */
enum { FBK_BHSD, FBK_BSHD };

/* A kernel, in static storage. Every function that fails leaves the reason in `why`, one line of at
 * most `bytes` with its zero. C++ exceptions must not leave them. */
typedef struct {
  uint32_t struct_size, version;          /* sizeof(fbk_kernel), FBK_VERSION */
  const char *name, *description, *build; /* "mine_v2"; one line; "git 3f2a1c, gcc 14" or null */
  uint32_t writes, layout;
  /* Whether it computes this problem, and how much workspace that takes. Tensors are not there yet.
   * Called for every problem, also to ask only. With FBK_OK `out` is destroyed by destroy(), else
   * it is not looked at. */
  fbk_status (*plan)(const fbk_host *, const fbk_problem *, fbk_plan **out, size_t *workspace_bytes,
                     char *why, size_t bytes);
  /* Untimed, with FBK_BACKWARD alone: a forward call, which writes o and lse and keeps what the
   * backward call takes as given. Null where that is nothing: then o and lse are the program's own.
   * d_o is not there yet. */
  fbk_status (*prepare)(fbk_plan *, const fbk_call *, char *why, size_t bytes);
  /* The timed call. The backward alone reads o and lse, and writes neither. */
  fbk_status (*run)(fbk_plan *, const fbk_call *, char *why, size_t bytes);
  void (*destroy)(fbk_plan *);
  /* FLOP that run() executes, masked tiles and recomputation included; null: not known. */
  double (*flop_executed)(const fbk_plan *);
  uint32_t rounds; /* FBK_ROUNDS_..., of any problem that it computes */
  uint32_t reserved;
} fbk_kernel;

/* The one symbol that a plug-in exports: its kernel number i for a program of that version; null
 * past the last one, and for a version that it does not serve. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const fbk_kernel *
flashbench_kernel(uint32_t host_version, uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
