"""Somebody sets the wall clock: no duration is of it, no timeout waits for it."""

import datetime
import math
import sys
import time

from fault_harness import ONE, PROGRAM, SWEEP, Trials, ending, main
from harness import ROOT

ANSWER = ROOT / "lib/guest/examples/attention.py"


class WallClock(Trials):
    def jumping(self):
        return {"LD_PRELOAD": str(self.preload("jumping_clock"))}

    def run_within(self, seconds, *args):
        before = time.monotonic()
        done = self.expect(0, *args, env=self.jumping(), timeout=seconds)
        took = time.monotonic() - before
        self.count(f"wall clock jumps in {args[0]}", ending(done))
        return done, took

    def expect_times(self, report, took):
        started = datetime.datetime.strptime(report["started_at"], "%Y-%m-%dT%H:%M:%SZ")
        self.assertLess(abs(started.year - time.gmtime().tm_year), 12)
        for result in report["results"]:
            self.assertEqual(result["status"], "ok", result["reason"])
            self.assertTrue(result["times"])
            for seconds in result["times"]:
                self.assertTrue(math.isfinite(seconds) and 0 < seconds < took, seconds)

    def bench(self):
        _, took = self.run_within(60, "bench", *SWEEP, "--json", "r.json")
        self.expect_times(self.whole_json(self.folder / "r.json"), took)

    def test_samples_are_of_another_clock(self):
        self.each(5, self.bench)

    def check(self):
        done, took = self.run_within(60, "check", *ONE, "--q_len", "16:100:+16", "--json", "c.json")
        self.assertIn("0 failed", done.stdout)
        amount, unit = done.stdout.rsplit(" in ", 1)[1].split()
        self.assertTrue(0 < float(amount) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit] <= took + 0.01, done.stdout)
        self.whole_json(self.folder / "c.json")

    def test_check_takes_as_long_as_it_takes(self):
        self.each(5, self.check)

    def forward(self):
        done, took = self.run_within(60, "forward", *ONE, "--q_len", "300", "--json", "f.json", "--trace", "t.json")
        self.expect_times(self.whole_json(self.folder / "f.json"), took)
        self.assertNotRegex(done.stdout, r"-\d+(\.\d+)? (ns|us|ms|s)\b")

    def test_one_call_takes_as_long_as_it_takes(self):
        self.each(5, self.forward)

    def budgeted(self):
        _, took = self.run_within(60, "bench", *ONE, "--q_len", "16:400:+16", "--budget", "6s", "--json", "r.json")
        self.assertLess(took, 6 * 3)
        self.whole_json(self.folder / "r.json")

    def test_a_budget_is_kept(self):
        self.each(2, self.budgeted)

    def compared(self):
        before = time.monotonic()
        done = self.run_program("compare", "--run", PROGRAM, PROGRAM, "--timeout", "8s", "--", *SWEEP,
                                env=self.jumping(), timeout=90)
        self.count("wall clock jumps in compare --run", ending(done))
        self.assertIn(done.returncode, (0, 1, 3), done.stderr)
        self.assertLess(time.monotonic() - before, 60)

    def test_two_programs_end_at_their_timeout(self):
        self.each(2, self.compared)

    def worker(self):
        words = [sys.executable, ROOT / "scripts/flashbench/worker.py", f"{ANSWER}:attention"]
        done = self.run_program("check", "--worker", " ".join(map(str, words)), "--q_len", "16", "--d", "16",
                                "--threads", "1", "--pass", "forward", env=self.jumping(), timeout=90)
        if "numpy" in done.stdout + done.stderr:
            self.skipTest("no numpy for the worker")
        self.count("wall clock jumps in check --worker", ending(done))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_worker_answers_in_time(self):
        self.each(2, self.worker)


if __name__ == "__main__":
    main()
