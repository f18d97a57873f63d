/* A plug-in that is linked against more of CUDA's driver than the emulated device has. */
#include <stddef.h>

#include "flashbench_kernel.h"

int cuGraphCreate(void** graph, unsigned flags);

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  void* graph = NULL;
  (void)host_version, (void)i;
  cuGraphCreate(&graph, 0);
  return NULL;
}
