/* Compiled where ggml is installed: the plug-in declares ggml's functions and structs itself. */
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include "ggml_functions.h"

#define SAME(library, result, name, parameters) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(name), result parameters), #name);
GGML_FUNCTIONS(SAME)

_Static_assert((int)TYPE_F32 == (int)GGML_TYPE_F32, "f32");
_Static_assert((int)TYPE_F16 == (int)GGML_TYPE_F16, "f16");
_Static_assert((int)TYPE_BF16 == (int)GGML_TYPE_BF16, "bf16");
_Static_assert((int)STATUS_SUCCESS == (int)GGML_STATUS_SUCCESS, "success");
_Static_assert((int)STATUS_NO_MEMORY == (int)GGML_STATUS_ALLOC_FAILED, "no memory");
_Static_assert((int)MOST_THREADS == (int)GGML_MAX_N_THREADS, "threads");

#define SAME_PLACE(ours, theirs, member) \
  _Static_assert(offsetof(struct ours, member) == offsetof(struct theirs, member), #member)
SAME_PLACE(init_params, ggml_init_params, mem_size);
SAME_PLACE(init_params, ggml_init_params, mem_buffer);
SAME_PLACE(init_params, ggml_init_params, no_alloc);
_Static_assert(sizeof(struct init_params) == sizeof(struct ggml_init_params), "init_params");
SAME_PLACE(pool_params, ggml_threadpool_params, n_threads);
SAME_PLACE(pool_params, ggml_threadpool_params, poll);
_Static_assert(sizeof(struct pool_params) >= sizeof(struct ggml_threadpool_params), "pool_params");
