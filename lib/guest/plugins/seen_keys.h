/* Which keys a query sees by its place, for plug-ins that make a mask of it. */
#ifndef FLASHBENCH_SEEN_KEYS_H
#define FLASHBENCH_SEEN_KEYS_H

#include "flashbench_kernel.h"

/* [first, end), empty where no key is seen. */
struct seen_keys {
  int64_t first, end;
};

static int64_t within(int64_t x, int64_t least, int64_t most) {
  return x < least ? least : x > most ? most : x;
}

/* Of query i, by causal masks and windows: the last query stands at the last key. */
static struct seen_keys keys_seen(const fbk_problem* p, int64_t i) {
  const int64_t x = i + p->kv_len - p->q_len;
  struct seen_keys seen = {0, p->kv_len};
  if ((p->features & FBK_CAUSAL) != 0) seen.end = within(x + 1, 0, seen.end);
  if ((p->features & FBK_WINDOW) == 0) return seen;
  if (p->window_left >= 0) seen.first = within(x - p->window_left, 0, seen.end);
  if (p->window_right >= 0) seen.end = within(x + p->window_right + 1, seen.first, seen.end);
  return seen;
}

#endif
