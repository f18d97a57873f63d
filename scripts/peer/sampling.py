"""Sampling and its statistics by the rules of lib/measure, and memory as the system tells it."""

import bisect
import itertools
import math
import os
import pathlib
import statistics
import time

from disturbance import MOST_LOST, StolenTime, lost_share, unmarked
from ratios import median_interval

MIN_SAMPLE_S = 1e-3  # shorter calls are batched into samples of this length
WARM = 0.02  # windows that differ by less are warm, as in lib/measure's warmup.h
REMEDIES = {  # of noise, by what stopped the samples
    "noise": "",
    "noise_stays": ", and more samples have stopped narrowing that; stop other programs",
    "noise_out_of_reach": ", which would take far longer; stop other programs, or raise --timeout",
    "disturbed": "; stop other programs",
    "timeout": "; stop other programs, or raise --timeout",
}


class Unsupported(NotImplementedError):
    """The library cannot compute a case; the case is skipped with this reason, a worker's too."""

    refusal = "unsupported"  # the report's word for the kind of reason


class TooLarge(Unsupported):
    """The case does not fit into memory."""

    refusal = "memory"


def proc_kb(path, key):
    """A value of /proc/.../status or meminfo in bytes, or None."""
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def peak_rss_growth(call):
    """Bytes by which the resident memory grows at most during a call; None where not allowed."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        call()
        return None
    before = proc_kb("/proc/self/status", "VmRSS")
    call()
    after = proc_kb("/proc/self/status", "VmHWM")
    return None if before is None or after is None else max(after - before, 0)


def human_bytes(count):
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def require_memory(count, device="cpu"):
    """Raises TooLarge when `count` bytes are more than the machine has free. A GPU tells by itself."""
    if device != "cpu":
        return
    available = proc_kb("/proc/meminfo", "MemAvailable")
    if available is not None and count > 0.95 * available:
        raise TooLarge(f"needs {human_bytes(count)}, {human_bytes(available)} available")


def quantile(ordered, q):
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def summarize(times):
    """The statistics of a report's result."""
    ordered = sorted(times)
    middle = quantile(ordered, 0.5)
    return {
        "times": list(times),
        "min": ordered[0],
        "max": ordered[-1],
        "median": middle,
        "mean": statistics.fmean(ordered),
        "stddev": statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
        "mad": statistics.median(abs(t - middle) for t in ordered),
        "p25": quantile(ordered, 0.25),
        "p75": quantile(ordered, 0.75),
        "ci95": median_interval(ordered),
    }


def noise(times):
    low, high = median_interval(sorted(times))
    return (high - low) / 2 / statistics.median(times) if len(times) > 1 else math.inf


def warm_up(job, limit_s):
    """Launches until two windows of three agree within 2 %; returns iterations per sample."""
    iterations, calls, spent = 1, [], 0.0
    while True:
        took = job.timed(iterations)
        spent += took
        if took < MIN_SAMPLE_S:
            iterations = min(
                math.ceil(1.1 * MIN_SAMPLE_S / max(took / iterations, 1e-9)), iterations * 100
            )
            calls.clear()
            continue
        calls.append(took)
        if spent >= limit_s:
            return iterations
        if len(calls) >= 6:
            before, now = statistics.median(calls[-6:-3]), statistics.median(calls[-3:])
            if abs(now - before) <= WARM * before:
                return iterations


class StopRule:
    """When the samples of one case suffice, or more would not help: lib/measure's stop_rule.cc."""

    FIRST_LOOK, LOOK_GROWTH = 64, 1.125
    WINDOW_BEGINS, STEADY, DRIFT = 0.25, 0.05, 2
    DISTURBED_LOOK = 16
    SPREAD_KNOWN, SETTLED, FALLS, BEYOND = 128, 0.1, 0.5, 2

    def __init__(self, limits):
        self.limits = limits
        self.times, self.ordered = [], []
        self.half_widths, self.spreads = [], []  # after each sample
        self.timed_s = 0.0
        self.next_look = max(self.FIRST_LOOK, limits["min_samples"])
        self.narrowed = self.settled = False  # the interval has stopped; the spread has
        self.disturbed = 0  # samples that are left out

    def add(self, per_iteration_s, sample_s):
        self.times.append(per_iteration_s)
        bisect.insort(self.ordered, per_iteration_s)
        low, high = median_interval(self.ordered)
        self.half_widths.append((high - low) / 2)
        self.spreads.append(quartile_distance(self.ordered))
        self.timed_s += sample_s
        if len(self.times) >= self.next_look:
            self.look()
            self.next_look = math.ceil(len(self.times) * self.LOOK_GROWTH)

    def add_disturbed(self, sample_s):
        self.disturbed += 1
        self.timed_s += sample_s

    def too_disturbed(self, fit):
        """Too few unmarked ones will come among as many samples more."""
        total = len(self.times) + self.disturbed
        share = (len(self.times) + 1) / (total + 2)  # Laplace: none seen is not never
        few = len(self.times) + share * fit < self.limits["min_samples"]
        return total >= self.DISTURBED_LOOK and few

    def enough(self):
        many = len(self.times) >= self.limits["min_samples"]
        return many and self.timed_s >= self.limits["min_time"]

    def look(self):
        begin = int(len(self.times) * self.WINDOW_BEGINS)

        def shift_between_halves(series):
            half = len(series) // 2
            return rank_shift(series[:half], series[half:])

        def steady(values, share):
            now = values[-1]
            squares = statistics.fmean((v - now) ** 2 for v in values[begin:])
            return math.sqrt(squares) <= share * now

        window = self.times[begin:]
        middle = quantile(self.ordered, 0.5)
        quiet = self.enough() and abs(shift_between_halves(window)) < self.DRIFT
        stays = shift_between_halves([abs(t - middle) for t in window]) > -self.FALLS
        known = len(self.times) >= self.SPREAD_KNOWN
        self.narrowed = quiet and steady(self.half_widths, self.STEADY)
        self.settled = quiet and known and stays and steady(self.spreads, self.SETTLED)

    def noise(self):
        if len(self.times) < 2:
            return math.inf
        middle = quantile(self.ordered, 0.5)
        return self.half_widths[-1] / middle

    def stopped_by(self, left_s):
        """The report's word for why no more samples are needed, or None. `left_s`: of the time."""
        share = self.noise() / self.limits["max_noise"]
        if self.enough() and share <= 1:
            return "noise"
        if self.narrowed:
            return "noise_stays"
        fit = left_s * (len(self.times) + self.disturbed) / self.timed_s
        if self.too_disturbed(fit):
            return "disturbed"
        if self.settled and len(self.times) * (share**2 - 1) > self.BEYOND * fit:
            return "noise_out_of_reach"
        return None


def quartile_distance(ordered):
    return quantile(ordered, 0.75) - quantile(ordered, 0.25)


def rank_shift(first, second):
    """z of the rank-sum test: how surely `second` is larger. Ties share the mean of their ranks."""
    values = sorted([(x, 0) for x in first] + [(x, 1) for x in second])
    ranks = ties = begin = 0
    for _, group in itertools.groupby(values, key=lambda value: value[0]):
        of_second = [of for _, of in group]
        end = begin + len(of_second)
        ranks += sum(of_second) * (begin + end + 1) / 2
        ties += len(of_second) * (len(of_second) ** 2 - 1)
        begin = end
    m, n = len(first), len(second)
    variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1))) if m and n else 0
    return (ranks - n * (m + n + 1) / 2) / math.sqrt(variance) if variance > 0 else 0.0


class Samples:
    """The samples of a job, and what of each was lost to others."""

    def __init__(self, job, limits):
        self.job, self.limits = job, limits
        self.times, self.lost, self.told = [], [], False
        self.iterations = 1
        self.rule = StopRule(limits)
        self.judged, self.stolen = 0, StolenTime()  # samples of earlier windows

    def take(self):
        """Seconds of one sample."""

        def work():
            return self.job.timed(self.iterations)

        took, lost = (work(), None) if self.job.on_gpu else lost_share(work)
        self.told = self.told or lost is not None
        self.times.append(took / self.iterations)
        self.lost.append(lost or 0.0)
        self.count(len(self.times) - 1)
        self.judge_by_stolen_time()
        return took

    def count(self, i):
        sample_s = self.times[i] * self.iterations
        if self.lost[i] > MOST_LOST:
            self.rule.add_disturbed(sample_s)
        else:
            self.rule.add(self.times[i], sample_s)

    def judge_by_stolen_time(self, now=False):
        share = None if self.job.on_gpu else self.stolen.share(now)
        if share is None:
            return
        if share > MOST_LOST:
            self.told = True
            for i in range(self.judged, len(self.lost)):
                self.lost[i] = max(self.lost[i], share)
            self.rule = StopRule(self.limits)
            for i in range(len(self.times)):
                self.count(i)
        self.judged = len(self.lost)

    def fields(self, stopped_by):
        kept, marked, enough = unmarked(self.times, self.lost)
        fields = dict(summarize(kept), times=list(self.times))
        fields["lost"] = self.lost if self.told else []
        fields["marked"], fields["disturbed"] = marked, not enough
        return dict(fields, stopped_by=stopped_by, iterations_per_sample=self.iterations)

    def warnings(self, stopped_by):
        kept, marked, enough = unmarked(self.times, self.lost)
        warnings = []
        if marked:
            warnings.append(
                f"disturbed: in {marked} of {len(self.times)} samples a thread of ours waited for a "
                "processor that was taken"
                + (
                    ", which are left out; stop other programs if more samples matter"
                    if enough
                    else ": too few are left to conclude from; stop other programs, or wait until "
                    "the machine is quiet"
                )
            )
        if enough and self.rule.noise() > self.limits["max_noise"]:
            known = (
                f"noisy: the median of {len(kept)} samples is known to "
                f"+-{100 * self.rule.noise():.1f} % (asked: {100 * self.limits['max_noise']:g} %)"
            )
            warnings.append(known + REMEDIES[stopped_by])
        return warnings


def sample(job, limits):
    """Timing fields of a result, and its warnings."""
    started = time.perf_counter()
    iterations = warm_up(job, min(1.0, limits["timeout"] / 4))
    samples = Samples(job, limits)
    samples.iterations = iterations
    cpu = os.times()
    stopped_by = None
    while stopped_by is None:
        took = samples.take()
        left_s = limits["timeout"] - (time.perf_counter() - started)
        stopped_by = samples.rule.stopped_by(left_s)
        undecided = stopped_by in (None, "noise_out_of_reach", "disturbed")
        if undecided and len(samples.times) >= 3 and took > left_s:
            stopped_by = "timeout"
    after = os.times()
    samples.judge_by_stolen_time(now=True)
    calls = len(samples.times) * iterations
    fields = samples.fields(stopped_by)
    fields["user"] = (after.user - cpu.user) / calls
    fields["system"] = (after.system - cpu.system) / calls
    return fields, samples.warnings(stopped_by)
