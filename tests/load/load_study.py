#!/usr/bin/env python3
"""Whether numbers that flashbench prints beside other programs are those of a quiet machine.

    tests/load/load_study.py build/release/flashbench build/release/tests/load      # half an hour
    ... --rounds 1 --sweeps short --loads '1 spin' --threads 1                      # less

Cases short and long and of decode, with one thread and with two, beside loads. A run alone stands before and after
each of those beside a load, since a shared machine changes its speed by itself: what counts is how far a time is from
both. The load "none" shows how far they are where nothing else runs. Prints a table, then what is off by more than
10 %. Exits 1 where rows that are not marked "disturbed" are off more often than beside no load, where a sentence names
the slower type as the faster, or where one thread beside one process keeps fewer than half of the rows.
"""
import argparse
import contextlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

SWEEPS = {
    "short": [f"--b 1 --h 4 --q_len {n} --d 64 --causal --pass {which}" for which in ("forward", "backward")
              for n in (128, 256, 512)],
    "long": [f"--b 1 --h 4 --q_len 2k --d 64 --pass {which}" for which in ("forward", "backward")],
    "decode": [f"--b 1 --h 8 --q_len 1 --kv_len {n} --d 128 --pass forward" for n in ("2k", "4k", "16k")],
}
LOADS = {
    "none": [],
    "1 spin": ["spin"],
    "2 spin": ["spin"] * 2,
    "4 spin": ["spin"] * 4,
    "duty": ["duty"],
    "2 duty": ["duty"] * 2,
    "stream": ["stream"],
}
ALLOWED = 0.10


@contextlib.contextmanager
def beside(program, kinds):
    processes = [subprocess.Popen([program, kind]) for kind in kinds]
    try:
        time.sleep(0.3)  # until they run
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(flashbench, case, threads):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        flags = [*case.split(), "--type", "flash,normal", "--threads", threads, "--min_time", "100ms", "--timeout", "3s"]
        done = subprocess.run([flashbench, "bench", *flags, "--json", path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench ended with {done.returncode}: {done.stderr}")
        return json.loads(path.read_text())


def key_of(result):
    workload = result["workload"]
    return result["pass"], result["type"], workload["q_len"], workload["kv_len"]


def kept(report):
    return {key_of(r): r["median"] for r in report["results"] if r["median"] is not None and not r["disturbed"]}


def off(median, alone):
    """By which share a time is beyond those alone; 0 between them."""
    if median > max(alone):
        return median / max(alone) - 1
    return min(median / min(alone) - 1, 0.0)


def wrong_sentences(report, alone):
    """Speedups that are concluded, against the times alone."""
    wrong = []
    for r in report["results"]:
        speedup = (r["speedup_over"] or {}).get("normal")
        normal = alone.get((r["pass"], "normal", *key_of(r)[2:]))
        own = alone.get(key_of(r))
        if speedup is None or r["disturbed"] or not normal or not own:
            continue
        least, most = min(normal) / max(own), max(normal) / min(own)
        if (speedup > 1 + ALLOWED and most < 1 / (1 + ALLOWED)) or (speedup < 1 / (1 + ALLOWED) and least > 1 + ALLOWED):
            wrong.append(f"{key_of(r)}: {speedup:.2f}x for {least:.2f} to {most:.2f}x")
    return wrong


class Cell:
    """The cases of a sweep with so many threads beside one load."""

    def __init__(self, name):
        self.name, self.rows, self.errors, self.beyond, self.sentences = name, 0, [], [], []

    def add(self, before, report, after):
        alone = {key: (time, kept(after)[key]) for key, time in kept(before).items() if key in kept(after)}
        self.rows += len(report["results"])
        for key, median in kept(report).items():
            if key not in alone:
                continue
            error = off(median, alone[key])
            self.errors.append(error)
            if abs(error) > ALLOWED:
                self.beyond.append(f"{self.name}: {key} off by {100 * error:+.0f} %")
        self.sentences += [f"{self.name}: {text}" for text in wrong_sentences(report, alone)]

    def line(self):
        worst = max(self.errors, key=abs, default=0.0)
        cells = [*self.name.split(", "), f"{len(self.errors)} of {self.rows}", f"{len(self.beyond)}",
                 f"{100 * worst:+.0f} %"]
        return f"| {' | '.join(cells)} |"

    def share_beyond(self):
        return len(self.beyond) / max(len(self.errors), 1)


def off_more_often(cell, control):
    """Beyond what chance gives: two standard errors of the difference of the two shares."""
    both = (len(cell.beyond) + len(control.beyond)) / max(len(cell.errors) + len(control.errors), 1)
    spread = both * (1 - both) * (1 / max(len(cell.errors), 1) + 1 / max(len(control.errors), 1))
    return cell.share_beyond() - control.share_beyond() > 2 * math.sqrt(spread)


def measure(options, sweep, threads, cells):
    for case in SWEEPS[sweep]:
        before = run(options.flashbench, case, threads)
        for _ in range(options.rounds):
            for load, cell in cells.items():
                with beside(options.load, LOADS[load]):
                    report = run(options.flashbench, case, threads)
                after = run(options.flashbench, case, threads)
                cell.add(before, report, after)
                before = after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flashbench")
    parser.add_argument("load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweeps", default=",".join(SWEEPS))
    parser.add_argument("--loads", default=",".join(LOADS))
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    notes, failures = [], []
    print("| cases | threads | load | rows kept | off by more than 10 % | worst |\n" + "| --- " * 6 + "|", flush=True)
    for sweep in options.sweeps.split(","):
        for threads in options.threads.split(","):
            loads = ["none", *(load for load in options.loads.split(",") if load != "none")]
            cells = {load: Cell(f"{sweep}, {threads}, {load}") for load in loads}
            measure(options, sweep, threads, cells)
            for load, cell in cells.items():
                print(cell.line(), flush=True)
                notes += cell.beyond
                failures += cell.sentences if load != "none" else []
                if off_more_often(cell, cells["none"]):
                    failures.append(f"{cell.name}: {len(cell.beyond)} of {len(cell.errors)} rows are off")
                if threads == "1" and load == "1 spin" and 2 * len(cell.errors) < cell.rows:
                    failures.append(f"{cell.name}: only {len(cell.errors)} of {cell.rows} rows kept")
    print(*notes, "FAILED:" if failures else "passed", *failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
