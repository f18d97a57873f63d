"""Runs the scripts as a user does, with the interpreter that runs the test."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
PROGRAM = os.environ.get("FLASHBENCH", str(ROOT / "build/release/flashbench"))
VALIDATOR = os.environ.get("FLASHBENCH_VALIDATE", "")
SCHEMA = ROOT / "lib/report/schema/flashbench-report.schema.json"
SKIPPED = 77  # what ctest reads as skipped

for room in ("common", "peer", "plots", "on_gpu", "tables"):
    sys.path.insert(0, str(SCRIPTS / room))


def missing(*packages):
    return [name for name in packages if importlib.util.find_spec(name) is None]


def require(*packages):
    """Ends the test program as skipped where one of the packages is missing."""
    if absent := missing(*packages):
        print(f"skipped: {sys.executable} lacks {', '.join(absent)}")
        sys.exit(SKIPPED)


class ScriptTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="flashbench_scripts_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_script(self, name, *args, code=0, timeout=500):
        return self.run_command(sys.executable, SCRIPTS / name, *args, code=code, timeout=timeout)

    def run_command(self, *words, code=0, timeout=500):
        env = dict(os.environ, FLASHBENCH=PROGRAM)
        env.setdefault("OMP_WAIT_POLICY", "passive")  # tests share their cores
        done = subprocess.run(
            [*map(str, words)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=env,
            timeout=timeout,
        )
        self.assertEqual(
            done.returncode, code, f"{words}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        )
        return done

    def bench(self, path, *args):
        """A small report of flashbench's own at `path`."""
        quick = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "200ms", "--json", path]
        done = subprocess.run(
            [PROGRAM, "bench", *map(str, [*args, *quick])], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(pathlib.Path(path).read_text())

    def validated(self, text):
        """The report as an object, after the project's schema has accepted it."""
        path = self.folder / "validated.json"
        path.write_text(text)
        if VALIDATOR:
            done = subprocess.run([VALIDATOR, SCHEMA, path], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(text)
