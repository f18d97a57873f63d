"""Starts the real program and does to it what a machine may do.

FLASHBENCH_FAULT_SEED repeats a run's random trials; FLASHBENCH_FAULT_SHARE (1 by default) is the share of them that run.
"""

import collections
import csv
import io
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from harness import PROGRAM, CliTest  # noqa: E402

ONE = ["--b", "1", "--h", "1", "--d", "16", "--threads", "1", "--type", "flash"]
# Five cases, some tenths of a second each.
CASES = 5
SWEEP = [*ONE, "--q_len", "16:80:+16", "--min_time", "100ms", "--min_samples", "3", "--timeout", "300ms"]
# Minutes in one launch: what it does not poll, it does not answer.
LONG_LAUNCH = ["--b", "1", "--h", "1", "--q_len", "32k", "--d", "128", "--threads", "1"]
NOBODY = 65534

# A test that runs in the background, or under nohup, hands on that these are ignored; the program keeps that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SEED = int(os.environ.get("FLASHBENCH_FAULT_SEED") or random.randrange(2**32))
SHARE = float(os.environ.get("FLASHBENCH_FAULT_SHARE") or 1)
# What became of the trials: fault -> outcome -> how many.
OUTCOMES = collections.defaultdict(collections.Counter)


def ending(process):
    code = process.returncode
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name


def alive(marker):
    """Process ids of all that have `marker` in their environment, but for those that are only left to be waited for."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # gone, or a zombie of another user
            continue
    return found


class FaultTest(CliTest):
    def start(self, *args, env=None, **kwargs):
        kwargs = {"cwd": self.folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        process = subprocess.Popen([kwargs.pop("program", PROGRAM), *map(os.fspath, map(self.as_word, args))],
                                   env=self.environment(**(env or {})), stdin=subprocess.DEVNULL, text=True,
                                   errors="backslashreplace", **kwargs)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    @staticmethod
    def as_word(arg):
        return arg if isinstance(arg, (bytes, os.PathLike)) else str(arg)

    def wait_for(self, holds, seconds=60):
        deadline = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), deadline, "it did not happen")
            time.sleep(0.01)

    def end(self, process, code, seconds=60):
        """Its stdout and stderr, once it has ended as it must."""
        out, err = process.communicate(timeout=seconds)
        self.assertEqual(process.returncode, code, f"stdout: {out}\nstderr: {err}")
        return out, err

    def ours(self, folder=None):
        """Names of the files that belong to a running program alone."""
        return [name for name in os.listdir(folder or self.folder) if name.startswith(".flashbench-")]

    def nobody(self):
        """Keyword arguments for a run as an ordinary user, who may write to self.folder."""
        self.folder.chmod(0o777)
        if os.geteuid() != 0:
            return {}
        program = self.folder / "program"  # another user may not read where it was built
        if not program.exists():
            shutil.copy(PROGRAM, program)
        return {"user": NOBODY, "group": NOBODY, "extra_groups": [], "program": program}


class Trials(FaultTest):
    """Random trials, each in a folder of its own, whose outcomes are counted."""

    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id().partition('.')[2]}")
        self.root = self.folder
        self.number = itertools.count()

    def each(self, full, trial, *args):
        """Runs `trial` so many times, or the share of them that is asked for; those after one that failed, too."""
        for number in range(max(1, round(full * SHARE))):
            with self.subTest(trial=number, seed=SEED):
                self.begin_trial()
                trial(*args)
                shutil.rmtree(self.folder, ignore_errors=True)

    def begin_trial(self):
        self.folder = self.root / f"trial{next(self.number)}"
        self.root.chmod(0o755)
        self.folder.mkdir()

    def some(self, rows):
        """As large a share of these as of trials."""
        return self.random.sample(rows, max(1, round(len(rows) * SHARE)))

    def count(self, fault, outcome):
        OUTCOMES[fault][outcome] += 1

    def preload(self, name):
        """The path of a library for LD_PRELOAD, made of preload/NAME.c."""
        library = self.root / f"{name}.so"
        if not library.exists():
            compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
            if not compiler:
                self.skipTest("no C compiler")
            source = pathlib.Path(__file__).parent / "preload" / f"{name}.c"
            subprocess.run([compiler, "-O1", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
        return library

    # What a reader finds on the disk.

    def whole_json(self, path):
        return self.validated(path.read_text())

    def whole_csv(self, path):
        text = path.read_text()
        self.assertTrue(text.endswith("\n"), text[-80:])
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})
        return rows

    def one_line(self, err):
        """What an error says, beside progress and warnings."""
        lines = [line for line in err.splitlines() if line.startswith("flashbench: ")]
        self.assertTrue(lines, err)
        return lines[-1]


class AtOnce(unittest.TextTestResult):
    """Tells of a trial that failed before the others are done, which takes minutes."""

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            print(f"{subtest}:\n{self._exc_info_to_string(err, test)}", file=sys.stderr, flush=True)


def main():
    print(f"FLASHBENCH_FAULT_SEED={SEED}", flush=True)
    try:
        unittest.main(testRunner=unittest.TextTestRunner(resultclass=AtOnce))
    finally:
        for fault, outcomes in OUTCOMES.items():
            what = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"| {fault} | {sum(outcomes.values())} | {what} |")
