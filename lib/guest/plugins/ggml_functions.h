/* The functions of libggml that the plug-in calls, found at run time: so the plug-in compiles where
 * ggml is not installed, and finds whichever one the user has. Structs of ggml stay opaque, but for
 * the two below; where ggml's headers are, a test compares all of this with them. */
#ifndef FLASHBENCH_GGML_FUNCTIONS_H
#define FLASHBENCH_GGML_FUNCTIONS_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Of enum ggml_type; they are part of ggml's file format. */
enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_BF16 = 30 };
/* Of enum ggml_status. */
enum { STATUS_NO_MEMORY = -2, STATUS_SUCCESS = 0 };

enum { MOST_THREADS = 512 }; /* GGML_MAX_N_THREADS */

/* struct ggml_init_params */
struct init_params {
  size_t mem_size;
  void* mem_buffer;
  bool no_alloc;
};

/* struct ggml_threadpool_params, and room for what it may become */
struct pool_params {
  bool cpumask[MOST_THREADS];
  int n_threads;
  int prio;
  uint32_t poll; /* how long threads without work spin: 0 to 100 */
  bool strict_cpu, paused;
  char room[512];
};

struct ggml_context;
struct ggml_tensor;
struct ggml_cgraph;
struct ggml_backend;
struct ggml_backend_buffer;
struct ggml_threadpool;

/* F(library, result, name, parameters); ggml's enums are int or unsigned. */
#define GGML_FUNCTIONS(F)                                                                        \
  F(base, const char*, ggml_version, (void))                                                     \
  F(base, const char*, ggml_commit, (void))                                                      \
  F(base, void, ggml_free, (struct ggml_context*))                                               \
  F(base, size_t, ggml_tensor_overhead, (void))                                                  \
  F(base, size_t, ggml_graph_overhead, (void))                                                   \
  F(base, size_t, ggml_nbytes, (const struct ggml_tensor*))                                      \
  F(base, uint16_t, ggml_fp32_to_fp16, (float))                                                  \
  F(base, struct ggml_tensor*, ggml_new_tensor_4d,                                               \
    (struct ggml_context*, unsigned, int64_t, int64_t, int64_t, int64_t))                        \
  F(base, struct ggml_tensor*, ggml_view_4d,                                                     \
    (struct ggml_context*, struct ggml_tensor*, int64_t, int64_t, int64_t, int64_t, size_t,      \
     size_t, size_t, size_t))                                                                    \
  F(base, struct ggml_tensor*, ggml_permute,                                                     \
    (struct ggml_context*, struct ggml_tensor*, int, int, int, int))                             \
  F(base, struct ggml_tensor*, ggml_cpy,                                                         \
    (struct ggml_context*, struct ggml_tensor*, struct ggml_tensor*))                            \
  F(base, struct ggml_tensor*, ggml_flash_attn_ext,                                              \
    (struct ggml_context*, struct ggml_tensor*, struct ggml_tensor*, struct ggml_tensor*,        \
     struct ggml_tensor*, float, float, float))                                                  \
  F(base, void, ggml_flash_attn_ext_add_sinks, (struct ggml_tensor*, struct ggml_tensor*))       \
  F(base, struct ggml_cgraph*, ggml_new_graph, (struct ggml_context*))                           \
  F(base, void, ggml_build_forward_expand, (struct ggml_cgraph*, struct ggml_tensor*))           \
  F(base, void, ggml_threadpool_params_init, (struct ggml_threadpool_params*, int))              \
  F(base, struct ggml_backend_buffer*, ggml_backend_cpu_buffer_from_ptr, (void*, size_t))        \
  F(base, int, ggml_backend_tensor_alloc,                                                        \
    (struct ggml_backend_buffer*, struct ggml_tensor*, void*))                                   \
  F(base, void, ggml_backend_buffer_free, (struct ggml_backend_buffer*))                         \
  F(base, int, ggml_backend_graph_compute, (struct ggml_backend*, struct ggml_cgraph*))          \
  F(base, const char*, ggml_status_to_string, (int))                                             \
  F(cpu, struct ggml_backend*, ggml_backend_cpu_init, (void))                                    \
  F(cpu, void, ggml_backend_cpu_set_n_threads, (struct ggml_backend*, int))                      \
  F(cpu, void, ggml_backend_cpu_set_threadpool, (struct ggml_backend*, struct ggml_threadpool*)) \
  F(cpu, struct ggml_threadpool*, ggml_threadpool_new, (struct ggml_threadpool_params*))         \
  F(cpu, void, ggml_threadpool_free, (struct ggml_threadpool*))                                  \
  F(cpu, int, ggml_cpu_has_avx2, (void))                                                         \
  F(cpu, int, ggml_cpu_has_fma, (void))                                                          \
  F(cpu, int, ggml_cpu_has_f16c, (void))                                                         \
  F(cpu, int, ggml_cpu_has_avx512, (void))                                                       \
  F(cpu, int, ggml_cpu_has_avx512_bf16, (void))                                                  \
  F(cpu, int, ggml_cpu_has_neon, (void))                                                         \
  F(cpu, int, ggml_cpu_has_sve, (void))

struct ggml_threadpool_params;

struct ggml_functions {
  struct ggml_context* (*ggml_init)(struct init_params);
#define MEMBER(library, result, name, parameters) result(*name) parameters;
  GGML_FUNCTIONS(MEMBER)
#undef MEMBER
};

#define HOW_TO_GET_IT                                              \
  "python3 -m pip install --target ggml libggml-python, then put " \
  "LD_LIBRARY_PATH=$PWD/ggml/libggml/lib64 in front of the command"

static bool found(void* library, const char* name, void* function, char* why, size_t bytes) {
  void* symbol = dlsym(library, name);
  /* ISO C has no cast from an object to a function. */
  memcpy(function, &symbol, sizeof symbol);
  if (symbol == NULL)
    snprintf(why, bytes, "this libggml has no %s; ggml 0.20 has it: " HOW_TO_GET_IT, name);
  return symbol != NULL;
}

/* Whether this is a ggml whose structs are those above; else `why` says so. */
static bool is_known(const struct ggml_functions* g, char* why, size_t bytes) {
  int major = -1, minor = -1;
  if (sscanf(g->ggml_version(), "%d.%d", &major, &minor) != 2 || major != 0 || minor < 20) {
    snprintf(why, bytes, "this libggml is %s; 0.20 or later is needed: " HOW_TO_GET_IT,
             g->ggml_version());
    return false;
  }
  struct pool_params pool;
  memset(&pool, 0xFF, sizeof pool);
  g->ggml_threadpool_params_init((struct ggml_threadpool_params*)&pool, 3);
  if (pool.n_threads == 3 && pool.poll <= 100) return true;
  snprintf(why, bytes, "ggml %s has other structs than 0.20, which this plug-in is for",
           g->ggml_version());
  return false;
}

/* Finds the functions in libggml-base and libggml-cpu, where the run-time linker looks (the folder
 * that the plug-in was linked with, LD_LIBRARY_PATH, the system's). False: `why` says how to get
 * them. */
static bool load_ggml(struct ggml_functions* g, char* why, size_t bytes) {
  void* base = dlopen("libggml-base.so.0", RTLD_NOW | RTLD_LOCAL);
  void* cpu = base == NULL ? NULL : dlopen("libggml-cpu.so.0", RTLD_NOW | RTLD_LOCAL);
  if (cpu == NULL) {
    snprintf(why, bytes, "%s; to get it: " HOW_TO_GET_IT, dlerror());
    return false;
  }
  if (!found(base, "ggml_init", &g->ggml_init, why, bytes)) return false;
#define FIND(library, result, name, parameters) \
  if (!found(library, #name, &g->name, why, bytes)) return false;
  GGML_FUNCTIONS(FIND)
#undef FIND
  return is_known(g, why, bytes);
}

#endif
