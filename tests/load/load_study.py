#!/usr/bin/env python3
"""Whether numbers that flashbench prints beside other programs are those of a quiet machine.

    tests/load/load_study.py build/release/flashbench build/release/tests/load      # a quarter of an hour
    ... --rounds 1 --sweeps short --loads 'none,1 spin' --threads 1                 # less

Sweeps of short and long cases and of decode, with one thread and with two, beside loads, in rounds: quiet first,
then each load. A case's time alone is the median of its quiet ones, and what these differ from it by is the
machine's own doing. Prints a table; exits 1 where a row that is not marked "disturbed" is off by more than 10 %
beyond that, where a sentence names the slower type as the faster, or where one thread beside one process keeps
fewer than half of the rows.
"""
import argparse
import collections
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SWEEPS = {
    "short": "--b 1 --h 4 --q_len 128,256,512 --d 64 --pass forward,backward --type flash,normal --causal true",
    "long": "--b 1 --h 4 --q_len 2k --d 64 --pass forward,backward --type flash,normal",
    "decode": "--b 1 --h 8 --q_len 1 --kv_len 2k,4k,16k --d 128 --pass forward --type flash,normal",
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


def run(flashbench, sweep, threads):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        flags = SWEEPS[sweep].split() + ["--threads", str(threads), "--min_time", "100ms", "--timeout", "3s"]
        done = subprocess.run([flashbench, "bench", *flags, "--json", path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench ended with {done.returncode}: {done.stderr}")
        return json.loads(path.read_text())


def key_of(result):
    workload = result["workload"]
    return result["pass"], result["type"], workload["q_len"], workload["kv_len"]


def kept(report):
    return {key_of(r): r["median"] for r in report["results"] if r["median"] is not None and not r["disturbed"]}


def wrong_sentences(report, alone):
    """Speedups that are concluded, against the times alone."""
    wrong = []
    for r in report["results"]:
        speedup = (r["speedup_over"] or {}).get("normal")
        normal = alone.get((r["pass"], "normal", *key_of(r)[2:]))
        own = alone.get(key_of(r))
        if speedup is None or r["disturbed"] or not normal or not own:
            continue
        true = normal / own
        if (speedup > 1 + ALLOWED and true < 1 / (1 + ALLOWED)) or (speedup < 1 / (1 + ALLOWED) and true > 1 + ALLOWED):
            wrong.append(f"{key_of(r)}: {speedup:.2f}x for {true:.2f}x")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flashbench")
    parser.add_argument("load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweeps", default=",".join(SWEEPS))
    parser.add_argument("--loads", default=",".join(LOADS))
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    loads = [load for load in options.loads.split(",") if load != "none"]
    failures = []
    print("| sweep | threads | load | rows kept | worst error | quiet differ by |\n| --- | --- | --- | --- | --- | --- |")
    for sweep in options.sweeps.split(","):
        for threads in (int(t) for t in options.threads.split(",")):
            reports = collections.defaultdict(list)
            for _ in range(options.rounds):
                for load in ["none", *loads]:
                    with beside(options.load, LOADS[load]):
                        reports[load].append(run(options.flashbench, sweep, threads))
            quiet = collections.defaultdict(list)
            for report in reports["none"]:
                for key, median in kept(report).items():
                    quiet[key].append(median)
            alone = {key: statistics.median(times) for key, times in quiet.items()}
            own = {key: max(abs(t / alone[key] - 1) for t in times) for key, times in quiet.items()}
            for load in ["none", *loads]:
                rows = sum(len(report["results"]) for report in reports[load])
                errors = [(median / alone[key] - 1, key) for report in reports[load]
                          for key, median in kept(report).items() if key in alone]
                worst = max(errors, key=lambda e: abs(e[0]), default=(0.0, None))
                print(f"| {sweep} | {threads} | {load} | {len(errors)} of {rows} | {100 * worst[0]:+.0f} % | "
                      f"{100 * max(own.values(), default=0):.0f} % |", flush=True)
                if load == "none":
                    continue
                failures += [f"{sweep}, {threads} threads, {load}: {key} off by {100 * error:+.0f} %, alone by "
                             f"{100 * own[key]:.0f} %" for error, key in errors if abs(error) > ALLOWED + own[key]]
                failures += [f"{sweep}, {threads} threads, {load}: {text}" for report in reports[load]
                             for text in wrong_sentences(report, alone)]
                if threads == 1 and load == "1 spin" and 2 * len(errors) < rows:
                    failures.append(f"{sweep}, one thread, {load}: only {len(errors)} of {rows} rows kept")
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
