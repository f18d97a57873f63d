"""Functions behind tvm-ffi's C interface: called in the documented order, judged and timed like every kernel."""

import shlex
import unittest

from guest_harness import digest, plugin
from harness import FAST, CliTest

LIBRARY = plugin("tvm_ffi_function")
ABI = ["--abi", "tvm-ffi"]
SMALL = ["--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "13", "--kv_len", "20", "--d", "16", "--pass", "forward"]


class TvmFfi(CliTest):
    def with_function(self, function="attention"):
        return ["--plugin", f"{LIBRARY}:{function}", *ABI]

    def check(self, *args, code=0, **kwargs):
        return self.validated(self.expect(code, "check", *args, "--quiet", "--json", "-", **kwargs).stdout)["results"]

    def test_it_is_judged_and_its_line_repeats_it(self):
        results = self.check(*self.with_function(), *SMALL, "--causal", "true,false", "--scale", "0.4")
        self.assertEqual([r["check"]["verdict"] for r in results], ["pass"] * 2)
        for result in results:
            self.assertEqual({w["tensor"] for w in result["check"]["worst"]}, {"o", "lse"})
            self.assertEqual((result["type"], result["kernel"]), ("plugin", "attention"))
            self.assertEqual(result["guest"], {"description": "q k v o lse scale causal", "build": "", "abi": "tvm-ffi",
                                               "sha256": digest(LIBRARY), "isolated": True, "rounds": []})
            words = shlex.split(result["command"])
            self.assertEqual(words[words.index("--abi") + 1], "tvm-ffi")
            self.expect(0, *words[1:])

    def test_it_is_timed_beside_flash(self):
        report = self.bench_json(*self.with_function(), "--h", "2", "--q_len", "64", "--d", "16", "--type", "flash,plugin")
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "ok"], report["results"][1]["reason"])
        self.assertEqual(report["results"][1]["check"]["verdict"], "pass")
        self.assertGreater(report["results"][1]["median"], 0)

    def test_gradients_come_from_the_function_beside_it(self):
        one_key = ["--h", "2", "--q_len", "5", "--kv_len", "1", "--d", "16", "--do", "random"]
        results = self.check(*self.with_function(), *one_key, "--pass", "both,backward", "--type", "plugin")
        results = [r for r in results if r["type"] == "plugin"]  # beside the chain of check
        self.assertEqual([r["check"]["verdict"] for r in results], ["pass"] * 2, results[0]["reason"])
        for result in results:
            self.assertLessEqual({"dq", "dk", "dv"}, {w["tensor"] for w in result["check"]["worst"]})
        done = self.expect(3, "check", *self.with_function("plain(v k q o)"), *one_key, "--pass", "backward")
        self.assertIn("plain: its library exports no __tvm_ffi_plain_backward", done.stdout)

    def test_arguments_come_in_the_order_that_is_said(self):
        function = self.with_function("plain(v k q o)")
        (result,) = self.check(*function, *SMALL)
        self.assertEqual(result["check"]["verdict"], "pass")
        self.assertEqual({w["tensor"] for w in result["check"]["worst"]}, {"o"}, "it writes no LSE")
        self.expect(0, *shlex.split(result["command"])[1:])
        for more, says in ((["--causal"], "no argument causal"), (["--scale", "2"], "no argument scale")):
            done = self.expect(3, "check", *function, *SMALL, *more)
            self.assertIn(f"plain: __tvm_ffi_plain has {says}", done.stdout)

    def test_what_no_argument_says_is_refused_by_name(self):
        for more, word in ((["--mask", "random"], "key_mask"), (["--window_left", "3"], "window"),
                           (["--softcap", "5"], "softcap"), (["--alibi", "standard"], "alibi")):
            done = self.expect(3, "check", *self.with_function(), *SMALL, *more)
            self.assertIn(f"attention: functions of tvm-ffi are given no {word}", done.stdout)

    def test_errors_are_told_in_a_line(self):
        for mode, why in (("raise", "attention: ValueError: the third tile is missing"),
                          ("silent", "attention: it returned -1 and says nothing of it"),
                          ("write_input", "it wrote to q, which is an input"), ("nothing", "O NaN")):
            with self.subTest(mode):
                done = self.expect(1, "check", *self.with_function(), *SMALL, "--quiet", env={"TVM_FFI_MODE": mode})
                self.assertIn(why, done.stdout)
                self.assertNotIn("in two lines", done.stdout)

    # As a Python function's NotImplementedError does.
    def test_what_is_not_implemented_is_skipped(self):
        (result,) = self.check(*self.with_function(), *SMALL, env={"TVM_FFI_MODE": "refuse"}, code=3)
        self.assertEqual((result["status"], result["refusal"]), ("skipped", "unsupported"))
        self.assertIn("NotImplementedError: another GPU", result["reason"])

    def test_cheats_are_caught(self):
        done = self.expect(1, "bench", *FAST, *self.with_function(), "--h", "2", "--q_len", "64", "--d", "16", "--quiet",
                           env={"TVM_FFI_MODE": "nothing"})
        self.assertIn("O NaN", done.stdout)

    def test_it_runs_in_this_process_too(self):
        (result,) = self.check(*self.with_function(), *SMALL, "--isolate", "false")
        self.assertEqual(result["check"]["verdict"], "pass")

    def test_what_is_no_function_is_named(self):
        for more in ([], ["--isolate", "false"]):
            for function, says in ((":other", "exports no __tvm_ffi_other"), ("", "it is FILE:NAME, for __tvm_ffi_NAME"),
                                   (":attention(q k v o z)", "got 'z'"), (":attention(q k v)", "outputs are arguments too"),
                                   (":attention(q k v o", "end with a bracket"),
                                   (":attention(q k v o dq)", "dq is an argument of a backward call")):
                self.refuse("check", "--plugin", LIBRARY + function, *ABI, *SMALL, *more, says=["--plugin '", says])
        self.refuse("check", "--plugin", "nowhere.so:f", *ABI, *SMALL, says="there is no such file")
        self.refuse("check", "--plugin", LIBRARY, "--abi", "pjrt", *SMALL,
                    says=["--abi", "flashbench_kernel", "tvm-ffi", "pjrt"])
        self.refuse("check", "--type", "flash", *ABI, *SMALL, says="is for --type plugin")
        self.refuse("check", "--plugin", LIBRARY, *SMALL, says="exports no flashbench_kernel")


if __name__ == "__main__":
    unittest.main()
