"""Threads that cannot be had: numbers that are none, limits of the user, stacks that do not fit."""

import os
import resource
import shutil
import stat
import unittest

import harness
from harness import FAST, PROGRAM, TINY
import threads_test
from threads_test import CPUS, SHORT

NOBODY = 65534


class BadNumbers(threads_test.ThreadsTest):
    def test_more_threads_than_there_can_be(self):
        for value in ("100000", "4097", "4294967297", "2,100000"):
            for command in (["bench", *SHORT], ["forward", *TINY], ["check", *TINY], ["check"], ["info"]):
                self.refuse(*command, says=["OMP_NUM_THREADS", "from 1 to 4096", value],
                            env={"OMP_NUM_THREADS": value})

    def test_what_is_no_number(self):
        for value in ("abc", "0", "-1", "1.5", "2,", "2x", "99999999999999999999"):
            self.refuse_line(2, "bench", *SHORT, says=["OMP_NUM_THREADS", f"'{value}'"],
                             env={"OMP_NUM_THREADS": value})
        self.assertEqual(self.teams("--threads", 1, env={"OMP_NUM_THREADS": "abc"})[0], 1, "a flag wins")

    def test_processors_that_are_not_there(self):
        missing = os.cpu_count() + 5
        self.refuse("bench", *SHORT, "--threads", 2, code=3, says=[f"processor {missing}", "--threads 1"],
                    env={"GOMP_CPU_AFFINITY": f"{CPUS[0]},{missing}"})

    def test_stacks_that_cannot_be_had(self):
        env = {"OMP_STACKSIZE": "200000G"}  # more than the address space
        for command in (["bench", *SHORT], ["forward", *TINY], ["check", *TINY]):
            self.refuse(*command, "--threads", 2, code=3, says=["1 of 2 threads", "--threads 1"], env=env)
        self.expect(0, "forward", *TINY, "--threads", 1, env=env)
        done = self.expect(0, "bench", *SHORT, "--threads", "1,2", env=env)
        self.assertIn("skipped: the system starts 1 of 2 threads", done.stdout)
        done = self.expect(0, "info", "--threads", 2, env=env)
        self.assertIn("no peaks of CPU: the system starts 1 of 2 threads", done.stderr)
        self.assertIn("ISA levels", done.stdout)


class OneThread(threads_test.ThreadsTest):
    """As an ordinary user whose processes and threads are at their limit (ulimit -u)."""

    def limited(self):
        """Keyword arguments for a run that cannot start anything."""
        def limit():
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

        if os.geteuid() != 0:
            return {"preexec_fn": limit}
        return {"preexec_fn": limit, "user": NOBODY, "group": NOBODY, "extra_groups": []}

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o777)
        if os.geteuid() == 0:  # another user may not read where the program was built
            self.program = self.folder / "flashbench"
            shutil.copy(PROGRAM, self.program)
            self.program.chmod(self.program.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)
        else:
            self.program = PROGRAM
        try:
            self.run_limited("--version")
        except PermissionError:
            self.skipTest("cannot become an ordinary user here")

    def run_limited(self, *args, **env):
        before, harness.PROGRAM = harness.PROGRAM, str(self.program)
        try:
            return self.run_program(*args, env=env, **self.limited())
        finally:
            harness.PROGRAM = before

    def ok(self, *args, **env):
        done = self.run_limited(*args, **env)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout}{done.stderr}")
        return done

    def test_the_limit_holds(self):
        # Else the other tests would prove nothing.
        if len(CPUS) < 2:
            self.skipTest("needs two processors")
        for command in (["bench", *SHORT], ["forward", *TINY], ["check"]):
            done = self.run_limited(*command, OMP_NUM_THREADS="2")
            if command == ["check"]:  # has cases of one thread
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("the system starts 1 of 2 threads", done.stdout)
                continue
            self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
            self.assertRegex(done.stderr, r"\Aflashbench: the system starts 1 of 2 threads: .*--threads 1\n\Z")

    def test_no_command_starts_a_thread(self):
        one = ["--threads", "1"]
        size = ["--h", "2", "--q_len", "600", "--d", "64", *one]  # large enough for the oracle to share out
        for kind in ("flash", "normal", "paper"):
            self.ok("forward", *size, "--type", kind, "--mask", "random")
            self.ok("backward", *size, "--type", kind, "--trace", "t.json", "--profile")
        self.ok("bench", *FAST, *size, "--pass", "both", "--cache", "cold", "--verify", "full")
        self.ok("bench", *FAST, *one, "--h", "8", "--q_len", "1", "--kv_len", "3000", "--d", "64", "--verify", "sample")
        self.ok("check", *size, "--pass", "both", "--dtype", "f32,bf16")
        self.ok("info", *one)

    def test_the_variable_is_as_good_as_the_flag(self):
        self.ok("bench", *SHORT, OMP_NUM_THREADS="1")
        self.ok("backward", *TINY, OMP_THREAD_LIMIT="1")

    def test_what_needs_a_process_is_null_with_its_reason(self):
        done = self.ok("bench", *SHORT, "--threads", "1", "--calibrate", "--json", "-")
        (result,) = self.validated(done.stdout)["results"]
        self.assertIsNone(result.get("calibration"))
        self.assertIn("no calibration: cannot start a process", str(result["warnings"]))
        done = self.run_limited("compare", "--run", self.program, self.program, "--", *SHORT, "--threads", "1")
        self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
        self.assertRegex(done.stderr, r"(?m)^flashbench: cannot start a process: ")


if __name__ == "__main__":
    unittest.main()
