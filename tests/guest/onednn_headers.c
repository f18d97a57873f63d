/* Compiled where oneDNN's headers are: the plug-in declares its functions, structs and numbers
 * itself. */
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_graph.h>

#include "onednn_functions.h"

#define SAME_PLACE(ours, our_member, theirs, member) \
  _Static_assert(offsetof(ours, our_member) == offsetof(theirs, member), #member)
SAME_PLACE(onednn_version, patch, dnnl_version_t, patch);
SAME_PLACE(onednn_version, hash, dnnl_version_t, hash);
SAME_PLACE(onednn_version, cpu_runtime, dnnl_version_t, cpu_runtime);
SAME_PLACE(logical_tensor, id, dnnl_graph_logical_tensor_t, id);
SAME_PLACE(logical_tensor, rank, dnnl_graph_logical_tensor_t, ndims);
SAME_PLACE(logical_tensor, dims, dnnl_graph_logical_tensor_t, dims);
SAME_PLACE(logical_tensor, data_type, dnnl_graph_logical_tensor_t, data_type);
SAME_PLACE(logical_tensor, property, dnnl_graph_logical_tensor_t, property);
SAME_PLACE(logical_tensor, layout, dnnl_graph_logical_tensor_t, layout_type);
SAME_PLACE(logical_tensor, strides, dnnl_graph_logical_tensor_t, layout.strides);
_Static_assert(sizeof(logical_tensor) == sizeof(dnnl_graph_logical_tensor_t), "logical_tensor");

/* With their structs for ours, which are as they are: see above. */
#define logical_tensor dnnl_graph_logical_tensor_t
#define onednn_version dnnl_version_t
#define SAME(result, name, parameters) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(name), result parameters), #name);
ONEDNN_FUNCTIONS(SAME)

#define SAME_NUMBER(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME_NUMBER(MOST_DIMS, DNNL_MAX_NDIMS);
SAME_NUMBER(ENGINE_CPU, dnnl_cpu);
SAME_NUMBER(STREAM_IN_ORDER, dnnl_stream_in_order);
SAME_NUMBER(POLICY_FUSION, dnnl_graph_partition_policy_fusion);
SAME_NUMBER(LAYOUT_STRIDED, dnnl_graph_layout_type_strided);
SAME_NUMBER(PROPERTY_VARIABLE, dnnl_graph_tensor_property_variable);
SAME_NUMBER(DATA_F16, dnnl_f16);
SAME_NUMBER(DATA_BF16, dnnl_bf16);
SAME_NUMBER(DATA_F32, dnnl_f32);
SAME_NUMBER(RUNTIME_SEQUENTIAL, DNNL_RUNTIME_SEQ);
SAME_NUMBER(RUNTIME_OPENMP, DNNL_RUNTIME_OMP);
SAME_NUMBER(RUNTIME_TBB, DNNL_RUNTIME_TBB);
SAME_NUMBER(RUNTIME_SYCL, DNNL_RUNTIME_SYCL);
SAME_NUMBER(STATUS_SUCCESS, dnnl_success);
SAME_NUMBER(STATUS_NO_MEMORY, dnnl_out_of_memory);
SAME_NUMBER(STATUS_UNIMPLEMENTED, dnnl_unimplemented);
SAME_NUMBER(OP_ADD, dnnl_graph_op_add);
SAME_NUMBER(OP_EXP, dnnl_graph_op_exp);
SAME_NUMBER(OP_MATMUL, dnnl_graph_op_matmul);
SAME_NUMBER(OP_MULTIPLY, dnnl_graph_op_multiply);
SAME_NUMBER(OP_REDUCE_SUM, dnnl_graph_op_reduce_sum);
SAME_NUMBER(OP_SOFTMAX, dnnl_graph_op_softmax);
SAME_NUMBER(OP_SUBTRACT, dnnl_graph_op_subtract);
SAME_NUMBER(OP_TYPE_CAST, dnnl_graph_op_type_cast);
SAME_NUMBER(ATTR_AXIS, dnnl_graph_op_attr_axis);
SAME_NUMBER(ATTR_AXES, dnnl_graph_op_attr_axes);
SAME_NUMBER(ATTR_KEEP_DIMS, dnnl_graph_op_attr_keep_dims);
SAME_NUMBER(ATTR_TRANSPOSE_A, dnnl_graph_op_attr_transpose_a);
SAME_NUMBER(ATTR_TRANSPOSE_B, dnnl_graph_op_attr_transpose_b);
SAME_NUMBER(ATTR_MODE, dnnl_graph_op_attr_mode);
