"""PyTorch computes the very problem that the flags pose, and says so in flashbench's schema."""

import unittest

from harness import PROGRAM, ScriptTest, require

require("torch", "numpy", "safetensors")

FAST = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "100ms"]
KEPT = ["--mask", "none,random", "--mask_keep", "0.9"]  # so that no query sees nothing
SQUARE = ["--b", "2", "--h", "4", "--q_len", "48", "--d", "16"]


class PyTorchPeer(ScriptTest):
    def measure(self, *args, code=0):
        done = self.run_script("peer/peer_pytorch.py", *FAST, *args, "--json", "-", code=code)
        return self.validated(done.stdout)["results"]

    def passed(self, results, count):
        self.assertEqual(len(results), count)
        for r in results:
            self.assertEqual((r["status"], r["check"]["verdict"]), ("ok", "pass"), r["reason"])
            self.assertGreater(r["pct_peak"], 0)

    def test_every_dtype_pass_and_type(self):
        results = self.measure(*SQUARE, "--dtype", "f32,bf16,f16", "--pass", "forward")
        self.passed(results, 6)
        self.assertEqual(
            {(r["type"], r["kernel"]) for r in results},
            {("flash", "sdpa_flash"), ("normal", "three_calls")},
        )
        results = self.measure(*SQUARE, "--pass", "backward,both")
        self.passed(results, 4)
        self.assertEqual(
            {t["tensor"] for t in results[0]["check"]["worst"]}, {"o", "dq", "dk", "dv"}
        )

    def test_a_soft_cap_is_computed_in_three_calls_and_refused_by_sdpa(self):
        cap = ["--softcap", "0.5", "--causal"]
        self.passed(self.measure(*SQUARE, *cap, "--type", "normal", "--pass", "forward,both"), 2)
        (r,) = self.measure(*SQUARE, *cap, "--type", "flash", code=3)
        self.assertIn("no soft cap", r["reason"])

    def test_sinks_are_computed_in_three_calls_and_refused_by_sdpa(self):
        """Grouped heads, padding, a window, one query; the sinks have a gradient of their own."""
        shape = ["--b", "2", "--h", "4", "--h_kv", "2", "--kv_len", "40", "--d", "16"]
        sinks = [*shape, "--sinks", "random"]
        normal = [*sinks, "--type", "normal"]
        masks = ["--causal", "--window_left", "none,7", *KEPT]
        self.passed(self.measure(*normal, *masks, "--q_len", "1,24", "--pass", "forward"), 8)
        results = self.measure(*normal, "--q_len", "24", "--pass", "backward,both")
        self.passed(results, 2)
        for r in results:
            self.assertIn("dsinks", {t["tensor"] for t in r["check"]["worst"]})
        (r,) = self.measure(*sinks, "--q_len", "24", "--type", "flash", code=3)
        self.assertEqual((r["status"], r["refusal"]), ("skipped", "unsupported"))
        self.assertIn("no sinks", r["reason"])

    def test_alibi_is_a_mask_of_floats(self):
        shape = ["--b", "2", "--h", "6", "--h_kv", "2", "--kv_len", "40", "--d", "16"]
        alibi = [*shape, "--alibi", "standard", *KEPT]
        masks = ["--causal", "true,false"]
        self.passed(self.measure(*alibi, *masks, "--q_len", "1,24", "--pass", "forward"), 16)
        window = ["--window_left", "7", "--q_len", "24"]
        self.passed(self.measure(*alibi, *window, "--pass", "both"), 4)
        square = [*SQUARE, "--alibi", "standard", "--causal", "--pass", "both"]
        self.passed(self.measure(*square), 2)  # is_causal is spelt out

    def test_a_bias_is_a_mask_of_floats_with_a_gradient_of_its_own(self):
        shape = ["--b", "2", "--h", "6", "--h_kv", "2", "--kv_len", "40", "--d", "16"]
        bias = [*shape, "--bias", "random", *KEPT]
        shapes = ["--bias_shape", "1x1,1xh,bx1,bxh"]
        self.passed(self.measure(*bias, *shapes, "--q_len", "24", "--pass", "forward"), 16)
        masks = ["--causal", "true,false", "--q_len", "24", "--bias_shape", "1xh,bxh"]
        results = self.measure(*bias, *masks, "--bias_grad", "--pass", "backward,both")
        self.passed(results, 32)
        for r in results:
            self.assertIn("dbias", {t["tensor"] for t in r["check"]["worst"]})
        square = [*SQUARE, "--bias", "random", "--causal"]  # is_causal is spelt out
        self.passed(self.measure(*square, "--dtype", "bf16,f16", "--pass", "both"), 4)
        more = ["--alibi", "standard", "--sinks", "random", "--softcap", "5", "--bias_grad"]
        self.passed(self.measure(*square, *more, "--type", "normal", "--pass", "both"), 1)

    def test_alibi_and_sinks_together(self):
        both = [*SQUARE, "--alibi", "standard", "--sinks", "random", "--causal", "--type", "normal"]
        self.passed(self.measure(*both, "--dtype", "bf16,f16", "--pass", "forward"), 2)
        self.passed(self.measure(*both, "--softcap", "5", "--pass", "forward,both"), 2)

    def test_values_of_another_width_are_computed_and_counted(self):
        widths = ["--h", "4", "--h_kv", "2", "--q_len", "24", "--d", "24", "--d_v", "16", "--causal"]
        results = self.measure(*widths, "--pass", "forward,backward,both")
        self.passed(results, 6)
        flop = {r["pass"]: r["flop_visible"] for r in results}
        pairs = 4 * 24 * 25 // 2
        self.assertEqual(flop["forward"], pairs * (2 * 24 + 2 * 16))
        self.assertEqual(flop["backward"], pairs * (6 * 24 + 4 * 16))

    def test_masks_and_heads_that_pytorch_means_otherwise(self):
        """Bottom-right causal with more keys than queries, padding, grouped heads, one query."""
        rows = [
            "--b",
            "2",
            "--h",
            "4",
            "--h_kv",
            "2",
            "--q_len",
            "1,24",
            "--kv_len",
            "40",
            "--d",
            "16",
            "--causal",
            "true,false",
            "--mask",
            "none,random",
            "--pass",
            "forward",
        ]
        self.passed(self.measure(*rows), 16)
        self.passed(
            self.measure(*rows[:-2], "--pass", "backward", "--type", "flash", "--scale", "0.3"), 8
        )

    def test_windows_are_aligned_with_the_last_keys(self):
        shape = ["--b", "2", "--h", "2", "--q_len", "1,24", "--kv_len", "40", "--d", "16"]
        for window, count in (
            (["--causal", "--window_left", "0,7"], 8),
            (["--window_left", "7", "--window_right", "3,none", *KEPT], 16),
        ):
            self.passed(self.measure(*shape, *window, "--pass", "both"), count)

    def test_queries_that_see_no_key(self):
        """Three calls make NaN of them but for sinks; they are refused, not called wrong."""
        shape = ["--b", "2", "--h", "2", "--d", "16", "--pass", "both"]
        for masks in (
            ["--q_len", "24", "--kv_len", "9", "--causal"],
            ["--q_len", "24", "--window_left", "1", "--causal", "--mask", "random"],
            ["--q_len", "24", "--mask", "random", "--mask_keep", "0"],
        ):
            self.passed(self.measure(*shape, *masks, "--type", "flash"), 1)
            (r,) = self.measure(*shape, *masks, "--type", "normal", code=3)
            self.assertEqual((r["status"], r["refusal"]), ("skipped", "unsupported"))
            self.assertIn("sees no key", r["reason"])
            self.passed(self.measure(*shape, *masks, "--type", "normal", "--sinks", "random"), 1)
            alibi = ["--alibi", "standard"]
            self.passed(self.measure(*shape, *masks, "--type", "flash", *alibi), 1)

    def test_gradients_of_a_gpu_can_be_judged_by_a_sample(self):
        """The log-sum-exp that goes with them is right with every mask and with grouped heads."""
        import peer_pytorch
        from flashbench_program import Flashbench, problem_flags

        program = Flashbench(PROGRAM)
        shape = [
            "--b",
            "2",
            "--h",
            "4",
            "--h_kv",
            "2",
            "--q_len",
            "24",
            "--kv_len",
            "40",
            "--d",
            "16",
        ]
        masks = ["--causal", "true,false", "--mask", "none,random"]
        flags = [*shape, *masks, "--pass", "backward", "--type", "flash"]
        square = [*SQUARE, "--causal", "--pass", "backward", "--type", "flash"]  # is_causal itself
        alibi = [*flags, "--alibi", "standard"]
        sinks = [*square[:-1], "normal", "--sinks", "random"]
        for case in [c for each in (flags, square, alibi, sinks) for c in program.cases(each)]:
            inputs, outputs = (
                str(self.folder / name) for name in ("in.safetensors", "out.safetensors")
            )
            program.pose(problem_flags(case), True, inputs)
            library = peer_pytorch.PyTorch()
            asked = {"pass": "backward", "type": case["type"], "kernel": None}
            asked |= case["workload"]
            job = library.prepare(asked, library.load(asked, inputs))
            job.call()
            library.save(job.results() | {"lse": job.log_sum_exp()}, outputs)
            check, reason = program.judge(inputs, outputs, case["workload"], "sample")
            self.assertEqual((check["verdict"], check["level"]), ("pass", "sample"), reason)
            self.assertIn("lse", {t["tensor"] for t in check["worst"]})

    def test_a_backend_forced_by_name(self):
        self.passed([r := self.measure(*SQUARE, "--kernel", "sdpa_math")[0]], 1)
        self.assertEqual(
            (r["type"], r["kernel"], r["kernel_request"]), ("normal", "sdpa_math", "sdpa_math")
        )
        (r,) = self.measure(*SQUARE, "--kernel", "sdpa_cudnn", code=3)
        self.assertEqual(r["status"], "skipped")
        self.assertIn("sdpa_cudnn", r["reason"])

    def test_bad_input_gets_one_line(self):
        done = self.run_script("peer/peer_pytorch.py", "--h", "4", "--h_kv", "3", code=2)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("--h_kv 3 does not divide", done.stderr)


if __name__ == "__main__":
    unittest.main()
