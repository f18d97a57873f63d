"""Other people's kernels in programs of their own, served by flashbench.worker."""

import importlib.util
import shlex
import shutil
import sys
import unittest

from guest_harness import EXAMPLES, SMALL, GuestTest, digest, plugin
from harness import ROOT


@unittest.skipUnless(importlib.util.find_spec("numpy"), "needs NumPy")
class Workers(GuestTest):
    def worker(self, function="attention.py:attention", *more):
        return shlex.join([sys.executable, str(ROOT / "scripts/flashbench/worker.py"), function, *more])

    def setUp(self):
        super().setUp()
        shutil.copy(EXAMPLES / "attention.py", self.folder)

    def write(self, text):
        (self.folder / "mine.py").write_text("import numpy as np\nfrom attention import attention as right\n" + text)
        return self.worker("mine.py:f")

    def environment(self, **extra):
        return super().environment(**{"PYTHONPATH": str(self.folder)} | extra)

    def test_a_report_tells_which_python_function_it_was(self):
        worker = f"{sys.executable} {ROOT}/scripts/flashbench/worker.py {EXAMPLES}/attention.py:attention"
        report = self.check_json("--worker", worker, *SMALL)
        guest = report["results"][0]["guest"]
        self.assertTrue(guest["build"].endswith(f"attention.py {digest(EXAMPLES / 'attention.py')[:12]}"), guest["build"])
        self.assertIsNone(guest["sha256"])

    def test_numpy_is_judged_forward_and_backward(self):
        report = self.check_json("--worker", self.worker(), "--h", "4", "--h_kv", "2", "--q_len", "30", "--kv_len", "41",
                                 "--d", "16", "--causal", "true,false", "--mask", "none,random", "--pass", "both,backward")
        results = [r for r in report["results"] if r["type"] == "worker"]
        self.assertEqual(len(results), 8)
        for result in results:
            self.assertEqual(result["check"]["verdict"], "pass", result["reason"])
            self.assertEqual(result["guest"]["abi"], "worker 1")
            self.assertRegex(result["guest"]["build"], "Python 3.*numpy")

    def test_the_module_can_be_started_by_name(self):
        command = f"{sys.executable} -m flashbench.worker attention:attention"
        self.expect(0, "check", "--worker", command, *SMALL,
                    env={"PYTHONPATH": f"{ROOT / 'scripts'}:{self.folder}"})

    def test_it_is_sampled_beside_flash(self):
        report = self.bench_json("--worker", self.worker(), "--h", "2", "--q_len", "64", "--d", "16", "--type", "flash,worker")
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "ok"], report["results"][1]["reason"])

    def test_rows_of_a_token_lie_together_where_a_function_wants_that(self):
        command = self.write("def f(q, k, v, *, causal, scale):\n"
                             "    assert q.swapaxes(1, 2).flags.c_contiguous and not q.flags.c_contiguous\n"
                             "    return right(q, k, v, causal=causal, scale=scale)\n"
                             "f.layout = 'bshd'\n")
        self.expect(0, "check", "--worker", command, "--b", "2", "--h", "3", "--q_len", "20", "--d", "8", "--pass", "forward")
        done = self.expect(1, "check", "--worker", self.write("def f(q, k, v, *, causal, scale): pass\nf.layout = 'hbsd'\n"),
                           *SMALL)
        self.assertIn("an unknown layout", done.stdout)

    def test_results_of_the_wrong_shape_are_one_line(self):
        for result, why in (("None", "f() returned no o"), ("q[:, :, :-1]", "o: shape [1, 2, 39, 16] where [1, 2, 40, 16] is wanted")):
            command = self.write(f"def f(q, k, v, *, causal, scale): return {result}\n")
            done = self.expect(1, "check", "--worker", command, *SMALL, "--json", "r.json")
            self.assertNotIn("Traceback", done.stderr)
            reason = self.validated((self.folder / "r.json").read_text())["results"][0]["reason"]
            self.assertTrue(reason.startswith(f"f: {why}"), reason)

    # A right kernel that rounds once more would be refused; one that has not said so stays judged as before.
    def test_what_a_function_rounds_besides_is_told_with_its_limits(self):
        says = "from attention import attention_backward as gradients\n" \
               "def wide(*x): return (t.astype(np.float32) for t in x)\n" \
               "def f(q, k, v, **of): return right(*wide(q, k, v), **of)\n" \
               "def f_backward(*x, **of): return gradients(*wide(*x), **of)\n" \
               "f.rounds = ['gradients_of_query_heads']\n"
        case = ["--q_len", "20", "--d", "8", "--dtype", "f16", "--pass", "both", "--verify", "full"]
        for heads, told in (("2", ["limits of f: with one more rounding, of what each query head adds to dK and dV"]), ("4", [])):
            report = self.check_json("--worker", self.write(says), "--h", "4", "--h_kv", heads, *case)
            (result,) = [r for r in report["results"] if r["type"] == "worker"]
            self.assertEqual(result["guest"]["rounds"], ["gradients_of_query_heads"])
            self.assertEqual(result["warnings"], told)
        self.refuse("check", "--worker", self.write(says.replace("gradients", "results")), "--h", "4", *case,
                    says="it rounds 'results_of_query_heads', which is not known")

    # A command has commas of its own, so that a list would not do.
    def test_several_stand_in_one_table(self):
        (self.folder / "mine.py").write_text("from attention import attention\ndef slower(q, k, v, *, causal, scale):\n"
                                             "    return attention(q, k, v, causal=causal, scale=scale)\n")
        report = self.bench_json("--worker", self.worker(), "--worker", self.worker("mine.py:slower"), "--plugin",
                                 plugin("attention"), "--plugin", plugin("attention_of_tokens"), "--h", "2", "--q_len",
                                 "64", "--d", "16", "--pass", "forward")
        self.assertEqual([r["kernel"] for r in report["results"] if r["type"] in ("plugin", "worker")],
                         ["online_softmax", "online_softmax", "attention", "slower"])
        self.assertTrue(all(r["status"] == "ok" for r in report["results"]), report["results"])

    # Its answer was forgotten, and the case passed.
    def test_who_ends_when_it_is_asked_fails(self):
        (self.folder / "asked.py").write_text(
            "import json, os, socket\n"
            "s = socket.socket(fileno=int(os.environ['FLASHBENCH_WORKER_SOCKET']))\n"
            "s.send(json.dumps({'protocol': 1, 'kernels': [{'name': 'w'}]}).encode())\n"
            "s.recv(1 << 20)\n"
            "os._exit(9)\n")
        done = self.expect(1, "check", "--worker", f"{sys.executable} asked.py", *SMALL)
        self.assertIn("w: its worker ended with exit code 9", done.stdout)

    def test_no_two_cases_have_one_name(self):
        shutil.copy(EXAMPLES / "attention.py", self.folder / "other.py")
        done = self.expect(0, "check", "--worker", self.worker(), "--worker", self.worker("other.py:attention"), "--list")
        names = [line.split()[0] for line in done.stdout.splitlines()]
        self.assertEqual(len(set(names)), len(names))

    def test_bad_functions_are_told_in_a_line(self):
        for body, why in (
            ("def f(q, k, v, *, causal, scale):\n    return right(q, k, v, causal=causal, scale=2 * scale)\n", r"O [\d.e+]+x of expected"),
            ("def f(q, k, v, *, causal, scale):\n    return q[..., :3]\n", r"o: shape \[1, 2, 40, 3\] where \[1, 2, 40, 16\]"),
            ("def f(q, k, v, *, causal, scale):\n    if q.size > 8: raise KeyError('tile 7')\n    return q\n",
             r"KeyError: 'tile 7' \(mine.py:4\)"),
            ("def f(q, k, v, *, causal, scale):\n    q[...] = 0\n    return q\n", "ValueError: .*read-only"),
            ("import os\ndef f(q, k, v, *, causal, scale):\n    if q.size > 8: os._exit(3)\n    return q\n",
             "exit code 3 in the middle"),
        ):
            with self.subTest(why):
                worker = self.write(body)
                done = self.expect(1, "check", "--worker", worker, "--h", "2", "--q_len", "40", "--d", "16",
                                   "--pass", "forward", "--quiet")
                self.assertRegex(done.stdout, why)

    def test_what_the_function_does_not_take_is_skipped(self):
        worker = self.write("def f(q, k, v, *, causal, scale):\n    return right(q, k, v, causal=causal, scale=scale)\n")
        done = self.expect(3, "check", "--worker", worker, "--q_len", "16", "--d", "8", "--softcap", "5", "--pass", "forward")
        self.assertIn("f() takes no softcap", done.stdout)
        done = self.expect(3, "check", "--worker", worker, "--q_len", "16", "--d", "8", "--pass", "both", "--type", "worker")
        self.assertIn("there is no f_backward", done.stdout)

    def test_what_is_no_worker_is_named(self):
        self.refuse("check", "--worker", self.worker("nowhere.py:f"), *SMALL, says="nowhere.py")
        self.refuse("check", "--worker", "true", *SMALL, says="--worker 'true': its worker ended with exit code 0")
        self.refuse("check", "--type", "worker", *SMALL, says="--type worker needs --worker COMMAND")
        done = self.expect(2, "check", "--worker", "./no_such_program", *SMALL)
        self.assertRegex(done.stderr, "--worker './no_such_program': it cannot be executed; its last line: .*not found")

    # A suite asks a thousand times.
    def test_what_says_that_it_is_absent_is_started_once(self):
        (self.folder / "absent.py").write_text(
            "import os\nopen('started', 'a').write('once ')\n"
            "os.write(int(os.environ['FLASHBENCH_WORKER_SOCKET']), "
            "b'{\"protocol\": 1, \"unavailable\": \"no such device\"}')\n")
        done = self.expect(3, "check", "--worker", f"{sys.executable} {self.folder}/absent.py", *SMALL)
        self.assertIn("no such device", done.stdout + done.stderr)
        self.assertEqual((self.folder / "started").read_text(), "once ")

    # "Exit code 1" alone would not say what to install, or which path to set.
    def test_a_worker_that_ends_is_told_with_its_last_words(self):
        done = self.expect(2, "check", "--worker", f"{sys.executable} -m no_such_package.worker mine:f", *SMALL)
        self.assertRegex(done.stderr, "flashbench: --worker .*: its worker ended with exit code 1 before it said what it can; "
                                      "its last line: .*No module named 'no_such_package'")
        self.assertGreaterEqual(done.stderr.count("No module named"), 2, "and all that it said is there")
        worker = self.write("import os, sys\ndef f(q, k, v, *, causal, scale):\n    if q.size > 8:\n"
                            "        print('out of tiles', file=sys.stderr)\n        os._exit(3)\n    return q\n")
        done = self.expect(1, "check", "--worker", worker, *SMALL)
        self.assertIn("ended with exit code 3 in the middle of its work; its last line: out of tiles", done.stdout)

    # The same tensors, whoever computed them: as a guest that says so they pass.
    def test_what_an_external_result_rounds_besides_can_be_said(self):
        worker = self.write("from attention import attention_backward as gradients\n"
                            "def wide(*x): return (t.astype(np.float32) for t in x)\n"
                            "def f(q, k, v, **of): return right(*wide(q, k, v), **of)\n"
                            "def f_backward(q, k, v, o, lse, do, **of):\n"
                            "    each = [np.repeat(x, q.shape[1] // k.shape[1], 1) for x in (k, v)]\n"
                            "    dq, *grads = gradients(*wide(q, *each, o, lse, do), **of)\n"
                            "    heads = (k.shape[0], k.shape[1], -1)\n"
                            "    grads = [g.astype(q.dtype).astype(np.float32) for g in grads]\n"
                            "    return (dq, *(g.reshape(*heads, *g.shape[2:]).sum(2) for g in grads))\n"
                            "f.rounds = ['gradients_of_query_heads']\n")
        self.expect(0, "backward", "--worker", worker, "--h", "4", "--h_kv", "2", "--q_len", "256", "--d", "64", "--dtype", "f16",
                    "--seed", "1", "--save_inputs", "in.safetensors", "--output", "g.safetensors")
        check = ["check", "--input", "in.safetensors", "--external", "g.safetensors"]
        self.assertRegex(self.expect(1, *check).stdout, r"dV [\d.]+x of expected f16 rounding in the mean of a row")
        done = self.expect(0, *check, "--rounds", "gradients_of_query_heads", "--json", "r.json")
        (result,) = self.validated((self.folder / "r.json").read_text())["results"]
        self.assertEqual(result["warnings"], ["limits of g.safetensors: with one more rounding, of what each query head adds "
                                              "to dK and dV"])
        self.assertIn("--rounds gradients_of_query_heads", result["command"])
        self.refuse(*check, "--rounds", "everything", says=["--rounds", "gradients_of_query_heads"])
        self.refuse("check", *SMALL, "--rounds", "gradients_of_query_heads", says="--rounds is about --external FILE")


@unittest.skipUnless(importlib.util.find_spec("torch"), "needs PyTorch")
class PyTorch(GuestTest):
    def test_autograd_gives_the_gradients(self):
        worker = shlex.join([sys.executable, str(ROOT / "scripts/flashbench/worker.py"), str(EXAMPLES / "sdpa.py") + ":attention"])
        report = self.check_json("--worker", worker, "--h", "4", "--h_kv", "2", "--q_len", "40", "--d", "32", "--dtype",
                                 "f32,bf16", "--causal", "true,false", "--pass", "both,backward", "--do", "random")
        results = [r for r in report["results"] if r["type"] == "worker"]
        self.assertEqual([r["check"]["verdict"] for r in results], ["pass"] * 8)
        self.assertEqual({w["tensor"] for r in results for w in r["check"]["worst"]}, {"o", "dq", "dk", "dv"})


if __name__ == "__main__":
    unittest.main()
