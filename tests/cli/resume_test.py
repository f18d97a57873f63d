"""A sweep that was cut short, at any moment, is completed by --resume."""

import json
import random
import subprocess
import time
import unittest

from harness import FAST, PROGRAM, TINY, CliTest

SWEEP = ["--h", "1", "--d", "16", "--q_len", "16:400:+24", "--min_time", "20ms", "--min_samples",
         "3", "--timeout", "400ms"]
CASES = 2 * 17  # flash and normal


class Resume(CliTest):
    def start(self, *args):
        process = subprocess.Popen([PROGRAM, "bench", *SWEEP, *map(str, args)], cwd=self.folder,
                                   env=self.environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.kill)
        return process

    def on_disk(self):
        """Results by command of what a reader finds now; every file there must be valid."""
        found = {}
        for name in ("r.json", "r.json.partial"):
            path = self.folder / name
            if path.exists():
                found = {r["command"]: r for r in self.validated(path.read_text())["results"]}
        return found

    def test_killed_at_ten_random_moments(self):
        seed = random.randrange(2**32)
        moment = random.Random(seed)
        have, kills, grew = {}, 0, 0
        before = time.monotonic()
        self.expect(0, "bench", *SWEEP[:4], "--q_len", "16", *SWEEP[6:], "--json", "one.json")
        one_case_s = time.monotonic() - before  # a busy machine takes several times as long
        for turn in range(10):
            process = self.start("--resume" if have else "--json", "r.json")
            # The first one while there is much left, however slow the case was that was timed.
            time.sleep(moment.uniform(0.05, (4 if turn else 1) * one_case_s))
            kills += process.poll() is None
            process.kill()
            process.wait()
            now = self.on_disk()
            for command, result in have.items():
                self.assertEqual(now[command]["times"], result["times"], f"seed {seed}: {command}")
            grew += len(now) > len(have)
            have = now
        self.assertGreater(kills, 0, f"seed {seed}")
        self.assertGreater(grew, 0, f"seed {seed}")
        self.expect(0, "bench", *SWEEP, "--resume" if have else "--json", "r.json")
        self.assertFalse((self.folder / "r.json.partial").exists())
        report = json.loads((self.folder / "r.json").read_text())
        self.assertEqual(len(report["results"]), CASES)
        self.assertEqual(len({r["command"] for r in report["results"]}), CASES)
        for r in report["results"]:
            self.assertEqual(r["status"], "ok", r["reason"])
            self.assertTrue(r["speedup_over"] is None or r["type"] == "flash")
            if r["command"] in have:
                self.assertEqual(r["times"], have[r["command"]]["times"])
        lengths = [r["workload"]["q_len"] for r in report["results"]]
        self.assertEqual(lengths, sorted(lengths), "the order is that of the sweep")
        self.assertGreater(len(report["peaks"]), 0)

    def complete(self, *more):
        self.expect(0, "bench", *TINY, *FAST, "--json", "r.json", *more)
        return json.loads((self.folder / "r.json").read_text())

    def test_nothing_left_measures_nothing(self):
        before = self.complete()
        done = self.expect(0, "bench", *TINY, *FAST, "--resume", "r.json")
        self.assertIn("has 2 of 2 cases", done.stderr)
        after = self.validated((self.folder / "r.json").read_text())
        self.assertEqual(before["results"], after["results"])
        self.assertEqual(before["peaks"], after["peaks"])

    def test_a_longer_sweep_extends_and_another_sweep_loses_nothing(self):
        before = self.complete("--type", "flash")
        longer = ["--h", "2", "--d", "16", "--type", "flash", "--q_len"]
        done = self.expect(0, "bench", *FAST, *longer, "32,48", "--resume", "r.json", "--json", "more.json")
        self.assertIn("has 1 of 2 cases", done.stderr)
        more = self.validated((self.folder / "more.json").read_text())
        self.assertEqual(len(more["results"]), 2)
        self.assertEqual(more["results"][0]["times"], before["results"][0]["times"])
        self.expect(0, "bench", *FAST, *longer, "64", "--resume", "more.json")
        all_three = self.validated((self.folder / "more.json").read_text())
        self.assertEqual([r["workload"]["q_len"] for r in all_three["results"]], [64, 32, 48])

    def test_a_ratio_between_two_runs_says_so(self):
        self.complete("--type", "flash")
        self.expect(0, "bench", *TINY, *FAST, "--resume", "r.json")
        flash, normal = self.validated((self.folder / "r.json").read_text())["results"]
        self.assertNotIn("another run", " ".join(flash["warnings"]))
        self.assertIn("another run", " ".join(normal["warnings"]))

    def test_failed_and_unverified_cases_run_again(self):
        self.complete("--verify", "none")
        done = self.expect(0, "bench", *TINY, *FAST, "--resume", "r.json")
        self.assertIn("has 0 of 2 cases", done.stderr)
        for r in self.validated((self.folder / "r.json").read_text())["results"]:
            self.assertEqual(r["check"]["verdict"], "pass")

    def test_block_sizes_and_determinism_are_other_cases(self):
        self.complete("--type", "paper", "--q_block", "16")
        for other in (["--q_block", "32"], ["--q_block", "16", "--deterministic"]):
            done = self.expect(0, "bench", *TINY, *FAST, "--type", "paper", *other, "--resume",
                               "r.json", "--dry_run")
            self.assertIn("has 0 of 1 cases", done.stderr)

    def test_a_dry_run_shows_what_is_left(self):
        self.complete("--type", "flash")
        done = self.expect(0, "bench", *TINY, "--resume", "r.json", "--dry_run")
        self.assertIn("normal", done.stdout)
        self.assertNotIn("flash", done.stdout)

    def test_another_machine_or_build_is_refused_unless_told_so(self):
        report = self.complete()
        changes = {"host": lambda r: r["context"].update(host="elsewhere"),
                   "processor": lambda r: r["context"]["cpu"].update(model="Abacus"),
                   "build": lambda r: r["tool"].update(git_sha="0" * 40),
                   "compiler flags": lambda r: r["context"].update(flags="-O0")}
        for name, change in changes.items():
            other = json.loads(json.dumps(report))
            change(other)
            (self.folder / "r.json").write_text(json.dumps(other))
            self.refuse("bench", *TINY, "--resume", "r.json", says=[name, "--resume_anyway"])
        self.expect(0, "bench", *TINY, "--resume", "r.json", "--resume_anyway")
        mixed = self.validated((self.folder / "r.json").read_text())
        self.assertIn("measured elsewhere", " ".join(mixed["results"][0]["warnings"]))

    def test_bad_reports(self):
        self.refuse("bench", "--resume", "none.json", says=["none.json", "no such report"])
        (self.folder / "bad.json").write_text("{}")
        self.refuse("bench", "--resume", "bad.json", says="bad.json")
        self.refuse("bench", "--resume_anyway", says="--resume FILE")
        self.refuse("bench", *TINY, "--resume", "", says="--resume needs a value")


if __name__ == "__main__":
    unittest.main()
