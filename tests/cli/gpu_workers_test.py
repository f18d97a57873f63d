"""Functions of PyTorch on a GPU: the program has that of tests/fake_gpu, PyTorch one that is the processor
(tests/scripts/cuda_stand_in.py)."""

import importlib.util
import shlex
import sys
import unittest

from cuda_test import OnAFakeGpu, fake
from guest_harness import GuestTest
from harness import ROOT

WORKER = str(ROOT / "scripts/flashbench/worker.py")
CASE = ["--backend", "cuda", "--h", "2", "--q_len", "20", "--d", "32"]
MINE = """
import time
import torch.nn.functional as F

def right(q, k, v, *, causal, scale):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)

def slow(q, k, v, *, causal, scale):
    time.sleep(0.003)  # or it is faster than the emulated GPU can be
    o = right(q, k, v, causal=causal, scale=scale)
    if o.requires_grad:
        o.register_hook(lambda gradient: time.sleep(0.003))
    return o

def writes(q, k, v, *, causal, scale):
    o = right(q, k, v, causal=causal, scale=scale)
    k.zero_()
    return o
"""


@unittest.skipUnless(importlib.util.find_spec("torch"), "needs PyTorch")
class PyTorch(GuestTest, OnAFakeGpu):
    def setUp(self):
        super().setUp()
        (self.folder / "mine.py").write_text(MINE)

    def worker(self, function):
        stand_in = str(ROOT / "tests/scripts/cuda_stand_in.py")
        return shlex.join([sys.executable, "-B", "-W", "ignore", stand_in, "log", WORKER, f"mine.py:{function}"])

    def test_both_passes_are_judged_like_ours(self):
        report = self.check_json(*CASE, "--worker", self.worker("right"), "--h_kv", "1", "--causal", "true,false",
                                 "--dtype", "f32,bf16", "--pass", "forward,backward,both", env=fake())
        results = [r for r in report["results"] if r["type"] == "worker"]
        self.assertEqual([(r["backend"], r["check"]["verdict"]) for r in results], [("cuda", "pass")] * 12)

    def test_it_is_sampled_in_turns_with_flash_of_that_gpu(self):
        report = self.bench_json(*CASE, "--worker", self.worker("slow"), "--type", "flash,worker", "--pass",
                                 "forward,backward,both", env=fake())
        for result in report["results"]:
            self.assertEqual((result["backend"], result["status"]), ("cuda", "ok"), result["reason"])

    def test_a_written_input_is_seen(self):
        report = self.check_json(*CASE, "--worker", self.worker("writes"), "--pass", "forward", code=1, env=fake())
        self.assertIn("writes: it wrote to its input k", report["results"][0]["reason"])


@unittest.skipUnless(importlib.util.find_spec("numpy"), "needs NumPy")
class NumPy(GuestTest, OnAFakeGpu):
    def test_a_function_of_the_processor_is_told_what_to_do(self):
        (self.folder / "mine.py").write_text("def f(q, k, v, *, causal, scale): pass\n")
        command = shlex.join([sys.executable, "-B", WORKER, "mine.py:f"])
        done = self.expect(3, "check", *CASE, "--worker", command, "--pass", "forward", env=fake())
        self.assertIn("f: NumPy computes on the processor: --as torch for a function of PyTorch", done.stdout)


if __name__ == "__main__":
    unittest.main()
