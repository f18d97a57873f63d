"""The peers' rules are flashbench's: work, statistics, cases, exit codes. No package needed."""

import json
import math
import subprocess
import time
import types
import unittest
from unittest import mock

from harness import PROGRAM, ScriptTest

import disturbance
import flashbench_program
import library
import peerlib
import sampling

TINY = [
    "--b",
    "2",
    "--h",
    "4",
    "--h_kv",
    "2",
    "--q_len",
    "40",
    "--kv_len",
    "64",
    "--d",
    "16",
    "--causal",
    "--mask",
    "random",
]


class Constant(library.Job):
    """Answers with a stored file; a call takes no time worth naming."""

    kernel = "stored"

    def __init__(self, path):
        self.path = path

    def call(self):
        pass

    def results(self):
        return self.path


class Stored(library.Library):
    """A library whose results lie in files: wrong ones show that flashbench is the judge."""

    name, version, kernels = "pytorch", "0", {}

    def __init__(self, path, also=()):
        self.path = path
        self.computes = [*library.Library.computes, *also]

    def set_up(self, backend, device, threads):
        return None

    def load(self, case, path):
        return path

    def save(self, results, path):
        with open(results, "rb") as source, open(path, "wb") as target:
            target.write(source.read())

    def prepare(self, case, tensors):
        if case["type"] == "paper":
            raise sampling.Unsupported("no kernel of type paper")
        return Constant(self.path)


class Rules(ScriptTest):
    def program(self, *args):
        done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def outputs(self, *flags):
        path = self.folder / "theirs.safetensors"
        self.program("backward", *flags, "--verify", "none", "--output", path)
        return path

    def options(self, measured, *flags):
        parser = peerlib.make_parser(measured, "")
        options, rest = parser.parse_known_args(
            ["--flashbench", PROGRAM, "--timeout", "100ms", *flags]
        )
        return peerlib.complete(options, measured), rest

    def reports(self, measured, *flags):
        options, rest = self.options(measured, *flags)
        seen = []
        folder = self.folder / "peer"
        folder.mkdir()
        report = peerlib.measure_all(measured, options, rest, folder, seen.append)
        return self.validated(json.dumps(report))

    def test_work_is_what_bench_counts(self):
        """A peer's FLOPs and bytes of each pass, from the one launch that wrote the inputs."""
        self.same_work(TINY)

    def test_so_it_is_with_sinks_and_alibi(self):
        self.same_work([*TINY, "--sinks", "random", "--alibi", "standard"], ("sinks", "alibi"))

    def test_so_it_is_with_a_bias(self):
        bias = ["--bias", "random", "--bias_shape", "1x1"]
        self.same_work([*TINY, *bias], ("bias", "bias_shape"))

    def test_so_it_is_with_the_gradient_of_a_bias(self):
        bias = ["--bias", "random", "--bias_shape", "bxh", "--bias_grad", "--dtype", "bf16"]
        self.same_work([*TINY, *bias], ("bias", "bias_shape", "bias_grad"))

    def same_work(self, problem, also=()):
        flags = [*problem, "--type", "flash", "--pass", "forward,backward,both"]
        ours = self.bench(self.folder / "ours.json", *flags)
        theirs = self.reports(Stored(self.outputs(*problem), also), *flags)
        self.assertEqual(len(theirs["results"]), 3)
        for mine, peer in zip(ours["results"], theirs["results"]):
            self.assertEqual(peer["check"]["verdict"], "pass")
            for name in ("workload", "pass", "type"):
                self.assertEqual(mine[name], peer[name], name)
            self.assertAlmostEqual(mine["bytes"], peer["bytes"], delta=1)  # shares of a bias
            for name in ("flop_dense", "flop_visible"):
                self.assertAlmostEqual(mine[name], peer[name], delta=1e-6 * mine[name], msg=name)

    def test_a_wrong_result_has_no_number(self):
        wrong = self.outputs(*TINY, "--seed", "1")  # right, but of other inputs
        (result,) = self.reports(Stored(wrong), *TINY, "--type", "flash")["results"]
        self.assertEqual((result["status"], result["check"]["verdict"]), ("failed", "fail"))
        self.assertIsNone(result["median"])
        self.assertIn("O ", result["reason"])
        self.assertNotIn("flashbench_peer_", result["reason"])

    def test_what_the_library_cannot_do_is_skipped_with_its_reason(self):
        report = self.reports(Stored(self.outputs(*TINY)), *TINY, "--type", "flash,paper")
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "skipped"])
        self.assertEqual(report["results"][1]["reason"], "no kernel of type paper")
        self.assertEqual(report["results"][1]["refusal"], "unsupported")
        self.assertEqual(peerlib.exit_code(report["results"]), 0)

    def test_flashbench_refuses_what_it_does_not_know(self):
        options, rest = self.options(Stored(""), "--q_lne", "3")
        with self.assertRaisesRegex(flashbench_program.Refused, "did you mean '--q_len'"):
            flashbench_program.Flashbench(options.flashbench).cases(rest)

    def test_a_problem_too_large_for_this_processor_may_still_suit_a_gpu(self):
        flags = ["--h", "64", "--q_len", "1m", "--d", "16", "--type", "normal"]
        (case,) = flashbench_program.Flashbench(PROGRAM).problems(flags)
        self.assertEqual((case["status"], case["workload"]["q_len"]), ("skipped", 1 << 20))

    def test_statistics_are_those_of_the_report(self):
        """Recomputed from the samples of a real report: another rule would show."""
        report = self.bench(self.folder / "r.json", "--h", "1", "--q_len", "64", "--d", "16")
        for result in report["results"]:
            times, marked, enough = disturbance.unmarked(result["times"], result["lost"])
            self.assertEqual((marked, not enough), (result["marked"], result["disturbed"]))
            again = sampling.summarize(times)
            for name, value in again.items():
                if name == "ci95":
                    self.assertEqual(value, result["ci95"])
                elif name != "times":
                    self.assertAlmostEqual(
                        value, result[name], delta=1e-9 * result["median"], msg=name
                    )

    def test_sampling_stops_by_noise_or_timeout(self):
        def job(times):
            return types.SimpleNamespace(
                timed=lambda iterations: times.pop(0) if len(times) > 1 else times[0],
                on_gpu=True,  # no processor is watched, of which these times are not
            )

        limits = {"max_noise": 0.01, "min_samples": 10, "min_time": 0.05, "timeout": 1.0}
        fields, warnings = sampling.sample(job([0.01]), limits)
        self.assertEqual((len(fields["times"]), warnings), (10, []))
        fields, (warning,) = sampling.sample(
            job([0.02] * 2 + [0.6, 0.7, 0.8]), dict(limits, timeout=0.1)
        )
        self.assertEqual(fields["times"], [0.6, 0.7, 0.8])
        self.assertIn("noisy", warning)

    def test_disturbed_samples_are_marked_and_left_out(self):
        """Every third one, and then all but the first: what is left is too little."""
        limits = {"max_noise": 0.01, "min_samples": 10, "min_time": 0.05, "timeout": 1.0}
        for every, disturbed in ((3, False), (1, True)):
            count = 0

            def lost_share(work):
                nonlocal count
                count += 1
                robbed = count % every == 0 and count > 1
                return (0.05, 0.8) if robbed else (0.01, 0.0)

            job = types.SimpleNamespace(timed=lambda iterations: 0.01, on_gpu=False)
            with (
                mock.patch.object(sampling, "lost_share", lost_share),
                mock.patch.object(sampling.StolenTime, "share", lambda self, now=False: None),
            ):
                fields, (warning,) = sampling.sample(job, limits)
            self.assertEqual(fields["disturbed"], disturbed)
            self.assertEqual(fields["median"], 0.05 if disturbed else 0.01)
            self.assertEqual(fields["marked"], sum(x > 0.02 for x in fields["lost"]))
            self.assertEqual(len(fields["lost"]), len(fields["times"]))
            self.assertIn("too few are left" if disturbed else "left out", warning)

    def test_what_a_hypervisor_took_marks_a_window(self):
        shares = iter([None, None, 0.5])
        limits = {"max_noise": 0.01, "min_samples": 4, "min_time": 0.0, "timeout": 1.0}
        job = types.SimpleNamespace(timed=lambda iterations: 0.01, on_gpu=False)
        with (
            mock.patch.object(sampling, "lost_share", lambda work: (work(), 0.0)),
            mock.patch.object(
                sampling.StolenTime, "share", lambda self, now=False: next(shares, None)
            ),
        ):
            fields, _ = sampling.sample(job, limits)
        self.assertEqual(fields["lost"][:4], [0.5, 0.5, 0.5, 0.0])
        self.assertEqual(len(fields["times"]), 3 + 4)

    def test_the_share_that_this_thread_lost_is_what_it_did_not_run(self):
        def spin():
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass
            return 0.04  # so much went by, it says

        took, lost = disturbance.lost_share(spin)
        self.assertEqual(took, 0.04)
        if lost is not None:  # the system tells
            self.assertAlmostEqual(lost, 0.75, delta=0.05)

    def stopped(self, time_of, **limits):
        """What ends samples of those times, and after how many; no time goes by."""
        rule = sampling.StopRule(
            dict({"max_noise": 0.01, "min_samples": 10, "min_time": 0.5}, **limits)
        )
        left_s = 20.0
        while True:
            took = time_of(len(rule.times))
            rule.add(took, took)
            left_s -= took
            if (why := rule.stopped_by(left_s)) or left_s < 0:
                return why or "timeout", len(rule.times)

    def test_sampling_stops_where_the_noise_does(self):
        """As lib/measure's does: its tests have the same sequences."""

        def scattered(i):  # between -1 and 1, each value once and in no order
            return 2 * math.remainder(7919 * i * 0.6180339887498949, 1)

        why, count = self.stopped(lambda i: 0.010 if i % 4 < 2 else 0.013)
        self.assertEqual((why, count), ("noise_stays", 64))
        why, count = self.stopped(lambda i: 0.02 * (1 + 0.9 * scattered(i)), max_noise=1e-4)
        self.assertEqual(why, "noise_out_of_reach")
        self.assertTrue(128 <= count < 800, count)
        why, _ = self.stopped(lambda i: 0.002 * (1 + 0.3 * scattered(i)))
        self.assertEqual(why, "noise")
        why, _ = self.stopped(
            lambda i: 0.02 * (1 + 0.9 * math.exp(-i / 150) * scattered(i)), max_noise=2e-3
        )
        self.assertEqual(why, "noise")

    def test_a_field_that_the_library_has_never_heard_of_is_refused(self):
        stored = Stored(self.outputs(*TINY))
        stored.computes = [name for name in Stored.computes if name != "causal"]
        (result,) = self.reports(stored, *TINY, "--type", "flash")["results"]
        self.assertEqual((result["status"], result["refusal"]), ("skipped", "unsupported"))
        self.assertEqual(result["reason"], "pytorch here takes no --causal")


class KernelsOfFlashbench(ScriptTest):
    def test_one_that_is_forced_is_a_peer_of_the_one_that_is_chosen(self):
        """What scripts/gpu races candidates with; no library is needed for it."""
        rows = "--b 1 --h 2 --q_len 32 --d 16 --pass forward --type flash".split()
        quick = ["--rounds", "1", "--min_time", "1ms", "--timeout", "100ms", "--binary", PROGRAM]
        forced = "flashbench:cpu_flash,flashbench:nonesuch"
        done = self.run_script("peers", *quick, "--peers", forced, "--json", "p.json", "--", *rows)
        self.assertIn(
            "| flashbench | of peak | flashbench:cpu_flash | flashbench:none", done.stdout
        )
        (row,) = json.loads((self.folder / "p.json").read_text())["rows"]
        (result,) = row["rounds"]["flashbench:cpu_flash"]
        self.assertEqual((result["status"], result["kernel"]), ("ok", "cpu_flash"))
        (result,) = row["rounds"]["flashbench:nonesuch"]
        self.assertIn("--kernel 'nonesuch' is not in this build", result["reason"])


if __name__ == "__main__":
    unittest.main()
