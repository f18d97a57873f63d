"""How surely one time is longer than another: intervals of medians and of their ratios, what a
sentence may conclude from them, and times that do not rise with the work.

The rules of lib/report's ratio.cc and rises.cc. Standard library only.
"""

import json
import math
import statistics

import fields

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 % quantiles, by the number of samples
LEAST_DIFFERENCE = 0.01  # an end of an interval that is nearer to 1 reads as 1.00
FIXED_COSTS_S = 0.2e-3  # shorter times may be spent on starting threads
MORE_WORK, SHOWN_GROWTH, MOST_GROWTH_ASKED = 1.5, 0.1, 0.5


def median_interval(ordered):
    """Distribution-free 95 % confidence interval of the median, from order statistics; below 6
    values, of which the range does not hold it, the range."""
    n, rank, below, term = len(ordered), 0, 0.0, 0.5 ** min(len(ordered), 1000)
    if n > 1000:
        rank = math.floor((n + 1 - 1.959963984540054 * math.sqrt(n)) / 2)
    while n <= 1000 and below + term <= 0.025:
        below += term
        term *= (n - rank) / (rank + 1)
        rank += 1
    rank = max(rank, 1)
    return [ordered[rank - 1], ordered[n - rank]]


def widened(count, middle, deviation, low, high):
    """An interval of the median of fewer than 6 values: Student's, and never less than that."""
    if count not in STUDENT:
        return low, high
    half = STUDENT[count] * deviation / math.sqrt(count)
    return min(low, middle - half), max(high, middle + half)


def interval(result):
    """(low, high) that hold a result's median with 95 %, or None where nobody knows."""
    if not result["median"] or not result.get("ci95"):
        return None
    count = len(result["times"])  # statistics are of those that nothing disturbed
    if not result.get("disturbed"):
        count -= result.get("marked") or 0
    if count < 2:
        return None
    return widened(count, result["median"], result["stddev"], *result["ci95"])


def time_ratio(slow, fast):
    """(time of `slow` over that of `fast`, low, high), or None where nothing can be concluded."""
    if doubt(slow) or doubt(fast):
        return None
    above, below = interval(slow), interval(fast)
    if above is None or below is None or above[0] <= 0 or below[0] <= 0:
        return None
    return slow["median"] / fast["median"], above[0] / below[1], above[1] / below[0]


def over_rounds(rounds):
    """One (ratio, low, high) of those of several rounds: their median, with the noise from round to
    round and that within the rounds; None without any."""
    if not rounds:
        return None
    values, lows, highs = (sorted(column) for column in zip(*rounds))
    low, high = median_interval(lows)[0], median_interval(highs)[1]
    middle = statistics.median(values)
    if len(values) > 1:
        low, high = widened(len(values), middle, statistics.stdev(values), low, high)
    return middle, max(low, 0.0), high


def faster(ratio):
    """1 where the time that divides is surely the shorter one, -1 where the other is, 0 where
    nobody knows."""
    _, low, high = ratio
    return 1 if low >= 1 + LEAST_DIFFERENCE else -1 if high <= 1 - LEAST_DIFFERENCE else 0


def rounded(value, like, away):
    """Printed with the digits that suit `like`, rounded by `away`: math.floor or math.ceil."""
    digits = 3 if like < 0.0995 else 2 if like < 9.995 else 1 if like < 99.95 else 0
    near = round(value * 10**digits)
    exact = near if abs(value * 10**digits - near) < 1e-6 else away(value * 10**digits)
    return f"{exact / 10**digits:.{digits}f}"


def interval_text(low, high):
    """`[1.02, 1.06]`, rounded outwards."""
    return f"[{rounded(low, low, math.floor)}, {rounded(high, high, math.ceil)}]"


def ratio_text(ratio):
    """`1.04x [1.02, 1.06]`, or `cannot tell [0.97, 1.05]`."""
    value, low, high = ratio
    if not faster(ratio):
        return f"cannot tell {interval_text(low, high)}"
    return f"{rounded(value, value, round)}x {interval_text(low, high)}"


def doubt(result):
    """Why nothing is concluded from a result that has numbers, or ''."""
    if result.get("disturbed"):
        return "disturbed by other programs"
    return "times do not rise with the work" if result.get("rises") is False else ""


# ---- times that do not rise with the work --------------------------------------------------------


def work_ratio(a, b):
    """How many times the work of `a` that of `b` is."""
    flop, moved = b["flop_visible"] / a["flop_visible"], b["bytes"] / a["bytes"]
    heads_fill_it = b["threads"] and b["workload"]["b"] * b["workload"]["h"] >= b["threads"]
    if heads_fill_it and b["bound"] in ("compute", "memory"):
        return flop if b["bound"] == "compute" else moved
    return min(flop, moved)


def is_longer(b, a):
    lengths = [(r["workload"]["q_len"], r["workload"]["kv_len"]) for r in (a, b)]
    return lengths[0] != lengths[1] and all(x <= y for x, y in zip(*lengths))


def is_flat(a, b):
    """`b` is longer than `a`, and its time does not show it."""
    if not is_longer(b, a) or not a["flop_visible"] or not a["bytes"]:
        return False
    more = work_ratio(a, b)
    if more < MORE_WORK or a["median"] < FIXED_COSTS_S:
        return False
    growth = min(SHOWN_GROWTH * (more - 1), MOST_GROWTH_ASKED)
    return b["median"] < (1 + growth) * a["median"]


def sweep_key(result):
    """What the results of a sweep over a length share."""
    workload = dict(result["workload"], q_len=0, kv_len=0)
    same = dict(result, workload=workload)
    return json.dumps([same.get(name) for name in fields.key_fields()], sort_keys=True)


def mark_flat(results):
    """Sets `rises` of results that differ in q_len and kv_len only: False for all of a sweep in
    which more work takes no more time."""
    sweeps = {}
    for result in results:
        if result["median"] and not result.get("disturbed"):
            sweeps.setdefault(sweep_key(result), []).append(result)
    for sweep in sweeps.values():
        pairs = [(a, b) for a in sweep for b in sweep if is_longer(b, a)]
        flat = any(is_flat(a, b) for a, b in pairs)
        for result in sweep if pairs else ():
            result["rises"] = not flat
