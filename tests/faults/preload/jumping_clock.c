// A wall clock that somebody sets: every reading of it may lie years from the last one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long next_jump_s(void) {
  static _Atomic uint64_t state;
  if (state == 0) state = (uint64_t)getpid() * 88172645463325253u + 1;
  const uint64_t s = state = state * 6364136223846793005u + 1442695040888963407u;
  static const long kJumps[] = {0, -3600, 3600, 86400, -86400, 315360000, -315360000, 1};
  return kJumps[(s >> 33) % 8];
}

typedef int (*clock_reader)(clockid_t, struct timespec*);

int clock_gettime(clockid_t id, struct timespec* t) {
  static clock_reader real;
  if (!real) real = (clock_reader)dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(id, t);
  if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    t->tv_sec += next_jump_s();
  return result;
}

int gettimeofday(struct timeval* restrict t, void* restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
