"""Is a kernel bound by cycles or by power? From the clocks, the watts and the work of its report.

A report says which clocks it saw between the rounds only where something held them below 98 % of
the highest (lib/measure/warnings.cc); without that warning they were at least that, unless somebody
has set them lower (nvidia-smi -lgc), which a report does not tell.
"""

import re

from ratios import doubt

THROTTLED = re.compile(r"throttled: the GPU's (.+?) held its clocks down in \d+ of \d+ readings")
FELL = "throttled: the GPU's clocks fell while sampling"
CLOCKS = re.compile(r"SM clock ([\d.]+) to ([\d.]+) GHz")
UNHELD = 0.98  # of the highest clock: lib/measure's kHeldDown
# A clock above this share of the highest costs less than the cycles in which a pipe stands still.
HARDLY_HELD = 0.9
FULL_PIPE = 0.85  # above it there is nothing to gain but watts

# FLOP a multiprocessor and cycle: of 16 bits by tensor cores with f32 sums, of f32 by FMA. Only
# where all devices of the capability have the same.
PER_CYCLE = {"9.0": {"16": 4096, "f32": 256}, "8.0": {"16": 2048, "f32": 128}}


def clocks_hz(result, gpu):
    """(lowest, highest) SM clock while it was sampled, or None where nobody knows."""
    highest = gpu.get("max_sm_clock_hz")
    for warning in result["warnings"]:
        if warning.startswith("throttled: the GPU"):
            found = CLOCKS.search(warning)  # not where the driver tells limits but no clocks
            return (float(found[1]) * 1e9, float(found[2]) * 1e9) if found else None
    return (UNHELD * highest, highest) if highest else None


def held_by(result):
    """What held the clocks down: `power limit`, `temperature`, ...; "" where nothing did."""
    for warning in result["warnings"]:
        if found := THROTTLED.match(warning):
            return found[1]
        if warning.startswith(FELL):
            return "an unknown limit"
    return ""


def pipe_share(flop, seconds, result, gpu, clock_hz):
    """The share of a pipe's cycles that this work takes, or None."""
    kind = "f32" if result["workload"]["dtype"] == "f32" else "16"
    per_cycle = PER_CYCLE.get(gpu["compute_capability"], {}).get(kind)
    if not per_cycle or not flop:
        return None
    return flop / seconds / (gpu["multiprocessors"] * per_cycle * clock_hz)


def verdict(held, clock_share, pipe):
    """In words. `pipe`: of what is executed, padding and products that are made again included."""
    if clock_share is None:
        return "cannot tell: the clock is unknown"
    if pipe is None:
        return "cannot tell: the FLOP a cycle of this GPU are unknown"
    slow = clock_share < HARDLY_HELD
    what = "power" if held == "power limit" else held
    if slow and held and pipe < FULL_PIPE:
        return f"bound by {what} and by cycles"
    if slow and held:
        return f"bound by {what}"
    return "bound by cycles" if pipe < FULL_PIPE else "the pipe is full"


def utilisation(result, gpu):
    """A row of the table, as summary.json has it."""
    seconds = result["median"]
    clocks = clocks_hz(result, gpu)
    middle = sum(clocks) / 2 if clocks else None
    shares = [
        pipe_share(flop, seconds, result, gpu, middle) if middle else None
        for flop in (result["flop_visible"], result["flop_executed"])
    ]
    highest = gpu.get("max_sm_clock_hz")
    held = held_by(result)
    clock_share = middle / highest if middle and highest else None
    why_not = doubt(result)
    return {
        "sm_clock_hz": list(clocks) if clocks else None,
        "max_sm_clock_hz": highest,
        "held_by": held or None,
        "power_w": result["energy_j"] / seconds if result["energy_j"] else None,
        "power_limit_w": gpu.get("power_limit_w"),
        "pipe_visible": shares[0],
        "pipe_executed": shares[1],
        "verdict": f"cannot tell: {why_not}" if why_not else verdict(held, clock_share, shares[1]),
    }
