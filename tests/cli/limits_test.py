"""What the system allows: memory, sizes of files, no /proc, characters of the locale."""

import json
import math
import os
import pathlib
import resource
import subprocess
import unittest

from harness import FAST, PROGRAM, TINY, CliTest

MEMORY_CGROUP = pathlib.Path("/sys/fs/cgroup/memory")  # v1; v2 gives no group of one's own to play with
COMMANDS = (
    ["bench", *TINY, *FAST],
    ["check", "--q_len", "32", "--d", "16"],
    ["forward", *TINY],
    ["backward", *TINY],
    ["bench", *TINY, "--dry_run"],
    ["info"],
)


def enough_for_the_bandwidth_buffer():
    """Bytes, 1.2 GB or more: what bandwidth is read from, twice the last caches, is to be below a quarter."""
    info = subprocess.run([PROGRAM, "info", "--json", "-"], capture_output=True, text=True, check=True).stdout
    cpu = json.loads(info)["context"]["cpu"]
    last = max((c["bytes"] * cpu["threads"] // c["shared_by"] for c in cpu["caches"]), default=0)
    return max(1_200_000_000, 5 * min(2 * last, 2 << 30))


# Address space with which the program starts, and has hardly any left: its file is mapped, images of kernels and all.
BARELY = (os.path.getsize(PROGRAM) >> 20) + 15


def limited(what, amount):
    """For subprocess: the process starts with this limit."""
    return lambda: resource.setrlimit(what, (amount, amount))


class Memory(CliTest):
    def test_every_command_works_or_says_in_one_line_why_not(self):
        worked = set()
        for megabytes in (BARELY, 400, 1200):
            for command in COMMANDS:
                done = self.run_program(
                    *command, preexec_fn=limited(resource.RLIMIT_AS, megabytes << 20))
                said = f"{megabytes} MB: {command}: {done.stdout}{done.stderr}"
                self.assertIn(done.returncode, (0, 3), said)
                if done.returncode == 0:
                    worked.add((megabytes, command[0]))
                else:
                    self.assertRegex(done.stdout + done.stderr,  # a thread's stack, too, takes memory
                                     "needs .* available|memory|the system starts 1 of", said)
                self.assertLessEqual(done.stderr.count("too little memory"), 1, said)
        self.assertEqual({command for megabytes, command in worked if megabytes == 1200},
                         {command[0] for command in COMMANDS})

    def test_info_names_what_it_cannot_measure_and_why_in_one_line(self):
        done = self.expect(0, "info", "--threads", "1",
                           preexec_fn=limited(resource.RLIMIT_AS, BARELY << 20))
        (line,) = done.stderr.splitlines()
        self.assertRegex(line, "peaks are missing for scalar.*too little memory for the buffer that bandwidth "
                               "is read from: it takes .* MB, more than a quarter of the .* MB available")
        self.assertIn("scalar", done.stdout.split("Peaks, measured now")[1], "arithmetic takes no memory")

    def test_limits_of_data_count_as_well(self):
        limit = limited(resource.RLIMIT_DATA, 300 << 20)
        done = self.refuse("forward", "--h", "1", "--q_len", "8k", "--d", "16", "--type", "normal", code=3,
                           says="available", preexec_fn=limit)
        self.assertRegex(done, r"needs 2\d\d MB, \d+(\.\d+)? MB available")

    def in_cgroup(self, limit_bytes):
        """A preexec_fn that puts the process into a control group with this limit."""
        group = MEMORY_CGROUP / f"flashbench_test_{os.getpid()}"
        try:
            group.mkdir()
            self.addCleanup(group.rmdir)
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        except OSError as error:
            self.skipTest(f"no memory control group of one's own: {error}")
        return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))

    # The buffer that bandwidth is read from was 1.25 GiB, whatever was allowed: killed without a word.
    def test_under_a_limit_of_a_gigabyte_nothing_is_killed(self):
        limit = enough_for_the_bandwidth_buffer()
        enter = self.in_cgroup(limit)
        info = json.loads(self.expect(0, "info", "--json", "-", preexec_fn=enter).stdout)
        self.assertTrue(any(peak["read_gb_s"] for peak in info["peaks"]))
        self.assertLess(info["context"]["memory_available_bytes"], limit)
        report = self.bench_json(*TINY, preexec_fn=enter)
        for result in report["results"]:
            self.expect_share_in_this_memory(result)
        self.expect(0, "bench", "--dry_run", preexec_fn=enter)

    # Two thirds of the memory: refused while the buffer was counted as taken.
    def test_no_case_is_refused_for_what_a_probe_takes(self):
        limit = enough_for_the_bandwidth_buffer()
        enter = self.in_cgroup(limit)
        q_len = math.isqrt(limit // 6)  # scores, in f32, of q_len * q_len pairs
        report = self.bench_json("--h", "1", "--q_len", q_len, "--d", "16", "--type", "normal", "--verify",
                                 "sample", "--threads", "2", preexec_fn=enter)
        (result,) = report["results"]
        self.assertEqual((result["status"], result["check"]["verdict"]), ("ok", "pass"), result["reason"])
        self.assertGreater(result["workspace_bytes"], 0.6 * limit)
        self.expect_share_in_this_memory(result)

    def expect_share_in_this_memory(self, result):
        self.expect_share_of_peak(result)
        self.assertNotIn("too little memory", " ".join(result["warnings"]))


class FileSizes(CliTest):
    # The default action of SIGXFSZ ended the program without a word, and left its temporary file.
    def test_a_file_beyond_the_limit_is_one_line_and_leaves_nothing(self):
        limit = limited(resource.RLIMIT_FSIZE, 1000)
        old = self.folder / "old.json"
        old.write_text("precious")
        for command in (
            ["forward", *TINY, "--json", "old.json"],
            ["bench", *TINY, *FAST, "--quiet", "--json", "old.json"],
            ["check", "--q_len", "32", "--d", "16", "--quiet", "--json", "old.json"],
            ["info", "--json", "old.json"],
        ):
            done = self.run_program(*command, preexec_fn=limit)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn("File too large", done.stderr.splitlines()[-1], command)
            self.assertTrue(done.stderr.splitlines()[-1].startswith("flashbench: "), done.stderr)
            self.assertEqual(old.read_text(), "precious")
            self.assertEqual([p.name for p in self.folder.iterdir()], ["old.json"], command)
        done = self.expect(1, "forward", *TINY, "--output", "o.safetensors", preexec_fn=limit)
        self.assertRegex(done.stderr, "^flashbench: .*File too large\n$")
        self.assertIn("verdict   pass", done.stdout, "what was computed is shown all the same")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["old.json"])

    def test_so_is_a_stdout_beyond_it(self):
        limit = limited(resource.RLIMIT_FSIZE, 100)
        for command, code in ((["--help"], 2), (["forward", *TINY, "--json", "-"], 1)):
            with open(self.folder / "out", "w") as out:
                done = self.run_program(*command, stdout=out, preexec_fn=limit)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn("stdout", done.stderr.splitlines()[-1])
            self.assertIn("File too large", done.stderr.splitlines()[-1])


class PeakMemory(CliTest):
    def memory(self, lengths):
        """(type, q_len) -> (at its peak, of which tensors and workspace are known)."""
        results = self.bench_json("--h", "2", "--d", "64", "--q_len", lengths, "--threads", "1")["results"]
        return {(r["type"], r["workload"]["q_len"]): (r["peak_rss_bytes"], r["bytes"] + r["workspace_bytes"])
                for r in results}

    def test_it_is_that_of_the_case_wherever_it_stands_in_the_sweep(self):
        # What cases before it had freed was there already, and the first paid for the program's code.
        up, down = self.memory("128,256,1024"), self.memory("1024,256,128")
        if None in [peak for peak, _ in up.values()]:
            self.skipTest("/proc/self/clear_refs is not writable here")
        for case, (peak, known) in up.items():
            self.assertAlmostEqual(peak, down[case][0], delta=400e3, msg=f"{case}: {up} {down}")
            self.assertGreater(peak, known - 400e3, case)


class WithoutProc(CliTest):
    def test_what_nobody_says_is_no_number(self):
        hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
        if subprocess.run([*hide, "true"], capture_output=True).returncode != 0:
            self.skipTest("no mount namespace of one's own")
        done = self.run_wrapped(hide, "info", "--json", "info.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if "  " in line)
        self.assertEqual(lines["memory"], "the system does not say")
        self.assertEqual(lines["cgroup"], "the system does not say")
        self.assertNotIn(" 0 B", done.stdout)
        context = json.loads((self.folder / "info.json").read_text())["context"]
        self.assertIsNone(context["memory_bytes"])
        self.assertIsNone(context["memory_available_bytes"])
        done = self.run_wrapped(hide, "bench", *TINY, *FAST, "--json", "r.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        for result in self.validated((self.folder / "r.json").read_text())["results"]:
            self.assertIsNone(result["peak_rss_bytes"])
            self.assertGreater(result["median"], 0)

    def run_wrapped(self, wrapper, *args):
        return subprocess.run([*wrapper, PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=120,
                              cwd=self.folder, env=self.environment())


class Locale(CliTest):
    def run_in(self, locale, *args):
        env = {"LC_ALL": "", "LC_CTYPE": "", "LANG": locale}
        return self.run_program(*args, env=env)

    def test_without_utf8_people_read_ascii(self):
        self.expect(0, "bench", *TINY, *FAST, "--json", "a.json")
        for command in (*COMMANDS, ["compare", "a.json", "a.json"], ["bench", *TINY, *FAST, "--profile"],
                        ["bench", *TINY, *FAST, "--json", "b.json", "--md", "b.md"], ["--help"],
                        *([command, "--help"] for command in ("bench", "check", "compare", "forward"))):
            done = self.run_in("en_US.ISO-8859-1" if command == ["info"] else "C", *command)
            self.assertTrue((done.stdout + done.stderr).isascii(), f"{command}: {done.stdout}{done.stderr}")
        self.assertIn("±", (self.folder / "b.md").read_text(encoding="utf-8"), "files are UTF-8")
        self.validated((self.folder / "b.json").read_text(encoding="utf-8"))

    def test_the_table_is_as_wide_in_ascii(self):
        for locale, sign in (("C", r"\+-\d"), ("C.UTF-8", "± ")):
            lines = self.run_in(locale, "bench", *TINY, *FAST).stdout.splitlines()
            (header,) = [line for line in lines if line.startswith("type")]
            row = next(line for line in lines if line.startswith("flash "))
            self.assertRegex(row, sign)
            end = header.index("FLOP/s") + len("FLOP/s")
            self.assertRegex(row[:end], r"\d[-–]\d.* \d+(\.\d+)?$", f"{header}\n{row}")
            self.assertRegex(row[end:], r"^  ", f"{header}\n{row}")

    def test_markdown_on_stdout_is_a_file(self):
        self.assertIn("±", self.run_in("C", "bench", *TINY, *FAST, "--md", "-").stdout)


if __name__ == "__main__":
    unittest.main()
