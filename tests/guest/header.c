#include "flashbench_kernel.h"

/* What was agreed upon does not move: plug-ins of version 1 are out there. */
#define AT(type, member, offset) \
  typedef char type##_##member[offsetof(type, member) == (offset) ? 1 : -1]
AT(fbk_tensor, data, 0);
AT(fbk_tensor, device, 8);
AT(fbk_tensor, ndim, 16);
AT(fbk_tensor, dtype, 20);
AT(fbk_tensor, shape, 24);
AT(fbk_tensor, strides, 32);
AT(fbk_tensor, byte_offset, 40);
AT(fbk_problem, features, 4);
AT(fbk_problem, threads, 12);
AT(fbk_problem, b, 40);
AT(fbk_problem, softcap, 140);
AT(fbk_call, q, 8);
AT(fbk_call, o, 112);
AT(fbk_call, stream, 176);
AT(fbk_kernel, name, 8);
AT(fbk_kernel, plan, 40);
AT(fbk_kernel, flop_executed, 72);

int flashbench_header_is_fine(void);
int flashbench_header_is_fine(void) { return 0; }
