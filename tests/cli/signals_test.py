"""SIGINT and SIGTERM keep what is done."""

import os
import pty
import select
import signal
import subprocess
import time
import unittest

from harness import FAST, PROGRAM, TINY, CliTest

# Ten cases of a second each at least, and of eight where other programs disturb their samples.
SLOW = ["--h", "1", "--d", "16", "--type", "flash", "--q_len", "16:160:+16", "--min_time", "1s",
        "--timeout", "8s"]


class Signals(CliTest):
    def start(self, *args, **kwargs):
        process = subprocess.Popen(
            [PROGRAM, *map(str, args)], cwd=self.folder, env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
        )
        self.addCleanup(process.kill)
        return process

    def wait_for(self, path, seconds=300):
        deadline = time.monotonic() + seconds
        while not path.exists():
            self.assertLess(time.monotonic(), deadline, f"{path} did not appear")
            time.sleep(0.02)

    def test_what_is_done_is_kept(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            report = self.folder / f"r{code}.json"
            process = self.start("bench", *SLOW, "--json", report)
            self.wait_for(report.with_name(report.name + ".partial"))
            self.validated(report.with_name(report.name + ".partial").read_text())
            time.sleep(0.3)  # into the next case
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, code, err)
            results = self.validated(report.read_text())["results"]
            self.assertEqual(results[0]["status"], "ok")
            self.assertEqual(results[0]["check"]["verdict"], "pass")
            self.assertLess(len(results), 10)
            self.assertIn("flash", out)
            self.assertFalse(report.with_name(report.name + ".partial").exists())

    def test_interrupted_before_anything_is_done_no_file_is_replaced(self):
        (self.folder / "r.json").write_text("precious")
        process = self.start("bench", "--json", "r.json")
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertEqual((self.folder / "r.json").read_text(), "precious")

    def test_check_reports_what_it_did(self):
        process = self.start("check", "--json", "r.json", "--junit", "c.xml")
        self.wait_for(self.folder / "r.json.partial")
        self.validated((self.folder / "r.json.partial").read_text())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertGreater(len(self.validated((self.folder / "r.json").read_text())["results"]), 0)
        self.assertTrue((self.folder / "c.xml").exists())

    def test_nohup_stays_nohup(self):
        process = self.start("bench", *TINY, *FAST,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)


class Terminal(CliTest):
    def test_progress_is_drawn_on_a_terminal_and_taken_away(self):
        leader, follower = pty.openpty()
        process = subprocess.Popen([PROGRAM, "bench", *TINY, "--min_time", "300ms"], stderr=follower, stdout=subprocess.PIPE,
                                   cwd=self.folder, env=self.environment(TERM="xterm", NO_COLOR=""))
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], 30)[0]:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the last writer is gone
                break
            if not block:
                break
            seen += block
        out, _ = process.communicate(timeout=60)
        os.close(leader)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"1/2", seen)
        self.assertIn(b"sampling", seen)
        self.assertNotIn(b"\x1b", out)
        last_line_cleared = seen.rfind(b"\x1b[K") > seen.rfind(b"1/2")
        self.assertTrue(last_line_cleared)


if __name__ == "__main__":
    unittest.main()
