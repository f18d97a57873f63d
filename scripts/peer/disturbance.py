"""Samples in which others had a processor that a thread of this process was ready for, by the rules
of lib/measure's lost_time.h and disturbance.h. Reads Linux's counters; says nothing elsewhere."""

import os
import resource
import threading
import time

MOST_LOST = 0.02  # the share of a sample that a thread may lose before that is marked
LEAST, LEAST_SHARE = 3, 0.05  # of unmarked samples; with fewer nothing is concluded
TICK_S, WINDOW_S = 0.015, 0.25  # of the counter of what a hypervisor took, and how long it is added up
TASKS, STAT = "/proc/self/task", "/proc/stat"


def waits():
    """Seconds that each thread has waited for a processor, or None where the system does not tell."""
    seconds, runs = {}, 0
    try:
        for thread in os.listdir(TASKS):
            with open(f"{TASKS}/{thread}/schedstat", encoding="ascii") as file:
                _, waited, ran = file.read().split()
            seconds[int(thread)] = int(waited) * 1e-9
            runs += int(ran)
    except (OSError, ValueError):
        return None
    return seconds if runs else None  # without counters all are 0


def stolen():
    """Seconds that a hypervisor took of each processor that this process may use; [] if unknown."""
    mine = {f"cpu{n}" for n in os.sched_getaffinity(0)}
    try:
        with open(STAT, encoding="ascii") as file:
            rows = [line.split() for line in file if line.split(" ")[0] in mine]
        return [int(row[8]) / os.sysconf("SC_CLK_TCK") for row in rows]
    except (OSError, ValueError, IndexError):
        return []


class Reading:
    """What each thread lost so far. The caller's own times are taken last before the work and first
    after it, so that what the reading loses is not lost to the work."""

    def __init__(self, first):
        if first:
            self.own()
        self.waits = waits()
        if not first:
            self.own()

    def own(self):
        self.ran = time.thread_time()
        self.sleeps = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def lost_share(work):
    """(what `work` returns, its seconds; the share of them that a thread lost, None if unknown)."""
    before = Reading(first=False)
    took = work()
    after = Reading(first=True)
    if before.waits is None or after.waits is None or not took > 0:
        return took, None
    me = threading.get_native_id()
    lost = max(
        (now - before.waits.get(thread, 0.0) for thread, now in after.waits.items() if thread != me),
        default=0.0,
    )
    if after.sleeps == before.sleeps:  # then it lost whatever it did not run
        lost = max(lost, took - (after.ran - before.ran))
    else:
        lost = max(lost, after.waits.get(me, 0.0) - before.waits.get(me, 0.0))
    return took, min(max(lost / took, 0.0), 1.0)


class StolenTime:
    """What a hypervisor takes of other threads' processors is known for a while only, and then of all
    samples in it."""

    def __init__(self):
        self.began, self.stolen = time.perf_counter(), stolen()

    def share(self, now=False):
        """Of the window that ends here, the largest share of a processor; None: it goes on."""
        seconds = time.perf_counter() - self.began
        if seconds < WINDOW_S and not now:
            return None
        taken = stolen()
        most = max((b - a for a, b in zip(self.stolen, taken)), default=0.0)
        self.began, self.stolen = time.perf_counter(), taken
        return min(most / seconds, 1.0) if most > TICK_S else 0.0


def unmarked(times, lost):
    """(the samples that statistics are of, how many others there are, whether that is enough)."""
    kept = [t for t, share in zip(times, lost or [0.0] * len(times)) if share <= MOST_LOST]
    marked = len(times) - len(kept)
    if marked and len(kept) < max(LEAST, int(LEAST_SHARE * len(times))):
        return list(times), marked, False
    return kept, marked, True
