"""The plan of scripts/gpu: its time, its order, and that the real programs take its commands."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

from harness import PROGRAM, SCRIPTS, ScriptTest

import plan

KERNELS = {"new_sm90a": "flash", "old_sm80": "flash", "simt_f32": "flash", "normal_x": "normal"}


def instruments(program="flashbench", **changes):
    given = dict(kernels=KERNELS, candidates=(), takes=lambda flags: KERNELS, python="python3")
    return plan.Instruments(program, **{**given, **changes})


def whole_plan(**changes):
    return [plan.info_step("flashbench"), *plan.steps(instruments(**changes))]


def step(name, least_s, most_s, spare=False):
    return plan.Step(name, "", (), least_s, most_s, "", spare=spare)


class Sharing(unittest.TestCase):
    def test_later_steps_are_shortened_and_dropped_first(self):
        steps = [step("a", 10, 20), step("b", 10, 20), step("c", 5, 5)]
        self.assertEqual(plan.share(steps, 100), {"a": 20, "b": 20, "c": 5})
        self.assertEqual(plan.share(steps, 37), {"a": 20, "b": 12, "c": 5})
        self.assertEqual(plan.share(steps, 24), {"a": 14, "b": 10})
        self.assertEqual(plan.share(steps, 16), {"a": 11, "c": 5})
        self.assertEqual(plan.share(steps, 1), {})

    def test_a_step_for_spare_time_shortens_no_other(self):
        steps = [step("sweep", 50, 100, spare=True), step("a", 10, 40)]
        self.assertEqual(plan.share(steps, 60), {"a": 40})
        self.assertEqual(plan.share(steps, 95), {"a": 40, "sweep": 55})


class Plan(unittest.TestCase):
    def test_ten_minutes_hold_all_but_the_sweeps(self):
        steps = whole_plan()
        shares = plan.share(steps, 595)
        self.assertLessEqual(sum(shares.values()), 595)
        self.assertEqual(
            [s.name for s in steps if s.name not in shares], ["sweep_bf16", "sweep_f32"]
        )
        self.assertEqual(set(plan.share(steps, 3600)), {s.name for s in steps})

    def test_names_are_of_one_step_each(self):
        names = [s.name for s in whole_plan()]
        self.assertEqual(len(names), len(set(names)))

    def test_time_decides_the_rounds_beside_pytorch(self):
        (peers,) = [s for s in whole_plan() if s.name == "forward_pytorch"]
        words = peers.words(peers.least_s, "F")
        self.assertEqual(words[words.index("--rounds") + 1], "1")
        words = peers.words(3.5 * peers.least_s, "F")
        self.assertEqual(words[words.index("--rounds") + 1], "3")
        self.assertIn("F/forward_pytorch.json", words)

    def test_only_what_takes_minutes_gets_a_budget(self):
        budgets = {
            s.name: words[words.index("--budget") + 1]
            for s in whole_plan()
            if "--budget" in (words := s.words(300, "F"))
        }
        self.assertEqual(budgets, {"sweep_bf16": "270.0s", "sweep_f32": "270.0s"})

    def test_a_kernel_stands_in_the_steps_that_it_takes(self):
        takes = {"--d 512": {"simt_f32", "normal_x"}}
        steps = whole_plan(
            takes=lambda flags: next((t for f, t in takes.items() if f in flags), KERNELS)
        )
        forced = [s for s in steps if "--kernel" in s.command]
        kernels = {s.name: s.command[s.command.index("--kernel") + 1] for s in forced}
        self.assertEqual(kernels["d512"], "simt_f32,normal_x")
        self.assertEqual(kernels["forward"], "new_sm90a,old_sm80", "beside simt_f32 a board cools")
        self.assertEqual(kernels["f32"], "new_sm90a,old_sm80,simt_f32,normal_x")
        self.assertEqual(kernels["racecheck_bf16"], "old_sm80")

    def test_new_kernels_are_checked_first(self):
        checks = [s.name for s in whole_plan(candidates=("simt_f32",)) if s.kind == "check"]
        self.assertEqual(checks[0], "check_simt_f32")
        self.assertEqual(len(checks), len(KERNELS))

    def test_clocks_and_watts_come_first_of_the_kernels_that_are_asked_for(self):
        chosen, other = (f"utilisation_backward_d256_{name}" for name in ("new_sm90a", "old_sm80"))
        for candidates, order in (
            ((), [chosen, "forward", "f32", other]),
            (("old_sm80",), [chosen, other, "forward", "f32"]),
        ):
            names = [s.name for s in whole_plan(candidates=candidates)]
            self.assertEqual([name for name in names if name in order], order)

    def test_without_a_program_the_kernel_that_is_chosen_stands_for_all(self):
        steps = whole_plan(kernels={}, takes=lambda flags: ())
        self.assertFalse([s for s in steps if "--kernel" in s.command])
        self.assertEqual(set(plan.share(steps, 600)), {s.name for s in steps if not s.spare})


@unittest.skipUnless(pathlib.Path(PROGRAM).exists(), f"no {PROGRAM}")
class RealPrograms(ScriptTest):
    """Hiding every GPU, each command ends with "there is none" where its flags are right."""

    def gpu(self, *args):
        done = self.start([SCRIPTS / "gpu", *args, "FOLDER"])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def start(self, command):
        env = dict(os.environ, FLASHBENCH=PROGRAM, FLASHBENCH_PEERS_PYTHON=sys.executable)
        env.update(CUDA_VISIBLE_DEVICES="", OMP_WAIT_POLICY="passive")
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=self.folder)

    def test_each_command_of_the_plan_is_taken(self):
        printed = self.gpu("--dry_run", "--budget", "60m")
        commands = [shlex.split(line) for line in re.findall(r"^ {13}(.+)$", printed, re.M)]
        self.assertGreater(len(commands), 20)
        (self.folder / "FOLDER").mkdir()
        for words in commands:
            if words[0] == "compute-sanitizer":
                words = words[words.index(PROGRAM) :]
            code = 0 if words[1] == "info" else 2 if words[1].endswith("scripts/peers") else 3
            done = self.start(words)
            self.assertEqual(done.returncode, code, f"{words}: {done.stderr}")
            self.assertIn("CUDA_VISIBLE_DEVICES is empty", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
