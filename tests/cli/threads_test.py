"""The number of threads: what the team was granted, under the settings that people have in their environment."""

import contextlib
import os
import pathlib
import unittest

from harness import FAST, PROGRAM, TINY, CliTest

CPUS = sorted(os.sched_getaffinity(0))
SHORT = [*TINY, *FAST, "--type", "flash"]


def threads(count):
    return f"{count} thread{'s' * (count != 1)}"


class ThreadsTest(CliTest):
    def teams(self, *flags, env=None, **kwargs):
        """The number of threads that header, results and peaks of one run all say; and its report."""
        done = self.expect(0, "bench", *SHORT, *flags, "--json", "-", env=env, **kwargs)
        report = self.validated(done.stdout)
        (count,) = {r["threads"] for r in report["results"]}
        self.assertEqual({p["threads"] for p in report["peaks"]}, {count}, env)
        self.assertIn(f", {threads(count)}\n", done.stderr, env)
        self.assertRegex(done.stderr, rf"(?m)^[^\n]*\b{min(count, report['context']['cpu']['threads'])} of \d+ threads, ")
        return count, report

    def refuse_line(self, code, *args, says, env=None, **kwargs):
        """As refuse(), but what libgomp itself says about a value, before main() begins, is not ours."""
        done = self.expect(code, *args, env=env, **kwargs)
        self.assertEqual(done.stdout, "")
        lines = [s for s in done.stderr.splitlines() if s and not s.startswith("libgomp: Invalid value")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("flashbench: "), lines[0])
        for text in says:
            self.assertIn(text, lines[0])


@unittest.skipIf(len(CPUS) < 2, "needs two processors")
class Settings(ThreadsTest):
    def test_bound_threads_are_all_counted(self):
        # libgomp has bound the main thread before its mask can be read.
        for env in (
            {"OMP_PROC_BIND": "true"},
            {"OMP_PROC_BIND": "close"},
            {"OMP_PROC_BIND": "spread"},
            {"OMP_PROC_BIND": "close,spread"},
            {"OMP_PROC_BIND": "false"},
            {"OMP_PLACES": "threads"},
            {"OMP_PLACES": "cores"},
            {"OMP_PLACES": "cores", "OMP_PROC_BIND": "false"},
            {"GOMP_CPU_AFFINITY": ",".join(map(str, CPUS))},
        ):
            count, report = self.teams(env=env)
            self.assertEqual(count, len(CPUS), env)
            self.assertEqual(report["context"]["cpu"]["usable_threads"], len(CPUS), env)
        _, report = self.teams("--threads", len(CPUS), env={"OMP_PROC_BIND": "true"})
        self.assertNotIn("take turns", str(report["results"]))

    def test_places_that_leave_processors_out_are_fewer_threads(self):
        for env in (
            {"OMP_PLACES": f"{{{CPUS[1]}}}"},
            {"OMP_PLACES": "threads(1)"},
            {"GOMP_CPU_AFFINITY": str(CPUS[0])},
            {"GOMP_CPU_AFFINITY": f"{CPUS[0]},{os.cpu_count() + 5}"},  # one that is not there
        ):
            count, report = self.teams(env=env)
            self.assertEqual(count, 1, env)
            self.assertEqual(report["context"]["cpu"]["usable_threads"], 1, env)
        if len(os.sched_getaffinity(0)) == os.cpu_count():
            for bind in ("master", "primary"):  # all threads stay at the place of the first
                self.assertLess(self.teams(env={"OMP_PROC_BIND": bind, "OMP_PLACES": "threads"})[0], len(CPUS))
        _, report = self.teams("--threads", 2, env={"OMP_PLACES": f"{{{CPUS[1]}}}"})
        self.assertIn("threads take turns: 2 on 1 usable processor", str(report["results"][0]["warnings"]))

    def test_limits_of_openmp_are_counted_and_named(self):
        for env, says in (
            ({"OMP_THREAD_LIMIT": "1"}, "OMP_THREAD_LIMIT is 1"),
            ({"OMP_MAX_ACTIVE_LEVELS": "0"}, "OMP_MAX_ACTIVE_LEVELS is 0"),
        ):
            count, report = self.teams(env=env)
            self.assertEqual(count, 1, env)
            self.assertEqual(report["context"]["cpu"]["usable_threads"], 1, env)
            self.assertEqual(report["context"]["omp"]["max_threads"], 1, env)
            self.assertEqual(report["results"][0]["warnings"].count("threads: "), 0)
            count, report = self.teams("--threads", 2, env=env)
            self.assertEqual(count, 1, env)
            self.assertIn(f"threads: 1 of the 2 asked for: {says}", str(report["results"][0]["warnings"]))
            self.assertIn(", 1 thread", self.expect(0, "forward", *TINY, env=env).stdout)
            self.assertRegex(self.expect(0, "info", env=env).stdout, r"OpenMP .*; teams of 1;")

    def test_a_limit_above_one_is_kept(self):
        self.assertEqual(self.teams("--threads", 5, env={"OMP_THREAD_LIMIT": "3"})[0], 3)

    def test_the_first_of_omp_num_threads_is_the_default(self):
        for value, count in (("1", 1), ("3", 3), ("3,2", 3), (" 1 , 4", 1), ("", len(CPUS))):
            self.assertEqual(self.teams(env={"OMP_NUM_THREADS": value})[0], count, value)
        self.assertEqual(self.teams("--threads", 2, env={"OMP_NUM_THREADS": "1"})[0], 2, "a flag wins")

    def test_dynamic_teams_do_not_change_from_call_to_call(self):
        # libgomp takes threads away as the load of the last quarter of an hour says.
        self.assertEqual(self.teams(env={"OMP_DYNAMIC": "true"})[0], len(CPUS))
        self.assertEqual(self.teams("--threads", 3, env={"OMP_DYNAMIC": "true"})[0], 3)
        info = self.expect(0, "info", "--threads", 1, env={"OMP_DYNAMIC": "true"}).stdout
        self.assertRegex(info, r"OpenMP .*; teams of 1; .* dynamic off")

    def test_taskset(self):
        bind = {"preexec_fn": lambda: os.sched_setaffinity(0, {CPUS[1]})}
        self.assertEqual(self.teams(**bind)[0], 1)
        for name in ("OMP_PROC_BIND", "OMP_DYNAMIC"):
            self.assertEqual(self.teams(env={name: "true"}, **bind)[0], 1)

    def test_a_child_may_use_every_processor(self):
        # It inherits the mask of a main thread that OpenMP has bound.
        program = self.folder / "wrapped"
        program.write_text('#!/bin/sh\ngrep Cpus_allowed: /proc/self/status >> "$(dirname "$0")/masks"\n'
                           f'exec {PROGRAM} "$@"\n')
        program.chmod(0o755)
        self.run_program("compare", "--run", program, program, "--timeout", "1ms", "--", *SHORT,
                         env={"OMP_PROC_BIND": "true"})
        masks = (self.folder / "masks").read_text().split("\n")[:-1]
        self.assertGreater(len(masks), 1)
        for mask in masks:
            self.assertEqual(bin(int(mask.split()[1].replace(",", ""), 16)).count("1"), len(CPUS), mask)

    def test_a_quota_of_one_processor(self):
        with cpu_quota(self, 100_000, 100_000) as join:
            self.assertEqual(self.teams(preexec_fn=join)[0], 1)
            self.assertEqual(self.teams(env={"OMP_PROC_BIND": "true"}, preexec_fn=join)[0], 1)
            _, report = self.teams("--threads", 2, preexec_fn=join)
            self.assertIn("threads take turns: 2 on 1 usable processor", str(report["results"][0]["warnings"]))


@contextlib.contextmanager
def cpu_quota(test, quota_us, period_us):
    """A control group (v1 or v2) with a quota; yields what a process calls to join it."""
    group = None
    for root in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        path = pathlib.Path(root, f"flashbench_test_{os.getpid()}")
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / "cpu.cfs_quota_us").exists():
                (path / "cpu.cfs_period_us").write_text(str(period_us))
                (path / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (path / "cpu.max").write_text(f"{quota_us} {period_us}")
            group = path
            break
        except OSError:
            path.rmdir()
    if group is None:
        test.skipTest("no control group can be made here")
    try:
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        group.rmdir()


if __name__ == "__main__":
    unittest.main()
