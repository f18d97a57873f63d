"""scripts/gpu where there is no GPU: one line, and nothing is installed, configured or built."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class WithoutAGpu(unittest.TestCase):
    def test_it_says_so_and_does_nothing(self):
        with tempfile.TemporaryDirectory() as empty:
            env = dict(os.environ, FLASHBENCH_DEV=empty)
            done = subprocess.run(
                [ROOT / "scripts/gpu", pathlib.Path(empty, "reports")], env=env, capture_output=True, text=True
            )
            self.assertEqual(done.returncode, 3)
            self.assertEqual(done.stdout, "")
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("no NVIDIA GPU on this machine", done.stderr)
            self.assertEqual(os.listdir(empty), [])


if __name__ == "__main__":
    unittest.main()
