/* The example, compiled with headers of several times. Its kernel stands before a page that nobody
 * may read. */
#define flashbench_kernel example_kernel
#include "examples/attention.c"
#undef flashbench_kernel

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef OF_TOMORROW
/* Reads its new fields where they are there, as the header says. */
static fbk_status plan_of_tomorrow(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                                   size_t* workspace_bytes, char* why, size_t bytes) {
  if (p->struct_size > offsetof(fbk_problem, tomorrow) && p->tomorrow[0] != 0) {
    snprintf(why, bytes, "what tomorrow asks for");
    return FBK_UNSUPPORTED;
  }
  if (host->struct_size > offsetof(fbk_host, tomorrow) && host->tomorrow[0] != 0) return FBK_FAILED;
  return plan(host, p, out, workspace_bytes, why, bytes);
}
#endif

static const fbk_kernel* before_a_wall(void) {
  static fbk_kernel* placed = NULL;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (placed != NULL) return placed;
  char* pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0) return NULL;
  placed = (fbk_kernel*)(void*)(pages + page - sizeof(fbk_kernel));
  memcpy(placed, example_kernel(FBK_VERSION, 0), sizeof *placed);
#ifdef OF_TOMORROW
  placed->plan = plan_of_tomorrow;
  placed->writes |= 1u << 31;
  placed->tomorrow[0] = 7;
#endif
#ifdef STRUCT_SIZE
  placed->struct_size = STRUCT_SIZE;
#endif
  return placed;
}

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
#ifdef ANSWERS_EVERY_VERSION
  host_version = FBK_VERSION;
#endif
  return host_version == FBK_VERSION && i == 0 ? before_a_wall() : NULL;
}
