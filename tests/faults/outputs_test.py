"""An output that cannot be written any more takes neither the table nor the other outputs with it."""

import os
import resource
import shutil
import unittest

from fault_harness import CASES, ONE, SWEEP, FaultTest

SMALL = ["--b", "1", "--h", "1", "--q_len", "16", "--d", "16", "--threads", "1"]


class LostOutputs(FaultTest):
    def sweep_until_partial(self, *more, **kwargs):
        where = self.folder / "out"
        where.mkdir()
        process = self.start("bench", *SWEEP, "--json", where / "r.json", *more, **kwargs)
        self.wait_for((where / "r.json.partial").exists)
        return process, where

    def test_a_disk_that_is_full_at_the_end_leaves_the_table_and_the_cases_until_then(self):
        process, where = self.sweep_until_partial("--csv", self.folder / "r.csv")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (64, 64))
        out, err = self.end(process, 1)
        self.assertEqual(out.count("pass"), CASES, out)
        self.assertIn("r.json'", err)
        self.assertIn("going on", err)
        self.assertIn("r.csv'", err)
        self.assertFalse((where / "r.json").exists())
        kept = self.validated((where / "r.json.partial").read_text())["results"]
        self.assertIn(f"has {len(kept)} of {CASES} cases", err)
        self.assertEqual(self.ours(where), [])
        self.expect(0, "bench", *SWEEP, "--resume", where / "r.json")
        self.assertEqual(len(self.validated((where / "r.json").read_text())["results"]), CASES)

    def test_a_folder_that_is_gone_takes_its_report_alone(self):
        process, where = self.sweep_until_partial("--csv", self.folder / "r.csv", "--md", self.folder / "r.md")
        shutil.rmtree(where)
        out, err = self.end(process, 1)
        self.assertEqual(out.count("pass"), CASES, out)
        self.assertIn("does not exist", err)
        self.assertEqual(len((self.folder / "r.csv").read_text().splitlines()), 1 + CASES)
        self.assertEqual((self.folder / "r.md").read_text().count("| pass"), CASES)

    def test_a_folder_that_becomes_read_only_keeps_the_partial_report(self):
        user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        os.chmod(self.folder, 0o777)
        where = self.folder / "out"
        where.mkdir()
        where.chmod(0o777)
        try:
            process = self.start("bench", *SWEEP, "--json", where / "r.json", **user)
        except PermissionError:
            self.skipTest("root may write everywhere, and nobody else may run the program here")
        self.wait_for(lambda: (where / "r.json.partial").exists() or process.poll() is not None)
        where.chmod(0o555)
        out, err = self.end(process, 1)
        where.chmod(0o777)
        self.assertIn("Permission denied", err)
        self.assertEqual(out.count("pass"), CASES, out)
        self.assertTrue(self.validated((where / "r.json.partial").read_text())["results"])

    def test_check_tries_its_other_outputs(self):
        where = self.folder / "out"
        where.mkdir()
        process = self.start("check", "--q_len", "300", "--d", "64", "--threads", "1", "--junit", where / "c.xml",
                             "--md", self.folder / "c.md", "--json", self.folder / "c.json")
        self.wait_for(lambda: self.ours(where))
        shutil.rmtree(where)
        out, err = self.end(process, 1)
        self.assertIn("0 failed", out)
        self.assertIn("c.xml", err)
        self.assertIn("0 failed", (self.folder / "c.md").read_text())
        self.validated((self.folder / "c.json").read_text())

    def test_a_result_that_is_lost_leaves_its_summary_and_its_report(self):
        where = self.folder / "out"
        where.mkdir()
        process = self.start("forward", *ONE, "--q_len", "2k", "--verify", "full", "--output", where / "o.safetensors",
                             "--json", self.folder / "r.json")
        self.wait_for(lambda: self.ours(where))
        shutil.rmtree(where)
        out, err = self.end(process, 1)
        self.assertIn("verdict   pass", out)
        self.assertNotIn("written", out)
        self.assertIn("o.safetensors", err)
        self.validated((self.folder / "r.json").read_text())


class Abandoned(FaultTest):
    def test_what_a_killed_run_left_is_removed_by_the_next_start(self):
        process = self.start("bench", *SWEEP, "--json", "r.json")
        self.wait_for(lambda: self.ours())
        process.kill()
        process.communicate()
        self.assertNotEqual(self.ours(), [])
        (self.folder / ".flashbench-1-0.tmp").write_text("of a killed run")
        (self.folder / ".flashbench-notes.tmp").write_text("somebody's")
        self.expect(0, "bench", *SMALL, "--min_time", "1ms", "--timeout", "100ms", "--json", "r.json")
        self.assertEqual(self.ours(), [".flashbench-notes.tmp"])

    def test_what_a_running_one_needs_stays(self):
        process = self.start("bench", *SWEEP, "--json", "r.json")
        self.wait_for(lambda: self.ours())
        self.expect(0, "bench", *SMALL, "--min_time", "1ms", "--timeout", "100ms", "--json", "other.json")
        self.end(process, 0)
        self.assertEqual(len(self.validated((self.folder / "r.json").read_text())["results"]), CASES)


class TwoRuns(FaultTest):
    def test_the_second_that_writes_the_same_report_is_refused(self):
        process = self.start("bench", *SWEEP, "--json", "r.json")
        self.wait_for(lambda: self.ours())
        (self.folder / "link.json").symlink_to("r.json")
        for flags in (["--json", "r.json"], ["--json", self.folder / "link.json"], ["--csv", "./r.json"]):
            self.refuse("bench", *SMALL, *flags, says=["another run", f"process {process.pid}"])
        self.end(process, 0)
        self.assertEqual(len(self.validated((self.folder / "r.json").read_text())["results"]), CASES)
        self.assertEqual(self.ours(), [])

    def test_the_second_that_writes_the_same_file_of_another_kind_is_refused(self):
        process = self.start("check", "--junit", "c.xml", "--md", "c.md")
        self.wait_for(lambda: len(self.ours()) >= 2)
        for second in (["forward", *SMALL, "--output", "c.xml"], ["forward", *SMALL, "--save_inputs", "c.md"],
                       ["forward", *SMALL, "--trace", "c.xml"], ["check", *SMALL, "--junit", "c.xml"],
                       ["info", "--json", "c.xml"]):
            self.refuse(*second, says=["another run", f"process {process.pid}"])
        process.kill()
        process.communicate()
        self.expect(0, "forward", *SMALL, "--output", "c.xml")  # a lock ends with its process

    def test_the_second_that_resumes_the_same_report_is_refused(self):
        first = self.start("bench", *SWEEP, "--json", "r.json")
        self.wait_for((self.folder / "r.json.partial").exists)
        first.kill()
        first.communicate()
        process = self.start("bench", *SWEEP, "--resume", "r.json")
        self.wait_for(lambda: self.holds_lock(process))
        self.refuse("bench", *SWEEP, "--resume", "r.json", says="another run")
        self.end(process, 0)
        self.assertEqual(len(self.validated((self.folder / "r.json").read_text())["results"]), CASES)

    def holds_lock(self, process):
        return any((self.folder / name).read_text() == str(process.pid) for name in self.ours() if name.endswith(".lock"))


if __name__ == "__main__":
    unittest.main()
