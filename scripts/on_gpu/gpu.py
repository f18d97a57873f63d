#!/usr/bin/env python3
"""Minutes on an NVIDIA GPU, all of them used: what each kernel reaches and what bounds it.

    scripts/gpu [FOLDER]               # builds what is missing; results in build/gpu/<time>
    scripts/gpu --dry_run              # the plan, with commands and seconds; needs no GPU
    scripts/gpu --build_only           # before: compiles the program and its machine code
    scripts/gpu --only 'check*,decode' # of --list
    scripts/gpu --candidates NEW,OLD   # which kernels go in turns with the one that is chosen
    scripts/peers --install            # before, for PyTorch beside it

Steps go on when one fails or hangs; Ctrl-C keeps what is done. FOLDER gets what each step says, its
JSON, and after every step summary.md and summary.json. Later steps are shortened and dropped first.

Environment: FLASHBENCH=PROGRAM, one that is built already: nothing is installed, configured or
built. FLASHBENCH_PEERS_PYTHON=PYTHON, which has PyTorch (default: that of build/peers).
"""

import argparse
import dataclasses
import fnmatch
import functools
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))

import plan  # noqa: E402
import results  # noqa: E402
import runner  # noqa: E402
import summary  # noqa: E402
from durations import seconds  # noqa: E402
from flashbench_program import Flashbench  # noqa: E402
from refused import Refused  # noqa: E402

HAS_PYTORCH = "import sys, torch; sys.exit(not torch.cuda.is_available())"


class Terminated(BaseException):
    """By SIGTERM, which ends as Ctrl-C does."""


def say(text):
    print(f"gpu: {text}", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="(default: build/gpu/<time>)")
    parser.add_argument(
        "--budget",
        type=seconds,
        default=600.0,
        metavar="TIME",
        help="for all steps together, building not included (default: 10m)",
    )
    parser.add_argument("--only", metavar="NAME,...", help="these steps; * and ? match")
    parser.add_argument(
        "--candidates",
        metavar="KERNEL,...",
        help="kernels that go in turns with the one that is chosen (default: all of the program)",
    )
    parser.add_argument("--list", action="store_true", help="name the steps and stop")
    parser.add_argument("--dry_run", action="store_true", help="print the plan and stop")
    parser.add_argument("--build_only", action="store_true", help="build and stop; needs no GPU")
    return parser.parse_args()


# ---- what is here --------------------------------------------------------------------------------


def program():
    return os.environ.get("FLASHBENCH") or str(plan.ROOT / "build/release/flashbench")


def peers_python():
    named = os.environ.get("FLASHBENCH_PEERS_PYTHON")
    return named or str(plan.ROOT / "build/peers/bin/python")


def takes_on(flashbench, kernels, device):
    """Which kernels take some case of these flags there, as a dry run says; all, in doubt."""

    @functools.cache
    def takes(flags):
        where = ["--backend", "cuda", *device, "--kernel", ",".join(kernels), "--dry_run"]
        try:
            report = flashbench.run("check", *flags.split(), *where, codes=(0, 3))
        except Refused:
            return list(kernels)
        possible = [r for r in report["results"] if r.get("refusal") != "unsupported"]
        return {r["kernel_request"] for r in possible}

    return takes


def cuda_kernels(info, named):
    """{name: type} of CUDA, in order; the candidates must be among them."""
    kernels = {k["name"]: k["type"] for k in info["kernels"] if k["backend"] == "cuda"}
    for name in named:
        if name not in kernels:
            raise Refused(f"--candidates {name}: the program has {', '.join(kernels)}")
    return kernels


def instruments(options, info, device=()):
    """Of the machine that the steps will run on; `info` None: no program to ask."""
    named = tuple(options.candidates.split(",")) if options.candidates else ()
    kernels = cuda_kernels(info, named) if info else dict.fromkeys(named, "flash")
    takes = takes_on(Flashbench(program()), kernels, device)
    return plan.Instruments(program(), kernels, named, takes, peers_python())


def missing_pytorch(python):
    """Why there is nothing to compare with; "" where there is."""
    try:
        done = subprocess.run([python, "-c", HAS_PYTORCH], capture_output=True, timeout=60)
        found = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        found = False
    return "" if found else f"{python} has no PyTorch with CUDA (scripts/peers --install)"


def missing_sanitizer():
    return "" if shutil.which("compute-sanitizer") else "compute-sanitizer is not on the PATH"


def selected(steps, only):
    patterns = only.split(",") if only else ["*"]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(step.name, pattern) for step in steps):
            raise Refused(f"--only {pattern}: no such step; --list names them")
    return [s for s in steps if any(fnmatch.fnmatchcase(s.name, p) for p in patterns)]


# ---- the plan ------------------------------------------------------------------------------------


def show_plan(options):
    """What would be done on a GPU of today's making, which the emulated device stands for."""
    try:
        info = Flashbench(program()).run("info", "--isa", "scalar", "--threads", "1")
    except Refused:
        say(f"there is no {program()}: the plan names kernels when it is built (--build_only)")
        info = None
    if info and not cuda_kernels(info, ()):
        say(f"{program()} has no CUDA kernels: {info['backends']['cuda']['reason']}")
    with_ = instruments(options, info, ("--device", "emulated"))
    steps = selected([plan.info_step(program()), *plan.steps(with_)], options.only)
    if options.list:
        for step in steps:
            print(f"{step.name:42} {step.answers}")
        return 0
    shares = plan.share(steps, options.budget - runner.GRACE_S)
    folder = options.folder or "FOLDER"
    kept = [step for step in steps if step.name in shares]
    for number, step in enumerate(kept, 1):
        share_s = shares[step.name]
        print(f"{number:3}  {share_s:4.0f} s  {step.name}: {step.answers}")
        print(f"             {shlex.join(step.words(share_s, folder))}")
    total = sum(shares.values())
    print(f"{len(kept)} steps, {total:.0f} s of {options.budget:.0f} s.", end=" ")
    print("Steps of PyTorch and of compute-sanitizer are left out where these are not installed.")
    for step in steps:
        if step.name not in shares:
            print(f"dropped: {step.name}, which wants {step.least_s:.0f} s and more")
    return 0


# ---- the run -------------------------------------------------------------------------------------


class Run:
    """The steps of one call, and what became of them."""

    def __init__(self, options):
        self.options = options
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.folder = pathlib.Path(options.folder or plan.ROOT / "build/gpu" / stamp).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.watch = runner.Watch(options.budget)
        self.outcomes, self.dropped = [], []

    def note(self, step, state, reason="", **more):
        outcome = {"name": step.name, "kind": step.kind, "answers": step.answers}
        outcome.update({"state": state, "reason": reason, "seconds": None, "command": None})
        outcome.update(more)
        self.outcomes.append(outcome)
        return outcome

    def run(self, step, share_s):
        """Its outcome, noted and summarized, even when interrupted."""
        limit = runner.limit_s(share_s, self.watch.left_s())
        words = step.words(share_s, self.folder)
        for old in (f"{step.name}.json", f"{step.name}.json.partial"):  # of an earlier run
            (self.folder / old).unlink(missing_ok=True)
        say(f"{step.name}, {share_s:.0f} s: {shlex.join(words)}")
        outcome = self.note(step, "interrupted", command=shlex.join(words))
        began = self.watch.spent_s()
        try:
            state, reason, code = runner.run(words, self.folder / f"{step.name}.txt", limit)
            outcome.update(state=state, reason=reason, exit_code=code)
            if state != "ok":
                say(f"{step.name}: {state}: {reason}")
        finally:
            outcome["seconds"] = round(self.watch.spent_s() - began, 1)
            known = self.write()
        for row in known["utilisation"]:
            if row["step"] == step.name:
                say(f"{row['case']}, {row['kernel']}: {row['verdict']}")
        return outcome

    def run_all(self, steps):
        """In order, with what is left shared out again before each."""
        for number, step in enumerate(steps):
            waiting = [other for other in steps[number:] if not other.missing]
            shares = plan.share(waiting, self.watch.left_s() - runner.GRACE_S)
            if step.missing:
                self.note(step, "left out", step.missing)
            elif step.name in shares:
                self.run(step, shares[step.name])
            else:
                self.dropped.append(step.name)
        self.write()

    def write(self):
        spent_s = self.watch.spent_s()
        of = (self.folder, self.outcomes, self.options.budget, spent_s, self.dropped)
        known = summary.collect(*of)
        summary.write(self.folder, known)
        return known

    def names(self, *states):
        return [o["name"] for o in self.outcomes if o["state"] in states]

    def exit_code(self):
        """As flashbench: 1 where something failed, 3 where nothing of what was asked could run."""
        bad = self.names("failed", "stopped")
        all_of, ok = len(self.outcomes) + len(self.dropped), self.names("ok")
        for reason in dict.fromkeys(o["reason"] for o in self.outcomes if o["state"] == "left out"):
            say(f"left out: {reason}")
        for what, names in (
            ("nothing of it can run here", self.names("skipped")),
            ("dropped for want of time", self.dropped),
            ("failed", bad),
        ):
            if names:
                say(f"{what}: {', '.join(names)}")
        print((self.folder / "summary.md").read_text())
        say(f"summary.md and all reports are in {self.folder}")
        return 1 if bad else 3 if all_of > 1 and ok == ["info"] else 0


def usable_info(run):
    """What `info` says of a machine whose GPU can be used; else the exit code."""
    step = plan.info_step(program())
    outcome = run.run(step, 2 * step.most_s)  # without it there is nothing
    info = results.read(run.folder, "info")
    if outcome["state"] != "ok" or not info:
        say(f"nothing is known of the GPU: {outcome['reason']}")
        return None, 1
    cuda = info["backends"]["cuda"]
    if not cuda["available"]:
        say(f"the GPU cannot be used: {cuda['reason']}")
        return None, 3
    return info, 0


def measure(options):
    run = Run(options)
    try:
        info, code = usable_info(run)
        if info is None:
            return code
        with_ = instruments(options, info)
        absent = {"pytorch": missing_pytorch(with_.python), "sanitizer": missing_sanitizer()}
        with_ = dataclasses.replace(with_, **absent)
        info_step, *others = [plan.info_step(program()), *plan.steps(with_)]
        chosen = selected([info_step, *others], options.only)
        run.run_all([step for step in chosen if step is not info_step])
    except (KeyboardInterrupt, Terminated) as why:
        run.write()
        run.exit_code()
        return 143 if isinstance(why, Terminated) else 130
    return run.exit_code()


def on_sigterm(*_):
    raise Terminated


def main():
    options = parse()
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        if options.dry_run or options.list:
            return show_plan(options)
        return measure(options)
    except Refused as why:
        say(str(why))
        return 2


if __name__ == "__main__":
    sys.exit(main())
