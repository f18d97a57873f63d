"""Less memory, files, threads and processors than are asked for: less is done, and it says so."""

import contextlib
import json
import os
import pathlib
import resource
import time

from fault_harness import CASES, ONE, PROGRAM, SWEEP, Trials, ending, main

SMALL = ["--b", "1", "--h", "2", "--q_len", "200", "--d", "32", "--threads", "2"]
QUICK = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "100ms"]
COMMANDS = (
    ["forward", *SMALL, "--output", "o.safetensors", "--json", "r.json"],
    ["backward", *SMALL, "--json", "r.json"],
    ["check", *SMALL, "--json", "r.json", "--junit", "c.xml"],
    ["bench", *SMALL, *QUICK, "--json", "r.json", "--csv", "r.csv"],
)
CALIBRATED = ["bench", *SMALL, *QUICK, "--calibrate", "--json", "r.json"]  # in fresh processes, which takes seconds
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def text_of(path):
    return path.read_text() if path.exists() else ""


class Limits(Trials):
    def limited(self, fault, command, **kwargs):
        done = self.run_program(*command, timeout=120, **kwargs)
        said = f"{fault}, {' '.join(command)}: {ending(done)}\n{done.stdout}\n{done.stderr}"
        self.count(fault, ending(done))
        self.assertIn(done.returncode, (0, 1, 2, 3), said)
        if done.returncode in (1, 2):
            self.one_line(done.stderr)
        self.assertEqual(self.ours(), [], said)
        if (self.folder / "r.json").exists():
            self.whole_json(self.folder / "r.json")
        else:
            self.assertNotEqual(done.returncode, 0, said)
        return done, said

    def rlimit(self, name, fault, low, high, codes, commands=COMMANDS):
        amount = self.random.randrange(low, high)
        done, said = self.limited(
            fault, self.random.choice(commands),
            preexec_fn=lambda: resource.setrlimit(getattr(resource, name), (amount, amount)))
        self.assertIn(done.returncode, codes, f"{amount}: {said}")

    def test_little_address_space(self):
        # Below that the loader itself, which is not ours, has no room for the libraries.
        low = os.path.getsize(PROGRAM) + (15 << 20)
        self.each(60, self.rlimit, "RLIMIT_AS", "`ulimit -v`", low, 600 << 20, (0, 3))

    def test_little_data(self):
        self.each(30, self.rlimit, "RLIMIT_DATA", "`ulimit -d`", 8 << 20, 300 << 20, (0, 3))

    def test_files_that_may_not_grow(self):
        self.each(30, self.rlimit, "RLIMIT_FSIZE", "`ulimit -f`", 0, 60000, (0, 1))

    def test_few_descriptors(self):
        # 3 are stdin, stdout and stderr; libraries are loaded one after the other.
        self.each(40, self.rlimit, "RLIMIT_NOFILE", "`ulimit -n`", 4, 12, (0, 1, 2, 3),
                  [*COMMANDS, CALIBRATED])

    def few_processes(self):
        amount = self.random.randrange(1, 4)
        command = self.random.choice([*COMMANDS, CALIBRATED])
        done, said = self.limited(
            "`ulimit -u`", command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (amount, amount)),
            **self.as_nobody)
        self.assertIn(done.returncode, (0, 3), said)

    def begin_trial(self):
        super().begin_trial()
        self.folder.chmod(0o777)

    def test_few_processes(self):
        self.as_nobody = self.nobody()
        if "program" in self.as_nobody:
            self.as_nobody["executable"] = str(self.as_nobody.pop("program"))
            self.root.chmod(0o755)
        self.each(20, self.few_processes)


class Groups(Trials):
    @contextlib.contextmanager
    def group(self, controller, settings):
        """A control group of one's own, and a preexec_fn that enters it; settings: file of v1, of v2, value."""
        two = controller in text_of(CGROUPS / "cgroup.controllers").split()
        folder = (CGROUPS if two else CGROUPS / controller) / f"flashbench-fault-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError as error:
            self.skipTest(f"no control group of one's own: {error}")
        try:
            for v1, v2, value in settings:
                if v2 if two else v1:
                    (folder / (v2 if two else v1)).write_text(value)
            yield folder, lambda: (folder / "cgroup.procs").write_text(str(os.getpid()))
        except FileNotFoundError as error:  # v2 hands no controller on to it
            self.skipTest(f"no control group of one's own: {error}")
        finally:
            self.wait_for(lambda: not text_of(folder / "cgroup.procs"), seconds=10)
            folder.rmdir()

    def memory(self, megabytes):
        command, kind = self.random.choice(("forward", "backward", "bench")), self.random.choice(("flash", "normal"))
        needs = self.random.uniform(0.2, 1.5) * megabytes * 1e6
        # What normal takes is scores, what flash takes four tensors.
        length = int((needs / 4) ** 0.5) if kind == "normal" else int(needs / 4 / 4 / 64)
        keys = [] if kind == "normal" else ["--kv_len", "256"]
        flags = ["--b", "1", "--h", "1", "--q_len", length, *keys, "--d", "64", "--threads", "1", "--type", kind]
        flags += ["--verify", "sample", "--json", "r.json", *(QUICK if command == "bench" else [])]
        with self.group("memory", [("memory.limit_in_bytes", "memory.max", str(megabytes << 20))]) as (_, enter):
            done = self.run_program(command, *flags, preexec_fn=enter, timeout=200)
        self.count("cgroup with little memory", ending(done))
        self.assertIn(done.returncode, (0, 3), f"{megabytes} MB: {command} {flags}: {done.stdout}{done.stderr}")
        if done.returncode == 3:
            self.assertRegex(done.stdout + done.stderr, "needs .* available")

    def test_little_memory(self):
        for _ in self.some(range(20)):
            megabytes = self.random.choice((128, 200, 300))
            with self.subTest(megabytes=megabytes):
                self.begin_trial()
                self.memory(megabytes)

    def quota(self, percent):
        quota = percent * 1000
        settings = [("cpu.cfs_period_us", "", "100000"), ("cpu.cfs_quota_us", "cpu.max", str(quota))]
        before = time.monotonic()
        with self.group("cpu", settings) as (_, enter):
            done = self.expect(0, "bench", "--b", "1", "--h", "2", "--q_len", "64,128", "--d", "32", *QUICK, "--json",
                               "r.json", preexec_fn=enter, timeout=200)
        self.count("cgroup with a quota of processors", ending(done))
        self.assertLess(time.monotonic() - before, 60)
        for result in self.whole_json(self.folder / "r.json")["results"]:
            self.assertLessEqual(result["threads"], max(1, -(-percent // 100)))

    def test_a_quota_is_no_more_threads(self):
        for percent in (20, 50, 150):
            with self.subTest(percent=percent):
                self.begin_trial()
                self.quota(percent)

    def test_a_quota_that_falls_meanwhile(self):
        self.begin_trial()
        with self.group("cpu", [("cpu.cfs_period_us", "", "100000")]) as (folder, enter):
            process = self.start("bench", *SWEEP, "--json", "r.json", preexec_fn=enter)
            time.sleep(0.4)
            quota = folder / "cpu.max"
            (quota if quota.exists() else folder / "cpu.cfs_quota_us").write_text("10000")
            self.end(process, 0, seconds=120)
        self.count("quota that falls meanwhile", ending(process))
        self.assertEqual(len(self.whole_json(self.folder / "r.json")["results"]), CASES)


class Affinity(Trials):
    def shrinks(self):
        cpus = sorted(os.sched_getaffinity(0))
        process = self.start(
            "bench", "--b", "1", "--h", "2", "--d", "32", "--q_len", "64,128,192", "--threads", "2", "--min_time", "100ms",
            "--min_samples", "3", "--timeout", "300ms", "--json", "r.json")
        time.sleep(self.random.uniform(0.02, 2))
        left = {self.random.choice(cpus)}
        for thread in pathlib.Path(f"/proc/{process.pid}/task").glob("*"):
            try:
                os.sched_setaffinity(int(thread.name), left)
            except ProcessLookupError:
                pass
        before = time.monotonic()
        out, err = self.end(process, 0, seconds=120)
        self.count("affinity that shrinks meanwhile", ending(process))
        self.assertLess(time.monotonic() - before, 60)
        for result in self.whole_json(self.folder / "r.json")["results"]:
            self.assertEqual(result["status"], "ok", result["reason"])
            self.assertTrue(all(0 < s < 60 for s in result["times"]))

    def test_processors_that_go(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one processor")
        self.each(20, self.shrinks)


class Instances(Trials):
    def several(self):
        """Some at once on one report, one of them perhaps killed: one reader's view is always whole."""
        first = self.random.choice((["--json", "r.json"], ["--json", "r.json", "--csv", "r.csv"]))
        processes = []
        for number in range(3):
            words = first if number == 0 else self.random.choice((first, ["--csv", "r.json"], ["--json", "./r.json"]))
            processes.append(self.start("bench", *SWEEP, *words))
            time.sleep(self.random.choice((0, 0, 0.01, 0.1, 0.5)))
        killed = None
        if self.random.random() < 0.3:
            time.sleep(self.random.uniform(0, 1))
            killed = self.random.choice(processes)
            killed.kill()
        codes = []
        for process in processes:
            out, err = process.communicate(timeout=120)
            codes.append(ending(process))
            if process.returncode == 2:
                self.assertRegex(self.one_line(err), "another run")
        self.count("three runs on one report", ", ".join(sorted(codes)))
        self.assertLessEqual(set(codes), {"exit 0", "exit 2", *(["SIGKILL"] if killed else [])})
        self.assertTrue(killed or "exit 0" in codes)
        if (self.folder / "r.json").exists():
            text = (self.folder / "r.json").read_text()
            cases = json.loads(text)["results"] if text.startswith("{") else self.whole_csv(self.folder / "r.json")[1:]
            self.assertEqual(len(cases), CASES)
        self.expect(0, "bench", *ONE, "--q_len", "16", *QUICK, "--json", "r.json")
        self.assertEqual(self.ours(), [])

    def test_several_runs_on_one_report(self):
        self.each(20, self.several)


if __name__ == "__main__":
    main()
