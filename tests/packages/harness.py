"""A place to install into, and what must be there and run in it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLASHBENCH_BUILD", ROOT / "build/release"))
CMAKE = os.environ.get("CMAKE", "cmake")
SKIPPED = 77  # what ctest reads as skipped

# Below the prefix of every package.
FILES = {
    "bin/flashbench",
    "include/flashbench_kernel.h",
    "lib/flashbench/emulated_driver/libcuda.so.1",
    "lib/flashbench/plugins/ggml.so",
    "share/doc/flashbench/LICENSE",
    "share/flashbench/configs/gpt2.json",
    "share/flashbench/flashbench-report.schema.json",
    "share/flashbench/guest/examples/attention.c",
}
TINY = [
    "--b",
    "1",
    "--h",
    "1",
    "--q_len",
    "32",
    "--kv_len",
    "32",
    "--d",
    "16",
    "--min_time",
    "1ms",
    "--timeout",
    "200ms",
]


def require(*programs):
    """Ends the test program as skipped where one of the programs is missing."""
    if absent := [name for name in programs if shutil.which(name) is None]:
        print(f"skipped: there is no {', '.join(absent)}")
        sys.exit(SKIPPED)


class PackageTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="flashbench_packages_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def command(self, *words, **env):
        """What it prints; it must succeed. Nothing of the sources is near, and nothing tells where they are."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FLASHBENCH")} | {
            "OMP_WAIT_POLICY": "passive"
        }
        done = subprocess.run(
            [*map(str, words)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=kept | env,
            timeout=500,
        )
        self.assertEqual(
            done.returncode, 0, f"{words}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        )
        return done.stdout

    def check_files(self, prefix):
        there = {p.relative_to(prefix).as_posix() for p in pathlib.Path(prefix).rglob("*")}
        self.assertEqual(FILES - there, set())

    def check_runs(self, *program):
        self.assertIn(
            "Kernels", self.command(*program, "info", "--threads", "1", "--isa", "scalar")
        )
        self.command(*program, "bench", *TINY, "--threads", "1", "--json", "r.json")
        results = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual({r["check"]["verdict"] for r in results}, {"pass"})
        # Found beside the program, not in a source tree.
        self.assertIn("12", self.command(*program, "bench", "--config", "gpt2", "--dry_run"))
