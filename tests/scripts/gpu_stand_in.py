#!/usr/bin/env python3
"""Stands for flashbench, the Python of scripts/peers, compute-sanitizer: writes down how it was
called and does what a file beside it says of the step that it is called for.

`answers.json`: {step: {"sleep", "code", "says", "report"}}; the step is what the JSON file or the
tool of the call is named after."""

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
    if sys.argv[1] == "-c":  # is PyTorch here?
        return answers["pytorch"]
    if "--dry_run" in sys.argv:
        print(json.dumps(dry_run()))
        return 0
    out = value("--json")
    step = "info" if sys.argv[1] == "info" else value("--tool") or pathlib.Path(out).stem
    answer = answers["steps"].get(step, {})
    if answer.get("says"):
        print(answer["says"], flush=True)
    report = info(answers) if step == "info" else answer.get("report")
    if report and out == "-":
        print(json.dumps(report))
    elif report:
        pathlib.Path(out).write_text(json.dumps(report))
    time.sleep(answer.get("sleep", 0))
    return answer.get("code", 0)


if __name__ == "__main__":
    sys.exit(main())
