"""Runs the real program. FLASHBENCH names it, FLASHBENCH_VALIDATE the validator of its reports."""

import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("FLASHBENCH", str(ROOT / "build/release/flashbench"))
VALIDATOR = os.environ.get("FLASHBENCH_VALIDATE", "")
SCHEMA = ROOT / "lib/report/schema/flashbench-report.schema.json"
DATA = ROOT / "tests/data"

TINY = ["--b", "1", "--h", "2", "--q_len", "32", "--d", "16"]
FAST = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "200ms"]


def read_safetensors(path):
    """name -> (dtype, shape, bytes); asserts that the file is well formed."""
    blob = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + size])
    header.pop("__metadata__", None)
    data = blob[8 + size :]
    return {
        name: (t["dtype"], t["shape"], data[t["data_offsets"][0] : t["data_offsets"][1]])
        for name, t in header.items()
    }


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, blob) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="flashbench_cli_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def environment(self, **extra):
        env = dict(os.environ, **extra)
        env.setdefault("OMP_WAIT_POLICY", "passive")  # tests share their cores
        return env

    def run_program(self, *args, timeout=600, env=None, **kwargs):
        return subprocess.run(
            [PROGRAM, *map(str, args)],
            stdout=kwargs.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            cwd=self.folder,
            env=self.environment(**(env or {})),
            **kwargs,
        )

    def expect(self, code, *args, **kwargs):
        """Runs, demands an exit code, returns the completed process."""
        done = self.run_program(*args, **kwargs)
        self.assertEqual(done.returncode, code, f"{args}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return done

    def refuse(self, *args, code=2, says=(), **kwargs):
        """Bad input: the exit code, nothing on stdout, and one line that says what is wrong."""
        done = self.expect(code, *args, **kwargs)
        self.assertEqual(done.stdout, "", args)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, f"{args}: {done.stderr}")
        self.assertTrue(lines[0].startswith("flashbench: "), lines[0])
        for text in says if isinstance(says, (list, tuple)) else [says]:
            self.assertIn(text, lines[0], args)
        return lines[0]

    def on_a_terminal(self, *args, columns, code=0):
        """What it shows on a terminal of so many columns."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        process = subprocess.Popen([PROGRAM, *map(str, args)], stdout=follower, stderr=subprocess.DEVNULL, cwd=self.folder,
                                   env=self.environment(LC_ALL="C.UTF-8"))
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the program has ended
                break
            seen += block
        os.close(leader)
        ended = process.wait(timeout=60)
        if code is not None:
            self.assertEqual(ended, code, seen)
        return seen.decode().replace("\r\n", "\n")

    def validated(self, text):
        """The report as an object, after the JSON Schema of the project has accepted it."""
        path = self.folder / "validated.json"
        path.write_text(text)
        if VALIDATOR:
            done = subprocess.run([VALIDATOR, SCHEMA, path], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

        def no_constant(name):
            raise ValueError(f"{name} is not JSON")

        return json.loads(text, parse_constant=no_constant)

    def expect_share_of_peak(self, result):
        """Beside other programs, as tests are, there may be none, and a warning says why."""
        if result["pct_peak"] is None:
            self.assertRegex("\n".join(result["warnings"]), "(?m)^(no share of the peak|disturbed|times do not rise|noisy)")
        else:
            self.assertGreater(result["pct_peak"], 0)

    def expect_speedup(self, flash, normal):
        """The ratio of the medians within its interval; none where samples are few or disturbed."""
        if flash["speedup_over"] is None:
            few = min(len(r["times"]) - r["marked"] for r in (flash, normal)) < 6
            self.assertTrue(few or flash["disturbed"] or normal["disturbed"] or not flash["rises"])
            return
        ratio, (low, high) = flash["speedup_over"]["normal"], flash["speedup_ci95"]["normal"]
        self.assertAlmostEqual(ratio, normal["median"] / flash["median"])
        self.assertTrue(low <= ratio <= high)

    def bench_json(self, *args, code=0, **kwargs):
        return self.validated(self.expect(code, "bench", *FAST, *args, "--json", "-", **kwargs).stdout)
