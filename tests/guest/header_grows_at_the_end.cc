// What was agreed upon does not move: plug-ins of version 1 are out there.
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace first {
#define flashbench_kernel flashbench_kernel_of_the_first
#include "flashbench_kernel_v1.h"
#undef flashbench_kernel
}  // namespace first
#undef FLASHBENCH_KERNEL_H
#undef FBK_VERSION
namespace today {
#include "flashbench_kernel.h"
}

#define STAYS(type, member)                                                       \
  static_assert(offsetof(first::type, member) == offsetof(today::type, member) && \
                sizeof(first::type::member) == sizeof(today::type::member))
#define GROWS(type) static_assert(sizeof(first::type) <= sizeof(today::type))
#define IS_THE_SAME(name) static_assert(int{first::name} == int{today::name})

STAYS(fbk_device, device_type);
STAYS(fbk_device, device_id);
static_assert(sizeof(first::fbk_device) == sizeof(today::fbk_device));

STAYS(fbk_dtype, code);
STAYS(fbk_dtype, bits);
STAYS(fbk_dtype, lanes);
static_assert(sizeof(first::fbk_dtype) == sizeof(today::fbk_dtype));

STAYS(fbk_tensor, data);
STAYS(fbk_tensor, device);
STAYS(fbk_tensor, ndim);
STAYS(fbk_tensor, dtype);
STAYS(fbk_tensor, shape);
STAYS(fbk_tensor, strides);
STAYS(fbk_tensor, byte_offset);
static_assert(sizeof(first::fbk_tensor) == sizeof(today::fbk_tensor));

STAYS(fbk_problem, struct_size);
STAYS(fbk_problem, features);
STAYS(fbk_problem, pass);
STAYS(fbk_problem, threads);
STAYS(fbk_problem, device);
STAYS(fbk_problem, dtype);
STAYS(fbk_problem, kv_dtype);
STAYS(fbk_problem, bias_dtype);
STAYS(fbk_problem, b);
STAYS(fbk_problem, h);
STAYS(fbk_problem, h_kv);
STAYS(fbk_problem, q_len);
STAYS(fbk_problem, kv_len);
STAYS(fbk_problem, d);
STAYS(fbk_problem, d_v);
STAYS(fbk_problem, window_left);
STAYS(fbk_problem, window_right);
STAYS(fbk_problem, page_size);
STAYS(fbk_problem, bias_b);
STAYS(fbk_problem, bias_h);
STAYS(fbk_problem, scale);
STAYS(fbk_problem, softcap);
GROWS(fbk_problem);

STAYS(fbk_call, struct_size);
STAYS(fbk_call, reserved);
STAYS(fbk_call, q);
STAYS(fbk_call, k);
STAYS(fbk_call, v);
STAYS(fbk_call, d_o);
STAYS(fbk_call, key_mask);
STAYS(fbk_call, sinks);
STAYS(fbk_call, alibi_slopes);
STAYS(fbk_call, bias);
STAYS(fbk_call, k_scale);
STAYS(fbk_call, v_scale);
STAYS(fbk_call, cu_seqlens_q);
STAYS(fbk_call, cu_seqlens_k);
STAYS(fbk_call, block_table);
STAYS(fbk_call, o);
STAYS(fbk_call, lse);
STAYS(fbk_call, dq);
STAYS(fbk_call, dk);
STAYS(fbk_call, dv);
STAYS(fbk_call, dsinks);
STAYS(fbk_call, dbias);
STAYS(fbk_call, workspace);
STAYS(fbk_call, stream);
GROWS(fbk_call);

STAYS(fbk_host, struct_size);
STAYS(fbk_host, version);
STAYS(fbk_host, self);
STAYS(fbk_host, log);
STAYS(fbk_host, parallel);
GROWS(fbk_host);

STAYS(fbk_kernel, struct_size);
STAYS(fbk_kernel, version);
STAYS(fbk_kernel, name);
STAYS(fbk_kernel, description);
STAYS(fbk_kernel, build);
STAYS(fbk_kernel, writes);
STAYS(fbk_kernel, layout);
STAYS(fbk_kernel, plan);
STAYS(fbk_kernel, prepare);
STAYS(fbk_kernel, run);
STAYS(fbk_kernel, destroy);
STAYS(fbk_kernel, flop_executed);
GROWS(fbk_kernel);

IS_THE_SAME(FBK_OK);
IS_THE_SAME(FBK_UNSUPPORTED);
IS_THE_SAME(FBK_NO_MEMORY);
IS_THE_SAME(FBK_DEVICE_ERROR);
IS_THE_SAME(FBK_FAILED);
IS_THE_SAME(FBK_FORWARD);
IS_THE_SAME(FBK_BACKWARD);
IS_THE_SAME(FBK_CAUSAL);
IS_THE_SAME(FBK_KEY_MASK);
IS_THE_SAME(FBK_WINDOW);
IS_THE_SAME(FBK_SOFTCAP);
IS_THE_SAME(FBK_ALIBI);
IS_THE_SAME(FBK_BIAS);
IS_THE_SAME(FBK_BIAS_GRADIENT);
IS_THE_SAME(FBK_SINKS);
IS_THE_SAME(FBK_VALUE_DIM);
IS_THE_SAME(FBK_KV_DTYPE);
IS_THE_SAME(FBK_VALUES_IN_KEYS);
IS_THE_SAME(FBK_RAGGED);
IS_THE_SAME(FBK_PAGES);
IS_THE_SAME(FBK_DETERMINISTIC);
IS_THE_SAME(FBK_BHSD);
IS_THE_SAME(FBK_BSHD);
IS_THE_SAME(FBK_CPU);
IS_THE_SAME(FBK_CUDA);
IS_THE_SAME(FBK_INT);
IS_THE_SAME(FBK_UINT);
IS_THE_SAME(FBK_FLOAT);
IS_THE_SAME(FBK_BFLOAT);
IS_THE_SAME(FBK_E4M3FN);
IS_THE_SAME(FBK_E5M2);
IS_THE_SAME(FBK_WRITES_LSE);
