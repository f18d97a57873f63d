"""Memory is predicted before it is taken, and what does not fit is not tried."""

import json
import os
import re
import resource
import subprocess
import sys
import time

from fault_harness import PROGRAM, Trials, main

SIZE = ["--b", "64", "--h", "8", "--q_len", "128", "--d", "64"]
SIXTEEN_BITS = ["--b", "128", "--h", "8", "--q_len", "128", "--d", "64"]
EIGHT_BITS = ["--b", "256", "--h", "8", "--q_len", "128", "--d", "64"]
# name -> flags, types, passes
VARIANTS = {
    "f32": (SIZE, "flash normal paper", "forward backward"),
    "f32, two threads": ([*SIZE, "--threads", "2"], "flash normal paper", "forward backward"),
    "bf16": ([*SIXTEEN_BITS, "--dtype", "bf16"], "flash normal", "forward backward"),
    "f16": ([*SIXTEEN_BITS, "--dtype", "f16"], "flash normal", "forward backward"),
    "causal, window, softcap, sinks": (
        [*SIZE, "--causal", "--window_left", "40", "--softcap", "30", "--sinks", "random"],
        "flash normal paper", "forward backward"),
    "ALiBi, mask": ([*SIZE, "--alibi", "standard", "--mask", "random"], "flash normal paper", "forward backward"),
    "d_v": ([*SIZE, "--d_v", "128"], "flash normal paper", "forward backward"),
    "bias of every head and element": ([*SIZE, "--bias", "random", "--bias_shape", "bxh"], "flash normal paper",
                                       "forward backward"),
    "bias and its gradient": ([*SIZE, "--bias", "random", "--bias_shape", "bxh", "--bias_grad"], "flash normal paper",
                              "backward"),
    "groups": ([*SIZE, "--h_kv", "2"], "flash normal paper", "forward backward"),
    "ragged": (["--ragged", "30q128_20q1s200_34q100", "--h", "8", "--d", "64"], "flash normal paper", "forward backward"),
    "pages": ([*SIZE, "--page_size", "16"], "flash normal", "forward"),
    "pages, bf16": ([*SIXTEEN_BITS, "--page_size", "16", "--dtype", "bf16"], "flash normal", "forward"),
    "K and V in e4m3": ([*EIGHT_BITS, "--kv_dtype", "e4m3", "--dtype", "bf16"], "flash normal", "forward"),
    "K and V in e5m2, pages": ([*EIGHT_BITS, "--kv_dtype", "e5m2", "--page_size", "16"], "flash normal", "forward"),
    "V in K": (["--b", "64", "--h", "16", "--h_kv", "1", "--q_len", "16", "--kv_len", "400", "--d", "576", "--d_v", "512",
                "--v_in_k"], "flash normal", "forward"),
    "decode": (["--b", "4", "--h", "8", "--q_len", "1", "--kv_len", "4k", "--d", "64"], "flash normal", "forward"),
    "deterministic, two threads": ([*SIZE, "--deterministic", "--threads", "2"], "flash", "backward"),
    "many short heads": (["--b", "32k", "--h", "8", "--q_len", "8", "--d", "8"], "flash", "forward backward"),
    "one long head": (["--b", "1", "--h", "1", "--q_len", "3k", "--d", "512"], "flash normal", "forward backward"),
}
ROWS = [(name, flags, kind, which)
        for name, (flags, kinds, passes) in VARIANTS.items() for kind in kinds.split() for which in passes.split()]
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
# A small process between this one and the program: what a program was before exec() counts in what it took.
WATCH = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(used.ru_maxrss * 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def words(flags, kind, which):
    """A command line, of one thread where a variant has no other number."""
    return [which, *([] if "--threads" in flags else ["--threads", "1"]), *flags, "--type", kind, "--verify", "none"]


def bytes_of(text):
    amount, unit = text.split()
    return float(amount) * UNITS[unit]


class Memory(Trials):
    def predicted(self, kind, *flags):
        """Bytes, as a dry run says."""
        planned = self.expect(0, *flags, "--dry_run").stdout
        row = re.search(r"(?m)^%s .* (\d\S* [kMG]?B)  +(\S+ \S+|-)$" % kind, planned)
        self.assertTrue(row, planned)
        return bytes_of(row[1])


class Predicted(Memory):
    def taken(self, *args):
        """Stdout, and the most that was resident."""
        done = subprocess.run([sys.executable, "-I", "-S", "-c", WATCH, PROGRAM, *args], capture_output=True, text=True,
                              timeout=300, env=self.environment(), cwd=self.folder)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout, int(done.stderr.split()[-1])

    def row(self, name, flags, kind, which):
        flags = words(flags, kind, which)
        self.begin_trial()
        _, alone = self.taken("forward", "--b", "1", "--h", "1", "--q_len", "16", "--d", "16", "--verify", "none", "--threads",
                              flags[flags.index("--threads") + 1])
        out, taken = self.taken(*flags)
        tensors, workspace = re.search(r"memory +(\S+ \S+) of tensors, (\S+ \S+) of workspace", out).groups()
        predicted = self.predicted(kind, *flags)
        self.assertAlmostEqual(predicted, bytes_of(tensors) + bytes_of(workspace), delta=0.02 * predicted)
        ratio = (taken - alone) / predicted
        self.count(f"memory of {kind}, measured / predicted", f"{ratio:.2f}")
        if os.environ.get("FLASHBENCH_FAULT_TELL"):
            print(f"{ratio:.3f}  {name}, {kind}, {which}: predicted {predicted / 1e6:.1f} MB", flush=True)
        self.assertGreater(predicted, 15e6, "too small to tell")
        self.assertAlmostEqual(ratio, 1, delta=0.1, msg=f"{name}, {kind}, {which}: {taken - alone} of {predicted}")

    def test_what_was_predicted_is_taken(self):
        for row in self.some(ROWS):
            with self.subTest(row=row[0], kind=row[2], which=row[3]):
                self.row(*row)

    def test_bench_says_what_a_case_takes(self):
        self.begin_trial()
        for which in ("forward", "backward"):
            self.expect(0, "bench", *SIZE, "--pass", which, "--threads", "1", "--min_time", "1ms", "--min_samples", "1",
                        "--timeout", "50ms", "--verify", "sample", "--json", "r.json")
            for result in self.whole_json(self.folder / "r.json")["results"]:
                flags = ["--type", result["type"], "--pass", which, "--threads", "1"]
                predicted = self.predicted(result["type"], "bench", *SIZE, *flags)
                self.assertAlmostEqual(result["peak_rss_bytes"] / predicted, 1, delta=0.1, msg=result["command"])


class TooMuch(Memory):
    def refused(self, done, took):
        self.assertLess(took, 20, "it was tried")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(self.one_line(done.stderr), r"needs \d\S* [MGT]B, \d\S* [kMGT]?B available|does not fit")
        self.count("more memory than there is", "exit 3")

    def test_what_no_machine_has_is_not_tried(self):
        self.begin_trial()
        for flags in (["--q_len", "1m", "--type", "normal"], ["--b", "1m", "--q_len", "64k", "--type", "flash"],
                      ["--q_len", "1m", "--bias", "random"], ["--ragged", "30000q64k"],
                      ["--b", "64k", "--q_len", "1", "--kv_len", "4k", "--page_size", "16"]):
            before = time.monotonic()
            self.refused(self.run_program("forward", *flags, "--d", "64", "--threads", "1"), time.monotonic() - before)

    def test_the_rest_of_a_sweep_is_measured(self):
        self.begin_trial()
        self.expect(0, "bench", "--b", "1", "--h", "1", "--q_len", "16,1m", "--d", "16", "--type", "normal", "--threads", "1",
                    "--min_time", "1ms", "--min_samples", "3", "--timeout", "50ms", "--json", "r.json")
        done, left = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual((done["status"], left["status"], left["refusal"]), ("ok", "skipped", "memory"))
        self.assertRegex(left["reason"], r"needs \d\S* TB, \d")

    def near(self):
        """With address space for a bit more, or less, than is needed: it runs, or it is skipped; it never fails."""
        name, flags, kind, which = self.random.choice(ROWS)
        flags = words(flags, kind, which)
        predicted = self.predicted(kind, *flags)
        limit = int(predicted * self.random.uniform(0.6, 1.6)) + (100 << 20)
        done = self.run_program(*flags, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.count("`ulimit -v` near what is needed", f"exit {done.returncode}")
        self.assertIn(done.returncode, (0, 3), f"{name}: {done.stdout}{done.stderr}")
        if done.returncode == 3:
            self.assertRegex(self.one_line(done.stderr), "needs .* available|the system starts")

    def test_a_limit_near_what_is_needed_fails_nothing(self):
        self.each(40, self.near)


if __name__ == "__main__":
    main()
