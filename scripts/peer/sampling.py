"""Sampling and its statistics by the rules of lib/measure, and memory as the system tells it."""

import math
import os
import pathlib
import statistics
import time

MIN_SAMPLE_S = 1e-3  # shorter calls are batched into samples of this length


class Unsupported(Exception):
    """The library cannot compute a case; the case is skipped with this reason."""

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


def require_memory(count):
    """Raises TooLarge when `count` bytes are more than the machine has free."""
    available = proc_kb("/proc/meminfo", "MemAvailable")
    if available is not None and count > 0.95 * available:
        raise TooLarge(f"needs {human_bytes(count)}, {human_bytes(available)} available")


def median_interval(ordered):
    """Distribution-free 95 % confidence interval of the median, from order statistics."""
    n, rank, below, term = len(ordered), 0, 0.0, 0.5 ** min(len(ordered), 1000)
    if n > 1000:
        rank = math.floor((n + 1 - 1.959963984540054 * math.sqrt(n)) / 2)
    while n <= 1000 and below + term <= 0.025:
        below += term
        term *= (n - rank) / (rank + 1)
        rank += 1
    rank = max(rank, 1)
    return [ordered[rank - 1], ordered[n - rank]]


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
    """Launches until two windows of three agree within 5 %; returns iterations per sample."""
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
            if abs(now - before) <= 0.05 * before:
                return iterations


def sample(job, limits):
    """Timing fields of a result, and its warnings."""
    started = time.perf_counter()
    iterations = warm_up(job, min(1.0, limits["timeout"] / 4))
    times, timed_s = [], 0.0
    cpu = os.times()
    while True:
        took = job.timed(iterations)
        times.append(took / iterations)
        timed_s += took
        enough = len(times) >= limits["min_samples"] and timed_s >= limits["min_time"]
        if enough and noise(times) <= limits["max_noise"]:
            break
        if len(times) >= 3 and time.perf_counter() - started + took > limits["timeout"]:
            break
    after = os.times()
    calls = len(times) * iterations
    fields = summarize(times)
    fields["iterations_per_sample"] = iterations
    fields["user"] = (after.user - cpu.user) / calls
    fields["system"] = (after.system - cpu.system) / calls
    warnings = []
    if noise(times) > limits["max_noise"]:
        warnings.append(
            f"noisy: the median of {len(times)} samples is known to +-{100 * noise(times):.1f} % "
            f"(asked: {100 * limits['max_noise']:g} %); stop other programs, or raise --timeout"
        )
    return fields, warnings
