"""A library as a worker: the problem of a message is the case that its script knows, and is judged in turns with flash."""

import shlex
import sys
import unittest

from harness import PROGRAM, ROOT, ScriptTest, missing, require

require("numpy")

SCRIPT = '''
import sys
sys.path.insert(0, {peer!r})
import numpy as np
import peerlib
from library import Job, Library
from masks import added, hidden_or_seen
from sampling import TooLarge, Unsupported
from flashbench import worker


class Softmax(Job):
    """Attention by NumPy, of the case that it is given; masks are made before the calls, as libraries' are."""

    kernel = "softmax"

    def __init__(self, case, tensors):
        self.case, self.tensors = case, tensors
        self.added, self.sees = added(case, tensors, np.float32), hidden_or_seen(case, tensors)

    def call(self):
        case, t = self.case, self.tensors
        groups = case["h"] // case["h_kv"]
        k, v = (np.repeat(t[name], groups, axis=1) for name in "kv")
        scores = case["scale"] * np.matmul(t["q"], k.swapaxes(-1, -2))
        if self.added is not None:
            scores = scores + self.added
        elif self.sees is not None:
            scores = np.where(self.sees, scores, -np.inf)
        most = scores.max(axis=-1, keepdims=True)
        p = np.exp(scores - np.where(np.isinf(most), 0, most))
        total = p.sum(axis=-1, keepdims=True)
        self.o = np.matmul(p, v) / np.where(total == 0, 1, total)

    def results(self):
        return {{"o": self.o}}


class ByNumpy(Library):
    name, version, kernels = "bynumpy", "7", {{"softmax": "flash"}}
    computes = Library.computes + ["window_left", "alibi", "bias", "d_v"]

    def set_up(self, backend, device, threads):
        return None

    def arrays(self):
        return worker.Numpy()

    def layout(self, case):
        return {layout!r}

    def description(self, kind, kernel):
        return f"softmax of type {{kind}}"

    def prepare(self, case, tensors):
        if case["kv_len"] == 77:
            raise Unsupported("77 keys are too many")
        if case["kv_len"] == 78:
            raise TooLarge("needs 78 TB")
        return Softmax(case, tensors)


sys.exit(peerlib.main(ByNumpy(), "a library"))
'''


class Workers(ScriptTest):
    def worker(self, layout="bhsd"):
        script = self.folder / "library.py"
        script.write_text(SCRIPT.format(peer=str(ROOT / "scripts/peer"), layout=layout))
        return shlex.join([sys.executable, "-B", str(script)])

    def check(self, *flags, worker=None, code=0):
        done = self.run_command(
            PROGRAM, "check", "--worker", worker or self.worker(), *flags, "--quiet", "--json", "-", code=code
        )
        return [r for r in self.validated(done.stdout)["results"] if r["type"] == "worker"]

    # A mask, a window or a layout that is read in another way computes something else.
    def test_a_case_means_what_the_program_means(self):
        shape = "--b 2 --h 4 --h_kv 2 --q_len 24 --kv_len 40 --d 16 --pass forward".split()
        for layout in ("bhsd", "bshd"):
            for flags in (
                "--causal true,false --mask none,random",
                "--window_left 5 --window_right 3 --d_v 24",
                "--causal --window_left 7 --alibi standard --bias random --mask random",
            ):
                results = self.check(*shape, *flags.split(), worker=self.worker(layout))
                for r in results:
                    self.assertEqual((r["status"], r["check"]["verdict"]), ("ok", "pass"), (flags, r["reason"]))
                    self.assertEqual(r["kernel"], "bynumpy")

    def test_what_a_library_lacks_is_skipped_in_its_words(self):
        for flags, says, refusal in (
            ("--q_len 24 --softcap 5", "bynumpy here takes no softcap", "unsupported"),
            ("--ragged 2q3k_1q9k", "bynumpy here takes no ragged", "unsupported"),
            ("--q_len 24 --kv_len 77", "77 keys are too many", "unsupported"),
            ("--q_len 24 --kv_len 78", "needs 78 TB", "memory"),
        ):
            (r,) = self.check(*flags.split(), "--h", 2, "--d", 16, "--pass", "forward", code=3)
            self.assertEqual((r["status"], r["refusal"]), ("skipped", refusal), r["reason"])
            self.assertIn(says, r["reason"])

    def test_it_is_sampled_in_turns_with_flash(self):
        flags = "--type flash,worker --h 2 --q_len 64 --d 16 --pass forward --threads 1".split()
        timing = "--min_samples 3 --min_time 1ms --timeout 2s --max_noise 1 --json -".split()
        done = self.run_command(PROGRAM, "bench", "--worker", self.worker(), *flags, *timing)
        flash, theirs = self.validated(done.stdout)["results"]
        self.assertEqual((flash["status"], theirs["status"]), ("ok", "ok"), theirs["reason"])
        self.assertGreater(theirs["median"], 0)
        self.assertIn("bynumpy 7", theirs["guest"]["build"])
        self.assertEqual(theirs["guest"]["description"], "softmax of type flash")

    # It would be measured on another device, or with other threads, than its user believes.
    def test_flags_of_a_worker_that_change_nothing_are_told(self):
        for more in ("--backend cpu --threads 17", "--dtype bf16"):
            done = self.run_command(PROGRAM, "check", "--worker", f"{self.worker()} {more}", "--h", 1, "--q_len", 8, code=2)
            self.assertIn("a worker takes --type or --kernel", done.stderr)

    def test_a_kernel_is_named_by_its_flag(self):
        (r,) = self.check(*"--h 1 --q_len 8 --d 8 --pass forward".split(), worker=self.worker() + " --kernel softmax")
        self.assertEqual(r["kernel"], "bynumpy_softmax")


class Libraries(ScriptTest):
    """The real ones, where they are installed."""

    def passed(self, script, flags, code=0):
        command = shlex.join([sys.executable, str(ROOT / "scripts/peer" / script.split()[0]), *script.split()[1:]])
        done = self.run_command(
            PROGRAM, "check", "--worker", command, *flags.split(), "--quiet", "--json", "-", code=code
        )
        results = [r for r in self.validated(done.stdout)["results"] if r["type"] == "worker"]
        for r in results:
            self.assertEqual(r["status"], "ok" if code == 0 else "skipped", (script, flags, r["reason"]))
        return results

    @unittest.skipIf(missing("torch", "safetensors"), "needs PyTorch")
    def test_pytorch(self):
        shape = "--b 2 --h 4 --h_kv 2 --q_len 30 --kv_len 41 --d 16"
        self.passed("peer_pytorch.py", f"{shape} --causal true,false --mask none,random --dtype f32,bf16 --pass forward")
        self.passed("peer_pytorch.py", "--h 2 --q_len 30 --d 16 --causal true,false --pass forward,backward,both")
        self.passed("peer_pytorch.py --type normal", f"{shape} --softcap 5 --sinks random --alibi standard --pass both")
        self.passed("peer_pytorch.py", "--ragged 2q3k_1q9k_5q5k --h 4 --h_kv 2 --d 16 --causal --pass both")
        self.passed("peer_pytorch.py --kernel sdpa_math", "--h 2 --q_len 30 --d 16 --pass forward")

    @unittest.skipIf(missing("onnxruntime", "onnx", "safetensors"), "needs ONNX Runtime")
    def test_onnx_runtime(self):
        self.passed("peer_onnxruntime.py", "--b 2 --h 4 --q_len 30 --d 16 --causal true,false --pass forward")
        self.passed("peer_onnxruntime.py", "--b 2 --h 4 --h_kv 2 --q_len 30 --d 16 --causal --dtype f32,f16 --pass forward")
        self.passed("peer_onnxruntime.py", "--b 2 --h 4 --h_kv 2 --q_len 1 --kv_len 40 --d 16 --pass forward")

    @unittest.skipIf(missing("openvino", "safetensors"), "needs OpenVINO")
    def test_openvino(self):
        self.passed("peer_openvino.py", "--b 2 --h 4 --q_len 30 --kv_len 41 --d 16 --causal true,false --pass forward")


if __name__ == "__main__":
    unittest.main()
