"""Somebody's PTX on the emulated device: kernels that are right, races that are named, launches that are wrong."""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unittest

from harness import PROGRAM, ROOT
from ptx_harness import COPY, EMULATED, ONE_KEY, PtxTest, copies, one_key

BUILT = pathlib.Path(os.environ.get("FLASHBENCH_PLUGINS", "."))  # of tests/guest, by nvcc
TRITON = ROOT / "tests/guest/triton"  # what lib/guest/examples/attention_triton.py wrote
EXAMPLES = ROOT / "lib/guest/examples"
HAS_NVCC = (BUILT / "attention_cuda.ptx").exists()
HAS_TRITON = importlib.util.find_spec("triton") is not None
TRITONS = ["--dtype", "bf16", "--d", "64", "--causal", "--pass", "forward"]


def without_barrier(text, number):
    """The text without its barrier of that number, whose line stays."""
    at = [m.start() for m in re.finditer(r"bar\.sync\s+0;", text)][number]
    return text[:at] + "//" + text[at:]


@unittest.skipUnless(HAS_NVCC, "nvcc made no PTX in this build")
class Cuda(PtxTest):
    def test_a_textbook_kernel_is_judged_like_ours(self):
        results = self.check_json(BUILT / "attention_cuda.ptx", "--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "37",
                                  "--kv_len", "45,20", "--d", "24,64", "--causal", "true,false", "--pass", "forward",
                                  "--launch", EXAMPLES / "attention.json")
        self.assertEqual(len(results), 8)
        for r in results:
            self.assertEqual((r["status"], r["check"]["verdict"]), ("ok", "pass"), r["reason"])
            self.assertEqual((r["type"], r["kernel"], r["device"]), ("plugin", "attention", "emulated"))
            self.assertRegex(r["guest"]["build"], r"^PTX for sm_80, launched by \w+\.json [0-9a-f]{12}$")
            self.assertRegex(r["guest"]["sha256"], "^[0-9a-f]{64}$")
        done = self.expect(0, *shlex.split(results[0]["command"])[1:])
        self.assertIn("1 passed, 0 failed", done.stdout)

    def test_what_it_does_not_compute_is_skipped(self):
        small = {"--q_len": "8", "--d": "16", "--pass": "forward"}
        for args, says in (({"--mask": "random"}, "attention does not support --mask"),
                           ({"--dtype": "bf16"}, "attention takes f32, not bf16"),
                           ({"--d": "129"}, "attention: it requires d <= 128"),
                           ({"--pass": "backward"}, "attention does not support --pass backward")):
            flags = [word for flag in (small | args).items() for word in flag]
            done = self.check(BUILT / "attention_cuda.ptx", "--launch", EXAMPLES / "attention.json", *flags, code=3)
            self.assertIn(says, done.stdout + done.stderr)

    def test_a_missing_syncthreads_is_a_race_at_a_line(self):
        path = BUILT / "attention_cuda_race.ptx"
        done = self.check(path, "--launch", EXAMPLES / "attention.json", "--q_len", "8", "--kv_len", "64", "--d", "16",
                          "--pass", "forward", code=1)
        self.expect_race(done, path.read_text(), "attention")
        self.assertRegex(done.stdout, r"race in attention \(attention\.cu:\d+")

    def test_the_suite_runs_what_it_takes(self):
        done = self.check(BUILT / "attention_cuda.ptx", "--launch", EXAMPLES / "attention.json", "--filter", "*/f32/plugin")
        self.assertRegex(done.stdout, r"\d\d+ passed, 0 failed")

    def test_forward_runs_it_and_profile_counts(self):
        done = self.expect(0, "forward", *EMULATED, "--ptx", BUILT / "attention_cuda.ptx", "--launch",
                           EXAMPLES / "attention.json", "--q_len", "8", "--d", "16", "--profile")
        self.assertIn("barriers", done.stdout)

    def test_bench_says_that_it_has_no_speed(self):
        done = self.run_program("bench", *EMULATED, "--type", "plugin", "--ptx", BUILT / "attention_cuda.ptx",
                                "--launch", EXAMPLES / "attention.json", "--q_len", "8", "--d", "16")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)


class Triton(PtxTest):
    def test_attention_of_both_architectures_is_right_in_every_order(self):
        for name in ("attention_sm_80", "attention_sm_90"):
            results = self.check_json(TRITON / f"{name}.ptx", *TRITONS, "--b", "2", "--h", "2", "--h_kv", "1",
                                      "--q_len", "70", "--kv_len", "70,130", "--emulated_seeds", "1,2,3")
            self.assertEqual(len(results), 2)
            for r in results:
                self.assertEqual((r["status"], r["check"]["verdict"]), ("ok", "pass"), r["reason"])
                self.assertEqual(r["kernel"], "triton_attention")

    def test_a_missing_barrier_is_a_race_at_a_line(self):
        for name, barrier in RACES:
            text = without_barrier((TRITON / f"{name}.ptx").read_text(), barrier)
            ptx = self.write("race", text, (TRITON / f"{name}.json").read_text())
            done = self.check(ptx, *TRITONS, "--q_len", "70", code=1)
            self.expect_race(done, text, "triton_attention")

    def test_a_tile_that_its_swizzle_does_not_fit_is_named(self):
        """16 bytes of static memory push Triton's dynamic memory, which it declares to need no more."""
        text = (TRITON / "attention_sm_90.ptx").read_text()
        text = text.replace(".extern .shared", ".shared .align 16 .b8 pushed[16];\n.extern .shared", 1)
        done = self.check(self.write("pushed", text, (TRITON / "attention_sm_90.json").read_text()), *TRITONS, "--q_len",
                          "70", code=1)
        self.assertRegex(done.stdout, r"misaligned in attention.*its tile must be aligned to 1024 bytes \[PTX line \d+: wgmma")

    def test_too_little_shared_memory_is_out_of_bounds(self):
        launch = json.loads((TRITON / "attention_sm_80.json").read_text())
        launch["forward"][0]["shared_bytes"] = 16384
        ptx = self.write("small", (TRITON / "attention_sm_80.ptx").read_text(), launch)
        self.assertIn("out of bounds in attention", self.check(ptx, *TRITONS, "--q_len", "70", code=1).stdout)

    @unittest.skipUnless(HAS_TRITON, "Triton is not installed")
    def test_the_example_compiles_itself(self):
        subprocess.run([sys.executable, EXAMPLES / "attention_triton.py", self.folder], check=True, capture_output=True)
        for name in ("attention_sm_80", "attention_sm_90"):
            self.check(f"{name}.ptx", *TRITONS, "--q_len", "70")


RACES = (("attention_sm_80", 2), ("attention_sm_90", 2))

# The one row of V to every query, in the order [b, rows, h, d].
SPREAD = COPY.replace(".param .f32 unused", ".param .f32 unused, .param .u32 inner, .param .u32 outer").replace(
    "add.s64 %rd0, %rd0, %rd2;",
    """ld.param.u32 %r3, [inner];
ld.param.u32 %r4, [outer];
div.u32 %r4, %r1, %r4;
rem.u32 %r2, %r1, %r3;
mad.lo.u32 %r3, %r4, %r3, %r2;
mul.wide.u32 %rd3, %r3, 4;
add.s64 %rd0, %rd0, %rd3;""")
# V where the key is kept, else 0.
MASKED = COPY.replace(".param .f32 unused", ".param .f32 unused, .param .u64 mask, .param .u32 inner").replace(
    "st.global.u32",
    """ld.param.u64 %rd3, [mask];
ld.param.u32 %r4, [inner];
div.u32 %r4, %r1, %r4;
cvt.u64.u32 %rd4, %r4;
add.s64 %rd3, %rd3, %rd4;
ld.global.u8 %r4, [%rd3];
mul.lo.u32 %r3, %r3, %r4;
st.global.u32""")
# Runs for ever, with a barrier in its loop, so that barriers complete all the time.
ENDLESS = COPY.replace("mov.u32 %r1, %ctaid.x;", "again: bar.sync 0;\nbra again;\nmov.u32 %r1, %ctaid.x;")
# Beside copy another one, which writes zeros to what it has read.
CLEARS = COPY + COPY[COPY.index(".visible"):].replace("entry copy", "entry clear").replace(
    "ret;\n}", "mov.u32 %r3, 0;\nst.global.u32 [%rd0], %r3;\nret;\n}")


class Launches(PtxTest):
    def verdict(self, launch, *args, text=COPY):
        results = self.check_json(self.write("copy", text, launch), *ONE_KEY, *args)
        (result,) = [r for r in results if r["type"] == "plugin"]  # gradients bring their chain with them
        self.assertEqual(result["status"], "ok", result["reason"])
        return result

    def test_several_launches_share_a_workspace(self):
        launch = one_key(workspace={"between": "4 * b * h * d"}, forward=[copies("v", "between"), copies("between", "o")])
        self.assertEqual(self.verdict(launch, "--pass", "forward")["check"]["verdict"], "pass")

    def test_a_workspace_starts_uninitialised(self):
        launch = one_key(workspace={"between": "4 * b * h * d"}, forward=[copies("between", "o")])
        done = self.check(self.write("copy", COPY, launch), *ONE_KEY, "--pass", "forward", code=1)
        self.assertIn("uninitialised in copy", done.stdout)

    def test_a_backward_alone_is_given_o_and_lse(self):
        zero = [{"zero": "dq"}, {"zero": "dk"}]
        launch = one_key(backward=[*zero, copies("do", "dv")])
        del launch["forward"]
        self.verdict(launch, "--pass", "backward")
        done = self.check("copy.ptx", *ONE_KEY, "--pass", "forward", code=3)
        self.assertIn("copy: it has no forward", done.stdout)

    def test_both_passes_in_every_combination(self):
        launch = one_key(backward=[{"zero": "dq"}, {"zero": "dk"}, copies("do", "dv")])
        for name in ("forward", "backward", "both"):
            self.verdict(launch, "--pass", name)

    def test_another_order_of_axes(self):
        launch = one_key(layout="bshd", requires=["kv_len == 1"], forward=copies("v", "o", "b * h * q_len * d"))
        launch["forward"]["arguments"] += [{"u32": "h * d"}, {"u32": "q_len * h * d"}]
        problem = ["--b", "2", "--h", "3", "--q_len", "4", "--kv_len", "1", "--d", "20", "--pass", "forward"]
        self.check(self.write("spread", SPREAD, launch), *problem)
        self.check(self.write("spread", SPREAD, launch | {"layout": "bhsd"}), *problem, code=1)

    def test_a_kernel_with_a_key_mask_is_given_one(self):
        launch = one_key()
        launch["forward"]["arguments"] += ["key_mask", {"u32": "h * d"}]
        problem = ["--b", "16", *ONE_KEY[2:], "--pass", "forward"]
        self.check(self.write("masked", MASKED, launch), *problem, "--mask", "none,random")
        done = self.check(self.write("copy", COPY, one_key()), *problem, "--mask", "random", code=3)
        self.assertIn("copy does not support --mask", done.stdout)

    def test_a_wrong_result_fails(self):
        done = self.check(self.write("copy", COPY, one_key(forward=copies("k", "o"))), *ONE_KEY, "--pass", "forward", code=1)
        self.assertIn("FAIL", done.stdout)

    def test_a_grid_that_is_too_small_leaves_the_output_unwritten(self):
        launch = one_key()
        launch["forward"]["grid"] = [1]
        self.check(self.write("copy", COPY, launch), *ONE_KEY, "--pass", "forward", code=1)

    def test_a_grid_of_zero_is_named(self):
        launch = one_key()
        launch["forward"]["grid"] = ["q_len - 1"]
        done = self.check(self.write("copy", COPY, launch), *ONE_KEY, "--pass", "forward", code=1)
        self.assertIn("launch of copy: a grid of 0 x 1 x 1 CTAs", done.stdout)

    def test_an_endless_loop_ends_with_its_line(self):
        done = self.check(self.write("endless", ENDLESS, one_key()), *ONE_KEY, "--emulated_seeds", "1", "--pass", "forward",
                          code=1)
        self.assertRegex(done.stdout, r"livelock in copy.* warp instructions is reached.*\[PTX line \d+: (again|bra)")

    def test_an_interrupt_ends_an_endless_loop(self):
        ptx = self.write("endless", ENDLESS, one_key(requires=[], forward=copies("v", "o") | {"grid": 1}))
        problem = ["--b", "1", "--h", "32", "--q_len", "1k", "--kv_len", "1k", "--d", "64", "--pass", "forward"]
        running = subprocess.Popen([PROGRAM, "check", *EMULATED, "--ptx", ptx, *problem], cwd=self.folder, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with self.assertRaises(subprocess.TimeoutExpired):
            running.wait(timeout=5)
        running.send_signal(signal.SIGINT)
        try:
            running.communicate(timeout=60)
        finally:
            running.kill()
        self.assertEqual(running.returncode, 130)

    def test_what_does_not_fit_into_the_devices_memory_is_skipped(self):
        """The second one is 0 bytes in 64 bits where it is multiplied by four."""
        for size in ("9 * 1024 * 1024 * 1024", "4194304 * 1099511627776"):
            launch = one_key(workspace={"huge": size, "huge_too": size})
            (result,) = self.check_json(self.write("huge", COPY, launch), *ONE_KEY, "--pass", "forward", code=3)
            self.assertEqual((result["status"], result["refusal"]), ("skipped", "memory"))
            self.assertIn("do not fit into the 8589934592 bytes of the emulated device", result["reason"])

    def test_a_formula_without_a_value_skips_that_problem_alone(self):
        negative = ["v", "o", {"u32": "b * h * d + (b - 2) * 1000"}, {"f32": "scale"}]
        for more, says in (
            ({"requires": ["d / (b - 1) > 0", "q_len == 1", "kv_len == 1"]}, "it divides by 0"),
            ({"workspace": {"between": "16 / (b - 1)"}}, "workspace: between: '16 / (b - 1)': it divides by 0"),
            ({"workspace": {"between": "b - 2"}}, "it is -1, and counts something"),
            ({"forward": copies("v", "o") | {"grid": ["ceil_div(b * h * d, 32)", "ceil_div(1, b - 1)"]}}, "it divides by 0"),
            ({"forward": copies("v", "o") | {"block": "ceil_div(32, b - 1)"}}, "it divides by 0"),
            ({"forward": copies("v", "o") | {"shared_bytes": "b - 2"}}, "it is -1, and counts something"),
            ({"forward": copies("v", "o") | {"arguments": negative}}, "-940 does not fit into 32 bits"),
        ):
            with self.subTest(says=says, more=more):
                ptx = self.write("copy", COPY, one_key(**more))
                results = self.check_json(ptx, "--b", "1,2", *ONE_KEY[2:], "--pass", "forward")
                self.assertEqual([r["status"] for r in results], ["skipped", "ok"])
                self.assertEqual(results[0]["refusal"], "unsupported")
                self.assertIn(says, results[0]["reason"])

    def test_an_input_that_it_writes_is_named(self):
        forward, zero = [copies("v", "o")], [{"zero": "dq"}, {"zero": "dk"}]
        clear = {name: copies(name, "o", entry="clear") for name in ("q", "k", "v")}
        clear |= {"do": copies("do", "dq", entry="clear"), "key_mask": copies("key_mask", "o", "b / 4", entry="clear")}
        for name, gives, launch in (
            ("q", "forward", one_key(forward=[clear["q"], *forward])),
            ("k", "forward", one_key(forward=[clear["k"], *forward], layout="bshd")),
            ("v", "forward", one_key(forward=[*forward, copies("v", "between", entry="clear")],
                                     workspace={"between": "4 * b * h * d"})),
            ("key_mask", "forward", one_key(forward=[clear["key_mask"], *forward])),
            ("do", "both", one_key(backward=[copies("do", "dv"), clear["do"], *zero])),
        ):
            with self.subTest(name=name):
                ptx = self.write("clears", CLEARS, launch)
                done = self.check(ptx, "--b", "8", *ONE_KEY[2:], "--pass", gives, code=1)
                self.assertIn(f"it wrote to {name}, which is an input", done.stdout)

    def test_a_forward_without_lse_is_judged_by_o_whatever_its_backward_takes(self):
        backward = [copies("lse", "dq", "b * h"), {"zero": "dq"}, {"zero": "dk"}, copies("do", "dv")]
        self.assertEqual(self.verdict(one_key(backward=backward), "--pass", "forward")["check"]["verdict"], "pass")

    def test_a_mask_is_for_kernels_whose_every_pass_takes_it(self):
        launch = one_key(backward=[copies("do", "dv"), {"zero": "dq"}, {"zero": "dk"}])
        launch["forward"]["arguments"] += ["key_mask", {"u32": "h * d"}]
        launch["backward"][0]["arguments"] += ["v", {"u32": "h * d"}]
        ptx = self.write("masked", MASKED, launch)
        done = self.check(ptx, *ONE_KEY, "--pass", "backward", "--mask", "random", code=3)
        self.assertIn("does not support --mask", done.stdout)

    def test_volta_has_96_kib_of_shared_memory(self):
        launch = one_key(forward=copies("v", "o") | {"shared_bytes": 96 * 1024})
        self.check(self.write("volta", COPY.replace("sm_75", "sm_70"), launch), *ONE_KEY, "--pass", "forward")

    def test_what_is_wrong_with_a_description_is_one_line(self):
        def forward(**more):
            return one_key(forward={**copies("v", "o"), **more})

        numbers = copies("v", "o")["arguments"]
        rows = (
            ("{", ["--launch copy.json: "]),
            ({"dtypes": ["f32"]}, ["'forward' or 'backward' is missing"]),
            ({"forward": copies("v", "o")}, ["'dtypes' is missing"]),
            (one_key(dtypes=["e4m3"]), ["dtypes[0]: expected f32, bf16 or f16"]),
            (one_key(extra=1), ["unknown member 'extra'; it may have name, description"]),
            (one_key(name=""), ["name: expected a string, and it is empty"]),
            (forward(ptx=""), ["ptx: expected a string, and it is empty"]),
            (forward(entry="other"), ["copy.ptx has no entry 'other'; it has copy"]),
            (forward(cluster=[2]), ["forward: clusters of blocks are not emulated"]),
            (forward(grid=["seqlen"]), ["grid[0]: 'seqlen': unknown name 'seqlen'; it may be b, h"]),
            (forward(grid=[1, 1, 1, 1]), ["grid: expected one to three numbers"]),
            (forward(block=["h ** 2"]), ["block[0]: 'h ** 2': unexpected '* 2'"]),
            (forward(arguments=["v", "out", *numbers[2:]]), ["arguments[1]: unknown argument 'out'; it may be q, k, v"]),
            (forward(arguments=numbers[:3]), ["forward: 3 arguments for the 4 parameters of copy"]),
            (forward(arguments=["v", "o", {"u64": "b"}, numbers[3]]),
             ["arguments[2]: the kernel's parameter n is an integer of 4 bytes, not an integer of 8 bytes"]),
            (forward(arguments=["v", "o", {"f32": "scale"}, numbers[3]]),
             ["arguments[2]: the kernel's parameter n is an integer of 4 bytes, not a float of 4 bytes"]),
            (forward(arguments=["v", "o", "q", numbers[3]]), ["parameter n is an integer of 4 bytes, not an address"]),
            (forward(arguments=["v", "o", {"i32": "scale"}, numbers[3]]), ["unknown name 'scale'"]),
            (one_key(causal="maybe"), ["causal: expected true (nothing else), false or \"either\""]),
            (one_key(requires=["d"]), ["requires[0]: 'd' compares nothing"]),
            (one_key(workspace={"q": 8}), ["workspace: 'q' is the name of a tensor"]),
            (one_key(workspace={"": 8}), ["workspace: '' is no name"]),
            (one_key(workspace={"two\nlines": 8}), ["is no name: up to 64 letters, digits and _"]),
            (one_key(forward=[copies("v", "o"), copies("dq", "o")]), ["forward: a forward has no 'dq'"]),
            (one_key(forward=[copies("v", "o"), {"copy": "do", "to": "o"}]), ["forward: a forward has no 'do'"]),
            (one_key(layout="sbhd"), ["layout: expected bhsd or bshd"]),
        )
        for launch, says in rows:
            with self.subTest(says=says):
                ptx = self.write("copy", COPY, launch)
                self.refuse("check", *EMULATED, "--ptx", ptx, *ONE_KEY, "--pass", "forward", says=says)

    def test_what_is_wrong_with_the_ptx_is_one_line(self):
        for text, says in (
            (COPY.replace("setp.ge.u32", "frobnicate.u32"), "PTX line 15: unknown instruction: frobnicate.u32"),
            (COPY.replace(".reg .pred %p;", ".reg .pred %p"), "--ptx copy.ptx: PTX line"),
            ("", "copy.ptx has no entry 'copy'; it has none"),
        ):
            with self.subTest(says=says):
                ptx = self.write("copy", text, one_key())
                self.refuse("check", *EMULATED, "--ptx", ptx, *ONE_KEY, "--pass", "forward", says=says)

    def test_flags_that_do_not_go_together(self):
        ptx = self.write("copy", COPY, one_key())
        self.refuse("check", *EMULATED, "--ptx", "none.ptx", *ONE_KEY, says="--ptx none.ptx: No such file")
        self.refuse("check", *EMULATED, "--ptx", "copy.txt", *ONE_KEY, says="names end in .ptx, got 'copy.txt'")
        self.refuse("check", *EMULATED, "--ptx", ptx, "--launch", "x.json", *ONE_KEY, says="--launch x.json: No such file")
        for library in ([], ["--plugin", "x.so"]):
            self.refuse("check", "--launch", "copy.json", *library, *ONE_KEY, says="--launch is for --ptx")
        self.refuse("check", "--ptx", ptx, "--plugin", "x.so", *ONE_KEY, says="name two guests")
        self.assertIn("add --device emulated", self.expect(3, "check", "--ptx", ptx, *ONE_KEY).stdout)
        for flag in ("--backend cuda", "--isa avx2", "--threads 1"):
            self.assertIn(f"leave out {flag}", self.check(ptx, *ONE_KEY, *flag.split(), code=3).stdout)
        self.refuse("check", *EMULATED, "--ptx", ptx, *ONE_KEY, "--abi", "tvm-ffi", says="--abi is for --plugin")
        shutil.copy(self.folder / "copy.json", self.folder / "elsewhere.json")
        self.check(ptx, "--launch", "elsewhere.json", *ONE_KEY, "--pass", "forward")


if __name__ == "__main__":
    unittest.main()
