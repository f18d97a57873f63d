"""FlexAttention computes what the flags pose, or says in a line why not; it is compiled untimed."""

import os
import sys
import unittest
from unittest import mock

from harness import SKIPPED, require

require("torch", "numpy", "safetensors")

import flex  # noqa: E402
import peer_pytorch  # noqa: E402
import torch  # noqa: E402
from one_library import FAST, OneLibrary  # noqa: E402
from sampling import Unsupported  # noqa: E402

if flex.flex_attention is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
    print(f"skipped: PyTorch {torch.__version__} has no FlexAttention for this processor")
    sys.exit(SKIPPED)

GROUPED = "--b 2 --h 4 --h_kv 2 --d 16 --q_len 24 --kv_len 40 --causal"
BATCH = "--ragged 3q5_1q40_20q20 --h 4 --h_kv 2 --d 16 --causal"


class Flex(OneLibrary):
    """Every case is compiled, which takes seconds."""

    library = peer_pytorch.PyTorch()

    def measured(self, flags, library=None):
        return super().measured(f"--kernel flex_attention --pass forward {flags}", library)

    def test_a_window_counts_from_the_last_keys(self):
        """With grouped heads and padding, by which some queries see no key."""
        self.passed(f"{GROUPED} --window_left 7 --mask random --dtype bf16")

    def test_a_window_off_by_one_is_judged_wrong_and_has_no_number(self):
        right = flex.window

        def wrong(left, right_end, rows):
            return right(left + 1, right_end, rows)

        with mock.patch.object(flex, "window", wrong):
            (result,) = self.measured(f"{GROUPED} --window_left 7")
        self.assertEqual((result["status"], result["check"]["verdict"]), ("failed", "fail"))
        self.assertIsNone(result["median"])
        self.assertIn("O ", result["reason"])

    def test_a_score_is_capped_before_alibi_and_a_bias_are_added(self):
        self.passed(f"{GROUPED} --softcap 0.5 --alibi standard --bias random --bias_shape 1xh")

    def test_no_query_of_a_packed_batch_sees_another_sequence(self):
        """Nor does a cap, ALiBi or a mask hide the sink, which is a row behind the keys."""
        self.passed(f"{BATCH} --sinks random --alibi standard --softcap 5")

    def test_pages_in_random_order_are_the_keys_in_theirs(self):
        """The rows of a page that hold no key are NaN in the file."""
        self.passed(f"{BATCH} --page_size 16")
        decode = "--b 2 --h 4 --q_len 1 --kv_len 40 --page_size 7 --window_left 20 --dtype f16"
        self.passed(f"{decode} --d 24 --d_v 16 --sinks random --bias random --bias_shape bx1")

    def test_nothing_is_compiled_while_it_is_timed(self):
        (case,) = self.measured("--h 2 --q_len 24 --d 16")
        path = str(next(self.folder.glob("inputs*.safetensors")))
        asked = {"pass": "forward", "type": "flash", "kernel": "flex_attention"}
        asked |= case["workload"]
        job = self.library.prepare(asked, self.library.load(asked, path))
        counted = torch._dynamo.utils.counters["stats"]
        before = counted["unique_graphs"]
        job.timed(3)
        self.assertEqual(counted["unique_graphs"], before)
        job.q = job.q[:, :, :5].clone()
        with self.assertRaisesRegex(RuntimeError, "recompile"):
            job.timed(1)
        self.assertEqual(counted["unique_graphs"], before)

    def test_more_cases_than_pytorch_compiles_of_one_function(self):
        """Beyond its limit it would compute each score by itself, and call that FlexAttention."""
        job = object.__new__(flex.Flex)
        job.q = job.k = job.v = torch.zeros(1, 1, 8, 16)
        with mock.patch.object(torch._dynamo.config, "recompile_limit", 1):
            for scale in (0.5, 0.25):
                job.options = {"scale": scale}
                job.begin()

    def refused(self, *args, **environment):
        """The reason in the one line that the script prints."""
        with mock.patch.dict(os.environ, environment):
            shape = "--kernel flex_attention --h 2 --q_len 24 --d 16".split()
            done = self.run_script("peer/peer_pytorch.py", *FAST, *shape, *args, code=3)
        (line,) = done.stdout.splitlines()
        return line

    def test_no_compiler_and_one_that_fails_are_a_line(self):
        broken = self.folder / "broken_compiler"
        broken.write_text('#!/bin/sh\ncase "$*" in *-c*|*.cpp*) echo no space >&2; exit 1;; esac\n')
        broken.chmod(0o755)
        for compiler, says in (("/nowhere/g++", "install g++"), (str(broken), "cannot compile")):
            cache = str(self.folder / f"cache_of_{len(compiler)}")
            line = self.refused("--pass", "forward", CXX=compiler, TORCHINDUCTOR_CACHE_DIR=cache)
            self.assertIn("PyTorch cannot compile FlexAttention", line)
            self.assertIn(says, line)

    def test_what_it_lacks_is_refused_by_name(self):
        case = {"pass": "forward"}
        for change, device, says in (
            ({"pass": "backward"}, "cpu", "no backward"),
            ({}, "cuda:0", "on the processor only"),
        ):
            with self.assertRaisesRegex(Unsupported, says):
                flex.refuse(case | change, device)
        with mock.patch.object(flex, "flex_attention", None):
            with self.assertRaisesRegex(Unsupported, "has no FlexAttention; 2.6 has"):
                flex.refuse(case, "cpu")
        self.skipped("--h 2 --q_len 24 --d 16 --kv_dtype e4m3", "takes no --kv_dtype")

    def test_an_error_of_a_compiler_is_one_line(self):
        said = flex.said(RuntimeError("\n LoweringException: Bad: x\n  target: y\n"))
        self.assertEqual(said, "Bad: x")
        self.assertEqual(flex.said(ValueError()), "ValueError")


if __name__ == "__main__":
    unittest.main()
