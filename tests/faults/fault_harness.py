"""Starts the real program and does to it what a machine may do."""

import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from harness import PROGRAM, CliTest  # noqa: E402

ONE = ["--b", "1", "--h", "1", "--d", "16", "--threads", "1", "--type", "flash"]
# Five cases, some tenths of a second each.
CASES = 5
SWEEP = [*ONE, "--q_len", "16:80:+16", "--min_time", "100ms", "--min_samples", "3", "--timeout", "300ms"]
# Minutes in one launch: what it does not poll, it does not answer.
LONG_LAUNCH = ["--b", "1", "--h", "1", "--q_len", "32k", "--d", "128", "--threads", "1"]


class FaultTest(CliTest):
    def start(self, *args, env=None, **kwargs):
        process = subprocess.Popen(
            [PROGRAM, *map(str, args)], cwd=kwargs.pop("cwd", self.folder), env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

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
