#!/usr/bin/env python3
"""Minutes on an NVIDIA GPU, all of them used: is every kernel right, which is the fastest, and what
bounds the flash kernels that take 4096 queries on tensor cores?

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
import contextlib
import fnmatch
import functools
import os
import pathlib
import shlex
import shutil
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))

import asking  # noqa: E402
import plan  # noqa: E402
import results  # noqa: E402
import runner  # noqa: E402
import summary  # noqa: E402
from durations import seconds  # noqa: E402
from flashbench_program import Flashbench  # noqa: E402
from refused import Refused  # noqa: E402

# Those of a step that has gone wrong.
BAD = ("failed", "stopped", summary.NOT_UNDERSTOOD)
OF_A_STEP = (".json", ".json.partial", ".md", ".xml", ".txt")  # the files


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


def candidates(options, kernels):
    """Those that are named, which must be among these."""
    named = tuple(options.candidates.split(",")) if options.candidates else ()
    for name in named:
        if kernels and name not in kernels:
            raise Refused(f"--candidates {name}: the program has {', '.join(kernels)}")
    return named


def planned(options, kernels, questions, device=(), **missing):
    """The steps that are asked for; `kernels` empty: no program to ask."""
    named = candidates(options, kernels)
    takes = questions.takes(tuple(kernels), device) if kernels else lambda flags: named
    kernels = kernels or dict.fromkeys(named, "flash")
    with_ = plan.Instruments(program(), kernels, named, takes, peers_python(), **missing)
    steps = selected([plan.info_step(program()), *plan.steps(with_)], options.only)
    for doubt in questions.doubts:
        say(doubt)
    return steps


def selected(steps, only):
    patterns = only.split(",") if only else ["*"]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(step.name, pattern) for step in steps):
            raise Refused(f"--only {pattern}: no such step; --list names them")
    return [s for s in steps if any(fnmatch.fnmatchcase(s.name, p) for p in patterns)]


# ---- the plan ------------------------------------------------------------------------------------


def show_plan(options):
    """What would be done on a GPU of today's making, which the emulated device stands for."""
    flashbench, kernels = Flashbench(program()), {}
    try:
        scalar = ("--isa", "scalar", "--threads", "1")
        info = flashbench.run("info", *scalar, timeout_s=asking.MOST_S)
        kernels = results.cuda_kernels(info)
        if not kernels:
            say(f"{program()} has no CUDA kernels: {results.unusable(info)}")
    except Refused as why:
        if shutil.which(program()):
            say(f"the plan names no kernels: {why}")
        else:
            say(f"there is no {program()}: the plan names kernels when it is built (--build_only)")
    steps = planned(options, kernels, asking.Questions(flashbench), ("--device", "emulated"))
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
        self.outcomes, self.dropped, self.known = [], [], None

    def note(self, step, state, reason="", **more):
        outcome = {"name": step.name, "kind": step.kind, "answers": step.answers}
        outcome.update({"state": state, "reason": reason, "seconds": None, "command": None})
        outcome.update(more)
        self.outcomes.append(outcome)
        return outcome

    @contextlib.contextmanager
    def noted(self, step, **more):
        """The outcome of what is done meanwhile, summarized even when that is interrupted."""
        outcome = self.note(step, "interrupted", **more)
        began = self.watch.spent_s()
        try:
            yield outcome
        finally:
            outcome["seconds"] = round(self.watch.spent_s() - began, 1)
            self.write()

    def run(self, step, share_s):
        """Its state and reason."""
        limit = runner.limit_s(share_s, self.watch.left_s())
        words = step.words(share_s, self.folder)
        self.forget(step)
        say(f"{step.name}, {share_s:.0f} s: {shlex.join(words)}")
        with self.noted(step, command=shlex.join(words)) as outcome:
            state, reason, code = runner.run(words, self.folder / f"{step.name}.txt", limit)
            outcome.update(state=state, reason=reason, exit_code=code)
        (known,) = (s for s in self.known["steps"] if s["name"] == step.name)
        if known["state"] != "ok":
            say(f"{step.name}: {known['state']}: {known['reason']}")
        for row in self.known["utilisation"]:
            if row["step"] == step.name:
                say(f"{row['case']}, {row['kernel']}: {row['verdict']}")
        return known["state"], known["reason"]

    def forget(self, step):
        """What it has left in the folder in an earlier run."""
        for ending in OF_A_STEP:
            (self.folder / f"{step.name}{ending}").unlink(missing_ok=True)

    def run_all(self, steps):
        """In order, with what is left shared out again before each."""
        for step in steps:  # those that will not run as well
            self.forget(step)
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
        self.known = summary.collect(*of)
        summary.write(self.folder, self.known)

    def names(self, *states):
        return [step["name"] for step in self.known["steps"] if step["state"] in states]

    def exit_code(self):
        """As flashbench: 1 where something failed, 3 where nothing of what was asked has run: it
        cannot here, or there was no time."""
        bad, first = self.names(*BAD), ("info", "plan")
        asked = [o["name"] for o in self.outcomes if o["name"] not in first] + self.dropped
        ok = set(self.names("ok")).difference(first)
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
        return 1 if bad else 3 if asked and not ok else 0


def usable_info(run):
    """What `info` says of a machine whose GPU can be used; else the exit code."""
    step = plan.info_step(program())
    state, reason = run.run(step, 2 * step.most_s)  # without it there is nothing
    if state != "ok":
        say(f"nothing is known of the GPU: {reason}")
        return None, 1
    info = results.read(run.folder, "info")
    if why := results.unusable(info):
        say(f"the GPU cannot be used: {why}")
        return None, 3
    return info, 0


def plan_of(run, info):
    """Its steps; asking for them takes of the budget as a step does."""
    with run.noted(plan.planning_step()) as outcome:
        limit = functools.partial(left_for_a_question, run.watch)
        questions = asking.Questions(Flashbench(program()), limit)
        missing = {
            "pytorch": questions.missing_pytorch(peers_python()),
            "sanitizer": asking.missing_sanitizer(),
        }
        try:
            steps = planned(run.options, results.cuda_kernels(info), questions, **missing)
        except Refused as why:
            outcome.update(state="failed", reason=str(why))
            raise
        doubts = "; ".join(questions.doubts)
        outcome.update(state="in doubt" if doubts else "ok", reason=doubts)
    return [step for step in steps if step.name != "info"]


def left_for_a_question(watch):
    return asking.limit_s(watch.left_s() - runner.GRACE_S)


def measure(options):
    run = Run(options)
    try:
        info, code = usable_info(run)
        if info is None:
            return code
        run.run_all(plan_of(run, info))
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
