/* The functions of libdnnl that the plug-in calls, found at run time: so the plug-in compiles where
 * oneDNN is not installed, and finds whichever one the user has. oneDNN's objects stay opaque, but
 * for the two structs below; where its headers are, a test compares all of this with them. */
#ifndef FLASHBENCH_ONEDNN_FUNCTIONS_H
#define FLASHBENCH_ONEDNN_FUNCTIONS_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DIMS = 12 }; /* DNNL_MAX_NDIMS */

/* Of oneDNN's enums. */
enum { STATUS_SUCCESS = 0, STATUS_NO_MEMORY = 1, STATUS_UNIMPLEMENTED = 3 };
enum { ENGINE_CPU = 1 };
enum { STREAM_IN_ORDER = 1 };
enum { POLICY_FUSION = 1 };
enum { DATA_F16 = 1, DATA_BF16 = 2, DATA_F32 = 3 };
enum { LAYOUT_STRIDED = 2 };
enum { PROPERTY_VARIABLE = 1 };
enum { RUNTIME_SEQUENTIAL = 1, RUNTIME_OPENMP = 2, RUNTIME_TBB = 4, RUNTIME_SYCL = 512 };
enum {
  OP_ADD = 2,
  OP_EXP = 26,
  OP_MATMUL = 39,
  OP_MULTIPLY = 46,
  OP_REDUCE_SUM = 57,
  OP_SOFTMAX = 64,
  OP_SUBTRACT = 74,
  OP_TYPE_CAST = 77
};
enum {
  ATTR_AXIS = 0x30,
  ATTR_AXES = 0x40,
  ATTR_KEEP_DIMS = 0x61,
  ATTR_TRANSPOSE_A = 0x65,
  ATTR_TRANSPOSE_B = 0x66,
  ATTR_MODE = 0x84
};

/* dnnl_version_t */
typedef struct {
  int major, minor, patch;
  const char* hash;
  unsigned cpu_runtime, gpu_runtime;
} onednn_version;

/* dnnl_graph_logical_tensor_t */
typedef struct {
  size_t id;
  int rank;
  int64_t dims[MOST_DIMS];
  unsigned data_type, property, layout;
  int64_t strides[MOST_DIMS];
} logical_tensor;

struct dnnl_engine;
struct dnnl_stream;
struct dnnl_graph_op;
struct dnnl_graph_graph;
struct dnnl_graph_partition;
struct dnnl_graph_compiled_partition;
struct dnnl_graph_tensor;

/* F(result, name, parameters); oneDNN's enums are unsigned, and its results are statuses. */
#define ONEDNN_FUNCTIONS(F)                                                                       \
  F(const onednn_version*, dnnl_version, (void))                                                  \
  F(unsigned, dnnl_engine_create, (struct dnnl_engine**, unsigned, size_t))                       \
  F(unsigned, dnnl_stream_create, (struct dnnl_stream**, struct dnnl_engine*, unsigned))          \
  F(unsigned, dnnl_stream_wait, (struct dnnl_stream*))                                            \
  F(unsigned, dnnl_graph_logical_tensor_init_with_dims,                                           \
    (logical_tensor*, size_t, unsigned, int32_t, const int64_t*, unsigned, unsigned))             \
  F(unsigned, dnnl_graph_op_create, (struct dnnl_graph_op**, size_t, unsigned, const char*))      \
  F(unsigned, dnnl_graph_op_destroy, (struct dnnl_graph_op*))                                     \
  F(unsigned, dnnl_graph_op_add_input, (struct dnnl_graph_op*, const logical_tensor*))            \
  F(unsigned, dnnl_graph_op_add_output, (struct dnnl_graph_op*, const logical_tensor*))           \
  F(unsigned, dnnl_graph_op_set_attr_bool,                                                        \
    (struct dnnl_graph_op*, unsigned, const uint8_t*, size_t))                                    \
  F(unsigned, dnnl_graph_op_set_attr_s64,                                                         \
    (struct dnnl_graph_op*, unsigned, const int64_t*, size_t))                                    \
  F(unsigned, dnnl_graph_op_set_attr_str, (struct dnnl_graph_op*, unsigned, const char*, size_t)) \
  F(unsigned, dnnl_graph_graph_create, (struct dnnl_graph_graph**, unsigned))                     \
  F(unsigned, dnnl_graph_graph_destroy, (struct dnnl_graph_graph*))                               \
  F(unsigned, dnnl_graph_add_op, (struct dnnl_graph_graph*, struct dnnl_graph_op*))               \
  F(unsigned, dnnl_graph_graph_finalize, (struct dnnl_graph_graph*))                              \
  F(unsigned, dnnl_graph_graph_filter, (struct dnnl_graph_graph*, unsigned))                      \
  F(unsigned, dnnl_graph_graph_get_partition_num, (const struct dnnl_graph_graph*, size_t*))      \
  F(unsigned, dnnl_graph_graph_get_partitions,                                                    \
    (struct dnnl_graph_graph*, size_t, struct dnnl_graph_partition**))                            \
  F(unsigned, dnnl_graph_partition_destroy, (struct dnnl_graph_partition*))                       \
  F(unsigned, dnnl_graph_partition_is_supported, (const struct dnnl_graph_partition*, uint8_t*))  \
  F(unsigned, dnnl_graph_partition_get_input_ports_num,                                           \
    (const struct dnnl_graph_partition*, size_t*))                                                \
  F(unsigned, dnnl_graph_partition_get_input_ports,                                               \
    (const struct dnnl_graph_partition*, size_t, logical_tensor*))                                \
  F(unsigned, dnnl_graph_partition_get_output_ports_num,                                          \
    (const struct dnnl_graph_partition*, size_t*))                                                \
  F(unsigned, dnnl_graph_partition_get_output_ports,                                              \
    (const struct dnnl_graph_partition*, size_t, logical_tensor*))                                \
  F(unsigned, dnnl_graph_partition_compile,                                                       \
    (struct dnnl_graph_partition*, struct dnnl_graph_compiled_partition*, size_t,                 \
     const logical_tensor**, size_t, const logical_tensor**, struct dnnl_engine*))                \
  F(unsigned, dnnl_graph_compiled_partition_create,                                               \
    (struct dnnl_graph_compiled_partition**, struct dnnl_graph_partition*))                       \
  F(unsigned, dnnl_graph_compiled_partition_destroy, (struct dnnl_graph_compiled_partition*))     \
  F(unsigned, dnnl_graph_compiled_partition_execute,                                              \
    (const struct dnnl_graph_compiled_partition*, struct dnnl_stream*, size_t,                    \
     const struct dnnl_graph_tensor**, size_t, const struct dnnl_graph_tensor**))                 \
  F(unsigned, dnnl_graph_tensor_create,                                                           \
    (struct dnnl_graph_tensor**, const logical_tensor*, struct dnnl_engine*, void*))              \
  F(unsigned, dnnl_graph_tensor_set_data_handle, (struct dnnl_graph_tensor*, void*))              \
  F(unsigned, dnnl_graph_tensor_destroy, (struct dnnl_graph_tensor*))

struct onednn_functions {
#define MEMBER(result, name, parameters) result(*name) parameters;
  ONEDNN_FUNCTIONS(MEMBER)
#undef MEMBER
};

enum { LEAST_MINOR = 12 }; /* of 3: gradients by P = exp(S - LSE) */

#define HOW_TO_GET_IT                                                  \
  "python3 -m venv onednn && onednn/bin/pip install onednn, then put " \
  "LD_LIBRARY_PATH=$PWD/onednn/lib "                                   \
  "in front of the command"

static bool found(void* library, const char* name, void* function, char* why, size_t bytes) {
  void* symbol = dlsym(library, name);
  /* ISO C has no cast from an object to a function. */
  memcpy(function, &symbol, sizeof symbol);
  if (symbol == NULL)
    snprintf(why, bytes,
             "this libdnnl has no %s, which builds with the Graph API have: " HOW_TO_GET_IT, name);
  return symbol != NULL;
}

/* Whether this is a oneDNN that computes what graphs say on the processor; else `why` says so. */
static bool is_known(const struct onednn_functions* f, char* why, size_t bytes) {
  const onednn_version* v = f->dnnl_version();
  if (v->major == 3 && v->minor >= LEAST_MINOR) return true;
  snprintf(why, bytes, "this libdnnl is %d.%d.%d; 3.%d or a later 3 is needed: " HOW_TO_GET_IT,
           v->major, v->minor, v->patch, LEAST_MINOR);
  return false;
}

/* Finds the functions in libdnnl, where the run-time linker looks (LD_LIBRARY_PATH, the system's
 * folders). False: `why` says how to get it. */
static bool load_onednn(struct onednn_functions* f, char* why, size_t bytes) {
  void* library = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_LOCAL);
  char otherwise[256] = "";
  if (library == NULL) snprintf(otherwise, sizeof otherwise, "%s", dlerror());
  if (library == NULL)
    library = dlopen("libdnnl.so.3.6", RTLD_NOW | RTLD_LOCAL); /* Debian's name */
  if (library == NULL) {
    snprintf(why, bytes, "%s; to get it: " HOW_TO_GET_IT, otherwise);
    return false;
  }
#define FIND(result, name, parameters) \
  if (!found(library, #name, &f->name, why, bytes)) return false;
  ONEDNN_FUNCTIONS(FIND)
#undef FIND
  return is_known(f, why, bytes);
}

#endif
