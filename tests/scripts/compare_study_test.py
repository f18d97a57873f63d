"""compare_study: verdicts counted by case, and which of them are errors."""

import json
import stat
import unittest

from harness import ScriptTest

# Answers as `flashbench compare` does, with the verdicts of a list, one a call.
PROGRAM = """#!/usr/bin/env python3
import json, pathlib, sys
left = pathlib.Path(__file__).with_suffix(".left")
verdicts = json.loads(left.read_text())
left.write_text(json.dumps(verdicts[1:]))
pathlib.Path(__file__).with_suffix(".argv").write_text(json.dumps(sys.argv))
if not verdicts:
    sys.exit("flashbench: no more")
case = {"type": "flash", "pass": "forward", "verdict": verdicts[0], "ratio": 1.0, "rounds": 8,
        "workload": {"b": 1, "h": 4, "h_kv": 2, "dtype": "f32", "q_len": 64, "kv_len": 64, "d": 32}}
print(json.dumps({"cases": [case]}))
sys.exit(verdicts[0] == "SLOWER")
"""


class CompareStudy(ScriptTest):
    def study(self, verdicts, *args, code=0):
        program = self.folder / "program"
        program.write_text(PROGRAM)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        program.with_suffix(".left").write_text(json.dumps(verdicts))
        return self.run_script("compare_study", "-n", len(verdicts) or 1, program, *args, code=code)

    def test_of_a_program_against_itself_a_difference_is_an_error(self):
        out = self.study(["SAME", "AMBIGUOUS", "SAME"]).stdout
        self.assertIn(
            "flash forward f32 b1 h4 hkv2 q64 d32: 2 SAME, 1 AMBIGUOUS; median ratio 1.000", out
        )
        self.assertIn("wrong verdicts, where SAME is true: 0", out)
        out = self.study(["SAME", "FASTER", "SLOWER"], code=1).stdout
        self.assertIn("wrong verdicts, where SAME is true: 2", out)

    def test_of_a_slower_program_the_same_is_an_error(self):
        self.study(["SLOWER", "AMBIGUOUS"], "--expect", "SLOWER", "other")
        self.study(["SLOWER", "SAME"], "--expect", "SLOWER", "other", code=1)

    def test_flags_go_to_bench_and_every_comparison_to_a_file(self):
        self.study(["SAME", "SAME"], "--json", "s.json", "--", "--q_len", "64")
        argv = json.loads((self.folder / "program.argv").read_text())
        self.assertEqual(argv[-3:], ["--", "--q_len", "64"])
        self.assertEqual(len(json.loads((self.folder / "s.json").read_text())), 2)

    def test_a_program_that_refuses_is_quoted(self):
        self.assertIn("no more", self.study([], code=1).stderr)


if __name__ == "__main__":
    unittest.main()
