/* Functions as tvm-ffi's compilers make them, in plain C with structs of its own: they take
 * DLTensors by pointer, and write their outputs in place. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} DLTensor;

typedef struct {
  int32_t type_index;
  uint32_t zero_padding;
  union {
    int64_t v_int64;
    double v_float64;
    void* v_ptr;
  };
} TVMFFIAny;

enum { kNone = 0, kInt = 1, kBool = 2, kFloat = 3, kTensorPtr = 7 };

/* What libtvm_ffi.so would bring. */
typedef struct {
  uint64_t ref_count;
  int32_t type_index;
  uint32_t padding;
  void (*deleter)(void*, int);
  const char* kind;
  size_t kind_size;
  const char* message;
  size_t message_size;
} Error;
static Error* raised;
void TVMFFIErrorMoveFromRaised(void** result);
int TVMFFIObjectDecRef(void* object);
void TVMFFIErrorMoveFromRaised(void** result) {
  *result = raised;
  raised = NULL;
}
int TVMFFIObjectDecRef(void* object) {
  free(object);
  return 0;
}
static int raise_error(const char* kind, const char* message) {
  raised = calloc(1, sizeof *raised);
  raised->kind = kind;
  raised->kind_size = strlen(kind);
  raised->message = message;
  raised->message_size = strlen(message);
  return -1;
}

static int is(const char* mode) {
  const char* chosen = getenv("TVM_FFI_MODE");
  return chosen != NULL && strcmp(chosen, mode) == 0;
}

static float* floats(const TVMFFIAny* any) { return ((DLTensor*)any->v_ptr)->data; }

static int64_t count(const DLTensor* t) {
  int64_t n = 1;
  for (int32_t i = 0; i < t->ndim; ++i) n *= t->shape[i];
  return n;
}

/* The problem of its tensors: f32 on the processor, contiguous. */
static int is_right(const TVMFFIAny* any, int32_t ndim) {
  if (any->type_index != kTensorPtr || any->zero_padding != 0) return 0;
  const DLTensor* t = any->v_ptr;
  if (t->device_type != 1 || t->code != 2 || t->bits != 32 || t->lanes != 1) return 0;
  int64_t stride = 1;
  for (int32_t i = t->ndim - 1; i >= 0; stride *= t->shape[i--])
    if (t->strides[i] != stride) return 0;
  return t->ndim == ndim && t->byte_offset == 0;
}

struct problem {
  int64_t b, h, h_kv, q_len, kv_len, d;
  float scale;
  int causal;
};

static struct problem problem_of(const TVMFFIAny* q, const TVMFFIAny* k) {
  const int64_t *qs = ((DLTensor*)q->v_ptr)->shape, *ks = ((DLTensor*)k->v_ptr)->shape;
  struct problem p = {qs[0], qs[1], ks[1], qs[2], ks[2], qs[3], 1 / sqrtf((float)qs[3]), 0};
  return p;
}

/* O, and LSE where it is wanted, of every query. */
static void attend(const struct problem* p, const float* q, const float* k, const float* v,
                   float* o, float* lse) {
  for (int64_t n = 0; n < p->b * p->h * p->q_len; ++n) {
    const int64_t i = n % p->q_len, head = n / p->q_len;
    const int64_t at = (head / p->h * p->h_kv + head % p->h / (p->h / p->h_kv)) * p->kv_len * p->d;
    const int64_t sees = p->causal ? i + p->kv_len - p->q_len + 1 : p->kv_len;
    double sum = 0, most = -HUGE_VAL;
    for (int64_t pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < sees && j < p->kv_len; ++j) {
        double s = 0;
        for (int64_t e = 0; e < p->d; ++e) s += (double)q[n * p->d + e] * k[at + j * p->d + e];
        s *= (double)p->scale;
        if (pass == 0) {
          most = s > most ? s : most;
          continue;
        }
        const double weight = exp(s - most);
        for (int64_t e = 0; e < p->d; ++e)
          o[n * p->d + e] = (sum == 0 ? 0 : o[n * p->d + e]) + (float)weight * v[at + j * p->d + e];
        sum += weight;
      }
    for (int64_t e = 0; e < p->d; ++e) o[n * p->d + e] = sum > 0 ? o[n * p->d + e] / (float)sum : 0;
    if (lse != NULL) lse[n] = sum > 0 ? (float)(most + log(sum)) : -INFINITY;
  }
}

/* (q, k, v, o, lse, scale, causal) */
int __tvm_ffi_attention(void* self, const TVMFFIAny* args, int32_t num_args, TVMFFIAny* result);
int __tvm_ffi_attention(void* self, const TVMFFIAny* args, int32_t num_args, TVMFFIAny* result) {
  if (is("refuse")) return raise_error("NotImplementedError", "another GPU");
  if (is("raise")) return raise_error("ValueError", "the third tile is missing\nin two lines");
  if (is("silent")) return -1;
  if (is("write_input")) floats(args)[0] = 1;
  if (is("nothing")) return 0;
  if (self != NULL || num_args != 7 || result->type_index != kNone)
    return raise_error("TypeError", "not called as it should be");
  for (int i = 0; i < 4; ++i)
    if (!is_right(&args[i], 4)) return raise_error("TypeError", "a tensor of f32 was expected");
  if (!is_right(&args[4], 3) || args[5].type_index != kFloat || args[6].type_index != kBool)
    return raise_error("TypeError", "lse, a float and a bool were expected");
  struct problem p = problem_of(&args[0], &args[1]);
  p.scale = (float)args[5].v_float64;
  p.causal = args[6].v_int64 != 0;
  attend(&p, floats(&args[0]), floats(&args[1]), floats(&args[2]), floats(&args[3]),
         floats(&args[4]));
  return 0;
}

/* (q, k, v, o, lse, do, dq, dk, dv, scale, causal): for one key. */
int __tvm_ffi_attention_backward(void* self, const TVMFFIAny* args, int32_t num_args,
                                 TVMFFIAny* result);
int __tvm_ffi_attention_backward(void* self, const TVMFFIAny* args, int32_t num_args,
                                 TVMFFIAny* result) {
  (void)self, (void)result;
  if (num_args != 11 || !is_right(&args[5], 4) || args[9].type_index != kFloat)
    return raise_error("TypeError", "not called as it should be");
  const struct problem p = problem_of(&args[0], &args[1]);
  if (p.kv_len != 1 || p.h != p.h_kv) return raise_error("ValueError", "one key alone");
  memset(floats(&args[6]), 0, (size_t)count(args[6].v_ptr) * 4);
  memset(floats(&args[7]), 0, (size_t)count(args[7].v_ptr) * 4);
  for (int64_t head = 0; head < p.b * p.h; ++head)
    for (int64_t e = 0; e < p.d; ++e) {
      float sum = 0;
      for (int64_t i = 0; i < p.q_len; ++i) sum += floats(&args[5])[(head * p.q_len + i) * p.d + e];
      floats(&args[8])[head * p.d + e] = sum;
    }
  return 0;
}

/* (v, k, q, o): another order, no LSE, no scale, no mask. */
int __tvm_ffi_plain(void* self, const TVMFFIAny* args, int32_t num_args, TVMFFIAny* result);
int __tvm_ffi_plain(void* self, const TVMFFIAny* args, int32_t num_args, TVMFFIAny* result) {
  (void)self, (void)result;
  if (num_args != 4) return raise_error("TypeError", "4 arguments were expected");
  const struct problem p = problem_of(&args[2], &args[1]);
  attend(&p, floats(&args[2]), floats(&args[1]), floats(&args[0]), floats(&args[3]), NULL);
  return 0;
}
