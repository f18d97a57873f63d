#!/usr/bin/env python3
"""Stands for flashbench, the Python of scripts/peers, compute-sanitizer: writes down how it was
called and does what a file beside it says of the step that it is called for.

`answers.json`: {"steps": {step: {"sleep", "code", "says", "report"}}}; the step is what the JSON
file or the tool of the call is named after, "dry_run" what asks which kernels take which cases, and
"pytorch" what asks whether it is here."""

import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = {"fast_sm90a": "flash", "old_sm80": "flash", "simt_f32": "flash", "normal_x": "normal"}


def value(flag):
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else None


def info(answers):
    cuda = answers.get("cuda", {"available": True, "reason": None})
    return {
        "context": {"gpu": answers["gpu"]},
        "peaks": [],
        "tool": {"name": "flashbench", "version": "1.0", "git_sha": None, "dirty": None},
        "started_at": "2026-01-02T03:04:05Z",
        "backends": {"cuda": cuda},
        "kernels": [{"name": n, "type": t, "backend": "cuda"} for n, t in KERNELS.items()],
    }


def nothing_measured(answers):
    return {"results": [], "rows": [], "context": {"gpu": answers["gpu"]}}


def dry_run():
    """old_sm80 takes no d of 512."""
    refused = {"old_sm80"} if value("--d") == "512" else set()
    return {
        "results": [
            {"kernel_request": name, "refusal": "unsupported" if name in refused else None}
            for name in value("--kernel").split(",")
        ]
    }


def main():
    with open(HERE / "calls", "a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    answers = json.loads((HERE / "answers.json").read_text())
    out = value("--json")
    if sys.argv[1] == "-c":
        step, report = "pytorch", None
    elif "--dry_run" in sys.argv:
        step, report = "dry_run", dry_run()
    elif sys.argv[1] == "info":
        step, report = "info", info(answers)
    else:
        step, report = value("--tool") or pathlib.Path(out).stem, nothing_measured(answers)
    answer = answers["steps"].get(step, {})
    if answer.get("says"):
        print(answer["says"], flush=True, file=sys.stderr if out == "-" else sys.stdout)
    report = answer.get("report", report)
    if report is not None and out == "-":
        print(json.dumps(report))
    elif report is not None and out:
        pathlib.Path(out).write_text(json.dumps(report))
    time.sleep(answer.get("sleep", 0))
    return answer.get("code", 0)


if __name__ == "__main__":
    sys.exit(main())
