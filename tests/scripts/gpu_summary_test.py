"""What scripts/gpu concludes from reports: medians, spreads, ratios, cycles or power."""

import json
import unittest

import gpu_reports
from gpu_reports import GPU, POWER, kernel, report
from harness import ScriptTest

import bound
import plan
import results
import summary

FAST = [1.00e-3, 1.01e-3, 1.02e-3, 1.03e-3, 1.04e-3, 1.05e-3, 1.06e-3, 1.07e-3, 1.08e-3]
SLOW = [2 * t for t in FAST]


class Summaries(ScriptTest):
    def summary(self, **of_steps):
        """{step: (kind, report)} as files, and what is made of them."""
        outcomes = []
        for name, (kind, content) in of_steps.items():
            (self.folder / f"{name}.json").write_text(json.dumps(content))
            outcome = {"name": name, "kind": kind, "state": "ok", "reason": "", "seconds": 2.0}
            outcomes.append(dict(outcome, answers=f"what {name} asks", command=f"run {name}"))
        whole = summary.collect(self.folder, outcomes, 600, 12.3, ["late_step"])
        summary.write(self.folder, whole)
        self.text = (self.folder / "summary.md").read_text()
        self.assertEqual(json.loads((self.folder / "summary.json").read_text()), whole)
        return whole

    def line(self, *words):
        lines = self.text.splitlines()
        return next(line for line in lines if all(word in line for word in words))

    def test_kernels_in_turns(self):
        both = report(kernel("fast_sm90a", FAST), kernel("old_sm80", SLOW))
        first, second = self.summary(forward=("bench", both))["in_turns"]
        self.assertEqual((first["median_s"], second["median_s"]), (1.04e-3, 2.08e-3))
        self.assertEqual((first["least_s"], first["most_s"], first["rounds"]), (1e-3, 1.08e-3, 9))
        self.assertAlmostEqual(first["spread"], 0.02 / 1.04)
        self.assertAlmostEqual(first["tflops"], 4 * 64 * 4096**2 * 128 / 1.04e-3 * 1e-12)
        self.assertIsNone(first["beside"])
        self.assertEqual(second["beside"], "fast_sm90a")
        self.assertAlmostEqual(second["as_fast"]["median"], 0.5)
        low, high = second["as_fast"]["interval"]
        self.assertTrue(low < 0.5 < high)
        self.assertEqual(second["as_fast"]["faster"], -1)
        self.assertRegex(
            self.line("old_sm80"), r"\| 2\.08 ms \|.*\| ±1\.9 % of 9 \|.*0\.50x \[.*of fast_sm90a"
        )

    def test_other_cases_are_no_base_and_what_nobody_knows_is_said(self):
        few = report(
            kernel("fast_sm90a", FAST),
            kernel("fast_sm90a", SLOW, causal=True),
            kernel("old_sm80", SLOW[:1], causal=True),
        )
        rows = self.summary(forward=("bench", few))["in_turns"]
        self.assertEqual([row["beside"] for row in rows], [None, None, "fast_sm90a"])
        self.assertIsNone(rows[2]["as_fast"])
        self.assertIn("cannot tell: too few samples", self.line("old_sm80"))

    def test_a_wrong_result_has_no_number(self):
        wrong = dict(kernel("old_sm80", SLOW), median=None, status="failed")
        wrong.update(reason="wrong result: dQ 30x; reproduce: flashbench ...")
        wrong["check"] = {"verdict": "fail", "level": "full", "worst": []}
        row = self.summary(forward=("bench", report(wrong)))["in_turns"][0]
        self.assertEqual((row["check"], row["median_s"], row["spread"]), ("fail", None, None))
        self.assertIn("| wrong result: dQ 30x |", self.line("old_sm80"))

    def test_what_a_stopped_step_had_finished_counts(self):
        self.summary()
        (self.folder / "d512.json.partial").write_text(json.dumps(report(kernel("x", FAST))))
        outcome = {"name": "d512", "kind": "bench", "state": "stopped", "reason": "did not end"}
        outcome.update(seconds=9.0, answers="", command="flashbench")
        whole = summary.collect(self.folder, [outcome], 600, 9, [])
        self.assertEqual([row["kernel"] for row in whole["in_turns"]], ["x"])

    def test_a_report_of_a_step_that_did_not_run_is_of_another_run(self):
        path = self.folder / "f32.json"
        path.write_text(json.dumps(report(kernel("x", FAST))))
        outcome = {"name": "f32", "kind": "bench", "state": "left out", "reason": "not here"}
        outcome.update(seconds=None, answers="", command=None)
        self.assertEqual(summary.collect(self.folder, [outcome], 600, 9, [])["in_turns"], [])

    def test_what_cannot_be_written_is_not_understood(self):
        for changes in ({"tflops": None}, {"tflops": "many"}, {"gb_s": float("nan")}):
            broken = report(kernel("x", FAST), dict(kernel("y", FAST), **changes))
            whole = self.summary(d512=("bench", broken), f32=("bench", report(kernel("z", FAST))))
            self.assertEqual([row["kernel"] for row in whole["in_turns"]], ["z"], changes)
            states = [step["state"] for step in whole["steps"]]
            self.assertEqual(states, ["not understood", "ok"])
            self.assertIn("its report is not understood", self.line("| d512 |"))

    def test_an_outcome_is_told_the_same_however_often_it_is_summarized(self):
        (self.folder / "f32.json").write_text("[")
        outcome = {"name": "f32", "kind": "bench", "state": "stopped", "reason": "too slow"}
        outcome.update(seconds=9.0, answers="", command="flashbench")
        for _ in range(2):
            (step,) = summary.collect(self.folder, [outcome], 600, 9, [])["steps"]
            self.assertEqual(step["state"], "stopped")
            self.assertEqual(step["reason"].count("not understood"), 1)
            self.assertTrue(step["reason"].startswith("too slow; its report is not understood: "))

    def test_beside_pytorch_the_rounds_are_those_of_peers(self):
        name = "flash forward bf16 d128"
        rounds = {"flashbench": [1e-3, 1.1e-3, 1.2e-3], "pytorch__sdpa": [2e-3, 2.2e-3, 2.4e-3]}
        report = gpu_reports.peers(name, **rounds)
        own, peer = self.summary(forward_pytorch=("peers", report))["peers"]
        self.assertEqual((own["median_s"], peer["median_s"]), (1.1e-3, 2.2e-3))
        self.assertAlmostEqual(own["spread"], 0.05 / 1.1)
        self.assertAlmostEqual(peer["flashbench_as_fast"]["median"], 2)
        self.assertIn("| forward bf16 d128 | pytorch:sdpa | ", self.text)
        self.assertRegex(self.line("pytorch:sdpa"), r"±4\.5 % of 3 \| 2\.0\d?x \[")

    def test_checks_are_counted_and_the_card_is_named(self):
        failed = dict(kernel("old_sm80", FAST), status="failed")
        suite = report(kernel("old_sm80", FAST), failed, kernel("old_sm80", FAST))
        cuda = {"available": True, "reason": None}
        info = dict(report(), kernels=[], backends={"cuda": cuda})
        whole = self.summary(info=("info", info), check_old_sm80=("check", suite))
        self.assertEqual(whole["checks"], {"check_old_sm80": {"ok": 2, "failed": 1}})
        self.assertEqual(whole["card"]["model"], "Example GPU")
        self.assertIn("2 ok, 1 failed", self.line("check_old_sm80"))
        self.assertIn("Example GPU: compute capability 9.0, 132 multiprocessors", self.text)
        self.assertIn("driver 580.1 for CUDA 13.0, SM clock up to 1.98 GHz, 700 W", self.text)
        self.assertIn("peaks measured: bf16 960 TFLOP/s (wgmma), read 4200 GB/s  \n", self.text)
        self.assertIn("12 of 600 s", self.text)
        self.assertIn("Dropped for want of time: late_step.", self.text)


class CyclesOrPower(ScriptTest):
    def row(self, tflops, executed=1.0, gpu=GPU, **changes):
        """Of a kernel that reaches that much and executes so many times the visible FLOP."""
        result = kernel("fast_sm90a", FAST)
        result["median"] = result["flop_visible"] / tflops * 1e-12
        result["flop_executed"] = executed * result["flop_visible"]
        result.update({"energy_j": 700.0 * result["median"], **changes})
        (row,) = results.utilisation_rows(dict(report(result), context={"gpu": gpu}))
        return row

    def test_without_a_warning_the_clock_was_the_highest(self):
        row = self.row(500)
        self.assertEqual(row["sm_clock_hz"], [0.98 * 1.98e9, 1.98e9])
        self.assertAlmostEqual(row["pipe_visible"], 500e12 / (132 * 4096 * 0.99 * 1.98e9))
        self.assertAlmostEqual(row["power_w"], 700)
        self.assertEqual((row["held_by"], row["verdict"]), (None, "bound by cycles"))

    def test_a_clock_that_is_held_down_is_in_the_warning(self):
        row = self.row(600, warnings=["noisy: ...", POWER])
        self.assertEqual((row["sm_clock_hz"], row["held_by"]), ([1.6e9, 1.7e9], "power limit"))
        self.assertAlmostEqual(row["pipe_executed"], 600e12 / (132 * 4096 * 1.65e9))
        self.assertEqual(row["verdict"], "bound by power and by cycles")
        self.assertEqual(self.row(800, warnings=[POWER])["verdict"], "bound by power")
        full = self.row(600, executed=1.4, warnings=[POWER])
        self.assertEqual(full["verdict"], "bound by power", "a pipe is full of what is executed")

    def test_a_clock_that_is_hardly_held_costs_less_than_cycles(self):
        warning = POWER.replace("1.60 to 1.70", "1.82 to 1.88")
        self.assertEqual(self.row(450, warnings=[warning])["verdict"], "bound by cycles")

    def test_a_clock_that_is_held_down_to_nobody_knows_what(self):
        warning = POWER.replace(", SM clock 1.60 to 1.70 GHz", "")
        self.assertNotEqual(warning, POWER)
        row = self.row(500, warnings=[warning])
        self.assertEqual((row["sm_clock_hz"], row["held_by"]), (None, "power limit"))
        self.assertIsNone(row["pipe_executed"])
        self.assertEqual(row["verdict"], "cannot tell: the clock is unknown")

    def test_heat_is_not_power(self):
        warning = POWER.replace("power limit", "temperature")
        self.assertEqual(self.row(800, warnings=[warning])["verdict"], "bound by temperature")

    def test_what_nobody_knows_is_said(self):
        blind = dict(GPU, max_sm_clock_hz=None)
        self.assertIn("cannot tell: the clock", self.row(500, gpu=blind)["verdict"])
        other = dict(GPU, compute_capability="8.9")
        self.assertIn("cannot tell: the FLOP", self.row(500, gpu=other)["verdict"])
        self.assertIsNone(self.row(500, energy_j=None)["power_w"])
        disturbed = self.row(500, disturbed=True, marked=9)
        self.assertEqual(disturbed["verdict"], "cannot tell: disturbed by other programs")
        self.assertEqual(disturbed["rounds"], 9)

    def test_the_warning_is_the_one_that_the_program_writes(self):
        source = (plan.ROOT / "lib/measure/warnings.cc").read_text()
        self.assertIn("the GPU's {} held its clocks down in {} of {} readings{}", source)
        self.assertIn("SM clock {:.2f} to {:.2f} GHz", source)
        self.assertIn(bound.FELL, source)
        self.assertIn(f"kHeldDown = {bound.UNHELD};", source)


if __name__ == "__main__":
    unittest.main()
