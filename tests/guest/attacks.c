/* Plug-ins that do what must not pass. ATTACK chooses one; what is computed otherwise is right. */
#define flashbench_kernel honest_kernel
#include "examples/attention.c"
#undef flashbench_kernel

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static const fbk_kernel* honest(void) { return honest_kernel(FBK_VERSION, 0); }

static int is(const char* attack) {
  const char* chosen = getenv("ATTACK");
  return chosen != NULL && strcmp(chosen, attack) == 0;
}

static fbk_status bad_plan(const fbk_host* host, const fbk_problem* p, fbk_plan** out,
                           size_t* workspace_bytes, char* why, size_t bytes) {
  fbk_status status = honest()->plan(host, p, out, workspace_bytes, why, bytes);
  if (is("early_do")) {
    *out = malloc(sizeof **out);
    return FBK_OK;
  }
  if (is("crash_in_plan")) raise(SIGSEGV);
  if (is("small_workspace") || is("write_near_workspace")) *workspace_bytes = 64;
  if (is("no_reason")) return FBK_FAILED;
  return status;
}

static size_t bytes_of(const fbk_tensor* t) {
  size_t n = t->dtype.bits / 8u;
  for (int32_t i = 0; i < t->ndim; ++i) n *= (size_t)t->shape[i];
  return n;
}

static int calls = 0;

static fbk_status bad_run(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  static void* replay = NULL;
  ++calls;
  if (is("crash")) raise(SIGSEGV);
  if (is("hang"))
    for (;;) pause();
  if (is("exit")) _exit(0);
  if (is("polite_exit")) exit(0);
  if (is("new_file")) { /* somebody compiles while the run goes on */
    FILE* own = fopen(getenv("ATTACK_FILE"), "ab");
    if (own != NULL) fputc(0, own), fclose(own);
    abort();
  }
  if (is("leaves_a_child")) { /* which has the socket open */
    if (fork() != 0) _exit(0);
    for (;;) pause();
  }
  if (is("prints")) printf("{\"of the plug-in\": true}\n");
  if (is("prints_no_end")) fputs("half a line", stderr);
  if (is("abort")) abort();
  if (is("write_input")) ((float*)call->q->data)[0] = 1;
  if (is("write_behind_output")) ((char*)call->o->data)[bytes_of(call->o)] = 7;
  if (is("small_workspace")) memset(call->workspace, 0, 65536);
  if (is("write_near_workspace")) ((char*)call->workspace)[64] = 0;
  if (is("count_threads")) {
    snprintf(why, bytes, "it has %d threads", omp_get_max_threads());
    return FBK_FAILED;
  }
  if (is("fail")) {
    snprintf(why, bytes, "the third tile is missing");
    return FBK_FAILED;
  }
  if (is("nothing")) return FBK_OK;
  if (is("zeros")) {
    memset(call->o->data, 0, bytes_of(call->o));
    memset(call->lse->data, 0, bytes_of(call->lse));
    return FBK_OK;
  }
  /* Computes once, and again only what it kept. */
  if (is("replay") && replay != NULL) {
    memcpy(call->o->data, replay, bytes_of(call->o));
    memcpy(call->lse->data, (char*)replay + bytes_of(call->o), bytes_of(call->lse));
    return FBK_OK;
  }
  /* Where results of its last call are still there, it has nothing to do. */
  if (is("stale") && ((const uint32_t*)call->o->data)[bytes_of(call->o) / 12] != 0xFFFFFFFFu)
    return FBK_OK;
  fbk_status status = honest()->run(plan, call, why, bytes);
  if (is("log2"))
    for (size_t i = 0; i < bytes_of(call->lse) / sizeof(float); ++i)
      ((float*)call->lse->data)[i] /= 0.693147181f;
  if (is("replay")) {
    replay = malloc(bytes_of(call->o) + bytes_of(call->lse));
    memcpy(replay, call->o->data, bytes_of(call->o));
    memcpy((char*)replay + bytes_of(call->o), call->lse->data, bytes_of(call->lse));
  }
  return status;
}

/* Hands the call to a thread and returns at once. */
struct late_call {
  fbk_plan* plan;
  fbk_call call;
};
static void* late(void* given) {
  struct late_call* work = given;
  usleep(20000);
  honest()->run(work->plan, &work->call, NULL, 0);
  return NULL;
}
static fbk_status run_late(fbk_plan* plan, const fbk_call* call) {
  struct late_call* work = malloc(sizeof *work); /* which outlives the call */
  pthread_t thread;
  work->plan = plan;
  work->call = *call;
  if (pthread_create(&thread, NULL, late, work) == 0) pthread_detach(thread);
  return FBK_OK;
}

/* Would do the work of the timed call here, where nobody looks at the clock. */
static fbk_status early(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  (void)plan;
  if (call->d_o != NULL) return FBK_OK;
  snprintf(why, bytes, "there is no dO yet");
  return FBK_FAILED;
}

static fbk_status dispatch(fbk_plan* plan, const fbk_call* call, char* why, size_t bytes) {
  if (is("late")) return run_late(plan, call);
  return bad_run(plan, call, why, bytes);
}

static void bad_destroy(fbk_plan* plan) {
  if (is("crash_in_destroy") && calls > 0) raise(SIGSEGV); /* not that of a question */
  if (is("hang_in_destroy") && calls > 0)
    for (;;) pause();
  honest()->destroy(plan);
}

static const fbk_kernel attack = {sizeof(fbk_kernel),
                                  FBK_VERSION,
                                  "attack",
                                  "what must not pass",
                                  NULL,
                                  FBK_WRITES_LSE,
                                  FBK_BHSD,
                                  bad_plan,
                                  early,
                                  dispatch,
                                  bad_destroy,
                                  NULL,
                                  0,
                                  0};

const fbk_kernel* flashbench_kernel(uint32_t host_version, uint32_t i) {
  if (is("no_kernel")) return NULL;
  if (host_version != FBK_VERSION || i > 0) return NULL;
  static fbk_kernel with_roundings;
  with_roundings = attack;
  with_roundings.rounds = is("rounds_heads") ? FBK_ROUNDS_QUERY_HEADS : is("rounds_more") ? 6 : 0;
  return &with_roundings;
}
