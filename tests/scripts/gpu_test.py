"""scripts/gpu without a GPU, and with one that a stand-in for the program claims to see."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Writes down how it was called; CUDA is there, and the check of the whole suite fails.
STAND_IN = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
[ "$1" != info ] || echo "  cuda          $CUDA_IS"
[ "$1" != check ] || exit 1
"""


class ScriptsGpu(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_it(self, **env):
        return subprocess.run(
            [ROOT / "scripts/gpu", self.folder / "reports"],
            env=dict(os.environ, FLASHBENCH_DEV=str(self.folder), **env),
            capture_output=True,
            text=True,
        )

    def stand_in(self):
        (self.folder / "nvidia0").touch()
        program = self.folder / "flashbench"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        return {"FLASHBENCH": str(program), "FLASHBENCH_PEERS_PYTHON": "/nonexistent/python"}

    def test_without_a_gpu_it_says_so_and_does_nothing(self):
        done = self.run_it()
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("no NVIDIA GPU on this machine", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_program_that_is_built_already_is_taken_and_a_failed_step_stops_no_other(self):
        done = self.run_it(**self.stand_in(), CUDA_IS="available", BUDGET="7s")
        calls = (self.folder / "calls").read_text().splitlines()
        commands = [call.split()[0] for call in calls]
        self.assertEqual([c for c in commands if c != "check"], ["info", "bench", "bench"])
        self.assertIn("--budget 7s", calls[-1])
        self.assertNotIn("cmake", done.stderr)
        self.assertRegex(done.stderr, r"failed: check\b")
        self.assertIn("has no PyTorch with CUDA", done.stderr)
        self.assertEqual(done.returncode, 1)
        self.assertIn("available", (self.folder / "reports/info.txt").read_text())

    def test_a_gpu_that_cannot_be_used_ends_it(self):
        done = self.run_it(**self.stand_in(), CUDA_IS="absent: no driver")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("the GPU cannot be used: absent: no driver", done.stderr)
        self.assertEqual(len((self.folder / "calls").read_text().splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
