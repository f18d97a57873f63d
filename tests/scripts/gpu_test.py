"""scripts/gpu without a GPU, and with one that a stand-in for the programs claims to see."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest
from unittest import mock

import gpu_reports
from harness import SCRIPTS, ScriptTest

import asking
import runner

HERE = pathlib.Path(__file__).resolve().parent


class OnAStandIn(ScriptTest):
    def setUp(self):
        super().setUp()
        self.answers = {"gpu": gpu_reports.GPU, "steps": {"pytorch": {"code": 1}}}
        self.out = self.folder / "reports"
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.dev = self.folder / "dev"
        self.dev.mkdir()
        (self.dev / "nvidia0").touch()

    def stand_in(self, name):
        shutil.copy(HERE / "gpu_stand_in.py", self.bin / name)
        (self.bin / name).chmod(0o755)
        return str(self.bin / name)

    def start(self, *args):
        (self.bin / "answers.json").write_text(json.dumps(self.answers))
        python = self.stand_in("python")
        env = dict(os.environ, FLASHBENCH_DEV=str(self.dev), FLASHBENCH_PEERS_PYTHON=python)
        env["FLASHBENCH"] = self.stand_in("flashbench")
        env["PATH"] = f"{self.bin}:{env['PATH']}"
        return subprocess.Popen(
            [SCRIPTS / "gpu", self.out, *args],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def gpu(self, *args, code=0):
        process = self.start(*args)
        self.stdout, self.stderr = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, self.stdout + self.stderr)

    def calls(self):
        """Those that measure something."""
        lines = (self.bin / "calls").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [c for c in calls if "--dry_run" not in c and c[0] != "-c"]

    def summary(self):
        return json.loads((self.out / "summary.json").read_text())

    def step(self, name):
        (step,) = (step for step in self.summary()["steps"] if step["name"] == name)
        return step

    def states(self):
        """Of all that was planned."""
        steps = self.summary()["steps"]
        return {step["name"]: step["state"] for step in steps if step["name"] != "plan"}


class WithoutAGpu(OnAStandIn):
    def test_it_says_so_and_does_nothing(self):
        (self.dev / "nvidia0").unlink()
        self.gpu(code=3)
        self.assertEqual(self.stdout, "")
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        self.assertIn("no NVIDIA GPU on this machine", self.stderr)
        self.assertFalse(self.out.exists())

    def test_a_gpu_that_cannot_be_used_ends_it(self):
        self.answers["cuda"] = {"available": False, "reason": "no driver"}
        self.gpu(code=3)
        self.assertIn("the GPU cannot be used: no driver", self.stderr)
        self.assertEqual(len(self.calls()), 1)

    def test_the_plan_needs_none(self):
        (self.dev / "nvidia0").unlink()
        self.gpu("--dry_run", "--only", "d512")
        self.assertIn("--kernel fast_sm90a,simt_f32,normal_x", self.stdout, "without old_sm80")
        self.assertFalse(self.out.exists())

    def test_the_plan_is_within_its_budget(self):
        for budget, words in ((600, ()), (60, ("--budget", "1m"))):
            self.gpu("--dry_run", *words)
            total = int(re.search(rf"steps, (\d+) s of {budget} s", self.stdout)[1])
            self.assertLess(total, budget)
            self.assertIn("dropped: sweep_bf16, which wants 240 s and more", self.stdout)

    def test_the_steps_are_listed(self):
        self.gpu("--list")
        listed = self.stdout.splitlines()
        self.assertRegex(listed[0], r"^info +which card")
        self.assertTrue(any(line.startswith("decode ") for line in listed))

    def test_a_program_that_is_built_already_is_no_reason_to_build(self):
        (self.dev / "nvidia0").unlink()
        self.gpu("--build_only")
        self.assertIn("FLASHBENCH=", self.stderr)
        self.assertFalse((self.bin / "calls").exists())

    def test_a_program_that_is_not_there_is_named(self):
        for args in ((), ("--build_only",)):
            done = subprocess.run(
                [SCRIPTS / "gpu", *args],
                env=dict(os.environ, FLASHBENCH_DEV=str(self.dev), FLASHBENCH="/nonexistent/x"),
                capture_output=True,
                text=True,
            )
            self.assertEqual(done.returncode, 2)
            self.assertIn("there is no program /nonexistent/x", done.stderr)


class Steps(OnAStandIn):
    def test_all_of_them_in_order(self):
        self.stand_in("compute-sanitizer")
        self.answers["steps"]["pytorch"] = {"code": 0}
        self.gpu()
        states = self.states()
        self.assertEqual({s for s in states.values()}, {"ok"})
        order = ["info", "check_fast_sm90a", "utilisation_forward_d64_fast_sm90a", "forward"]
        order += ["forward_pytorch", "backward", "backward_pytorch", "d512", "decode", "f32"]
        order += [
            "utilisation_forward_d64_old_sm80",
            "memcheck_bf16",
            "racecheck_f32",
            "initcheck_f32",
        ]
        self.assertEqual([name for name in states if name in order], order)
        racecheck = next(call for call in self.calls() if "racecheck" in call)
        self.assertEqual(racecheck[racecheck.index("--kernel") + 1], "old_sm80")
        beside = next(call for call in self.calls() if call[0].endswith("scripts/peers"))
        self.assertIn("flashbench:old_sm80,pytorch:sdpa_cudnn,", " ".join(beside))
        self.assertNotIn("cmake", self.stderr)

    def test_a_failed_step_stops_no_other(self):
        self.answers["steps"]["decode"] = {"code": 1, "says": "flashbench: it broke"}
        self.gpu("--only", "d512,decode,f32", code=1)
        self.assertEqual(
            self.states(), {"info": "ok", "d512": "ok", "decode": "failed", "f32": "ok"}
        )
        self.assertIn("failed: decode", self.stderr)
        self.assertIn("exit code 1: flashbench: it broke", (self.out / "summary.md").read_text())
        self.assertEqual((self.out / "decode.txt").read_text(), "flashbench: it broke\n")

    def test_a_hanging_step_is_stopped_and_named(self):
        first, second = (f"utilisation_forward_d64_{name}" for name in ("fast_sm90a", "old_sm80"))
        self.answers["steps"][first] = {"sleep": 100, "says": "begun"}
        began = time.monotonic()
        self.gpu("--budget", "20s", "--only", "utilisation_forward_d64*", code=1)
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(self.states(), {"info": "ok", first: "stopped"})
        self.assertRegex(self.stderr, rf"{first}: stopped: did not end within \d+ s")
        self.assertIn(f"failed: {first}", self.stderr)
        self.assertIn(f"dropped for want of time: {second}", self.stderr)
        summary = (self.out / "summary.md").read_text()
        self.assertIn(f"Dropped for want of time: {second}.", summary)

    def test_what_cannot_run_here_is_no_failure(self):
        self.answers["steps"]["d512"] = {"code": 3, "says": "needs 68.7 GB"}
        self.gpu("--only", "d512,decode")
        self.assertEqual(self.states()["d512"], "skipped")
        self.assertIn("nothing of it can run here: d512", self.stderr)
        self.gpu("--only", "d512", code=3)

    def test_a_report_that_is_not_understood_fails_its_step_only(self):
        for report, why in (
            ({"results": [{}]}, "its report is not understood: KeyError"),
            ([1], "its report is not understood: ValueError: it is no object"),
            ({"results": [], "peaks": ["x"]}, "its report is not understood: AttributeError"),
            (None, "it wrote no report"),
        ):
            self.answers["steps"]["d512"] = {"report": report}
            self.gpu("--only", "d512,decode", code=1)
            states = {"info": "ok", "d512": "not understood", "decode": "ok"}
            self.assertEqual(self.states(), states)
            self.assertIn(f"d512: not understood: {why}", self.stderr)
            self.assertIn("failed: d512", self.stderr)
            self.assertIn(why, self.stdout)

    def test_why_a_step_failed_is_not_lost_with_its_report(self):
        self.answers["steps"]["d512"] = {"code": 1, "says": "it broke", "report": [1]}
        self.gpu("--only", "d512", code=1)
        step = self.step("d512")
        self.assertEqual(step["state"], "failed")
        self.assertRegex(step["reason"], "^exit code 1: it broke; its report is not understood: ")

    def test_info_that_is_not_understood_ends_it(self):
        for report in ([1], {"results": []}, {"context": {"gpu": {}}, "kernels": []}):
            self.answers["steps"]["info"] = {"report": report}
            self.gpu(code=1)
            self.assertIn("nothing is known of the GPU: its report is not under", self.stderr)
            self.assertEqual(self.states(), {"info": "not understood"})

    def test_nothing_ran_for_want_of_time(self):
        self.gpu("--budget", "10s", "--only", "d512", code=3)
        self.assertIn("dropped for want of time: d512", self.stderr)

    def test_an_interrupt_keeps_what_is_done(self):
        self.answers["steps"]["decode"] = {"sleep": 100, "says": "decode has begun"}
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start("--only", "d512,decode,f32")
            for line in process.stdout:
                if "decode has begun" in line:
                    break
            process.send_signal(number)
            process.communicate(timeout=30)
            self.assertEqual(process.returncode, code)
            self.assertEqual(self.states(), {"info": "ok", "d512": "ok", "decode": "interrupted"})

    def test_candidates_go_beside_the_kernel_that_is_chosen(self):
        self.gpu("--candidates", "simt_f32", "--only", "decode")
        (call,) = [call for call in self.calls() if call[0] == "bench"]
        self.assertEqual(call[call.index("--kernel") + 1], "fast_sm90a,simt_f32,normal_x")
        self.gpu("--candidates", "nonesuch", code=2)
        self.assertIn("nonesuch: the program has fast_sm90a, old_sm80,", self.stderr)
        self.gpu("--only", "nonesuch", code=2)
        self.assertIn("--only nonesuch: no such step", self.stderr)

    def test_what_is_not_installed_is_left_out(self):
        self.gpu("--only", "forward_pytorch,f32")
        self.assertEqual(self.states()["forward_pytorch"], "left out")
        self.assertIn("has no PyTorch with CUDA", self.stderr)

    def test_the_report_of_an_earlier_run_is_not_taken_for_this_one(self):
        report = gpu_reports.report(gpu_reports.kernel("fast_sm90a", [1e-3] * 8))
        self.answers["steps"]["decode"] = {"report": report}
        self.gpu("--only", "decode")
        self.assertEqual(len(self.summary()["in_turns"]), 1)
        self.answers["steps"]["decode"] = {"code": 1, "report": None}
        self.gpu("--only", "decode", code=1)
        self.assertEqual(self.summary()["in_turns"], [])

    def test_nor_where_its_step_does_not_run(self):
        peers = gpu_reports.peers("flash forward bf16 d128", flashbench=[1e-3], pytorch__x=[2e-3])
        bench = gpu_reports.report(gpu_reports.kernel("fast_sm90a", [1e-3] * 8))
        self.answers["steps"] = {"forward_pytorch": {"report": peers}, "f32": {"report": bench}}
        self.gpu("--only", "forward_pytorch,f32")
        self.assertEqual(len(self.summary()["peers"]), 2)
        self.assertEqual(len(self.summary()["in_turns"]), 1)
        self.answers["steps"]["pytorch"] = {"code": 1}
        self.gpu("--budget", "12s", "--only", "forward_pytorch,f32", code=3)
        self.assertEqual(self.states(), {"info": "ok", "forward_pytorch": "left out"})
        self.assertEqual(self.summary()["dropped"], ["f32"])
        self.assertEqual((self.summary()["peers"], self.summary()["in_turns"]), ([], []))
        self.assertEqual([path.name for path in self.out.glob("f*")], [])


class Questions(OnAStandIn):
    """Before the first step."""

    def test_they_are_a_step_that_takes_time(self):
        self.answers["steps"]["dry_run"] = {"sleep": 0.2}
        self.gpu("--only", "d512")
        self.assertEqual(self.step("plan")["state"], "ok")
        self.assertGreater(self.step("plan")["seconds"], 0.4)

    def test_a_dry_run_that_hangs_is_given_up_and_no_other_begun(self):
        self.answers["steps"]["dry_run"] = {"sleep": 100}
        began = time.monotonic()
        self.gpu("--budget", "36s", "--only", "d512")
        self.assertLess(time.monotonic() - began, 60)
        lines = [line for line in self.stderr.splitlines() if "every kernel is tried" in line]
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r"flashbench check: no answer within \d s$")
        self.assertEqual(self.step("plan")["state"], "in doubt")
        self.assertIn("no answer within", self.step("plan")["reason"])
        (call,) = [call for call in self.calls() if call[0] == "bench"]
        kernels = "fast_sm90a,old_sm80,simt_f32,normal_x"
        self.assertEqual(call[call.index("--kernel") + 1], kernels)
        asked = (self.bin / "calls").read_text().count("--dry_run")
        self.assertEqual(asked, 1)

    def test_a_dry_run_that_is_refused_is_told_once(self):
        for answer, why in (
            ({"code": 2, "says": "flashbench: a bad day"}, r"flashbench check: a bad day"),
            ({"report": {"results": [{}]}}, "its answer is not understood: KeyError: .*"),
        ):
            self.answers["steps"]["dry_run"] = answer
            self.gpu("--only", "d512")
            lines = [line for line in self.stderr.splitlines() if "every kernel is tried" in line]
            self.assertEqual(len(lines), 1, self.stderr)
            self.assertRegex(lines[0], rf"which take the cases: \S*{why}$")

    def test_a_pytorch_that_hangs_is_left_out(self):
        self.answers["steps"]["pytorch"] = {"sleep": 100}
        self.gpu("--budget", "36s", "--only", "d512,forward_pytorch")
        self.assertEqual(self.states()["forward_pytorch"], "left out")
        self.assertRegex(self.stderr, r"left out: .*/python -c: no answer within \d s")

    def test_no_question_takes_much_of_what_is_left(self):
        self.assertEqual([asking.limit_s(left_s) for left_s in (600, 40, 1, -3)], [60, 10, 1, 1])


class OneStep(ScriptTest):
    def run_it(self, script, seconds=10):
        with mock.patch.object(runner, "GRACE_S", 0.5), contextlib.redirect_stdout(io.StringIO()):
            return runner.run(["sh", "-c", script], self.folder / "said.txt", seconds)

    def test_how_it_ended(self):
        self.assertEqual(self.run_it("echo a; exit 0"), ("ok", "", 0))
        self.assertEqual(self.run_it("echo a; echo b >&2; exit 1"), ("failed", "exit code 1: b", 1))
        self.assertEqual((self.folder / "said.txt").read_text(), "a\nb\n")
        self.assertEqual(self.run_it("exit 3"), ("skipped", "exit code 3: it said nothing", 3))
        state, reason, code = runner.run(["/nonexistent"], self.folder / "said.txt", 10)
        self.assertEqual((state, code), ("failed", None))
        self.assertIn("/nonexistent: No such file", reason)

    def test_what_takes_no_interrupt_is_killed_with_all_that_it_started(self):
        began = time.monotonic()
        script = "trap '' INT; sh -c 'echo $$; sleep 100; true'; sleep 100"
        state, reason, _ = self.run_it(script, seconds=0.5)
        self.assertEqual((state, reason), ("stopped", "did not end within 0 s"))
        self.assertLess(time.monotonic() - began, 20)
        child = int((self.folder / "said.txt").read_text())
        for _ in range(100):
            stat = pathlib.Path(f"/proc/{child}/stat")
            if not stat.exists() or stat.read_text().split()[2] == "Z":
                break
            time.sleep(0.05)
        else:
            self.fail("the child lives on")

    def test_an_interrupt_while_it_starts_ends_it(self):
        class Came(Exception):
            pass

        def raise_it(*_):
            raise Came

        started = []

        def start(words):
            started.append(runner_start(words))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # where it would be raised
            return started[0]

        runner_start, before = runner.start, signal.signal(signal.SIGTERM, raise_it)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        with mock.patch.object(runner, "start", start), self.assertRaises(Came):
            self.run_it("sleep 100")
        self.addCleanup(started[0].stdout.close)
        self.assertEqual(started[0].returncode, -signal.SIGINT)
        self.assertIs(signal.getsignal(signal.SIGTERM), raise_it)

    def test_a_group_is_not_signalled_once_its_number_may_be_of_others(self):
        process = runner.start(["true"])
        self.addCleanup(process.stdout.close)
        self.assertTrue(runner.ended(process, 10))
        self.assertIsNone(process.returncode, "reaped, its number is free")
        with mock.patch.object(os, "killpg", wraps=os.killpg) as killpg:
            runner.stop(process)
            self.assertEqual(process.returncode, 0)
            count = killpg.call_count
            runner.stop(process)
            self.assertEqual(killpg.call_count, count)

    def test_a_slow_step_may_take_of_what_later_ones_have_but_no_more(self):
        self.assertEqual(runner.limit_s(10, 600), 25)
        self.assertEqual(runner.limit_s(10, 20), 20 - runner.GRACE_S)


if __name__ == "__main__":
    unittest.main()
