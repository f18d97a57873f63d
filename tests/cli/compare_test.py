"""compare: two reports, the cases of one, two programs; what it prints and how it ends."""

import copy
import json
import os
import signal
import subprocess
import time
import unittest

from harness import DATA, FAST, PROGRAM, TINY, CliTest

# A program that answers as `flashbench bench --json -` would, at once: the report of template.json,
# FACTOR times as slow, with a scatter of some tenths of a percent from call to call.
FAKE = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
calls = here / (pathlib.Path(__file__).name + ".calls")
calls.open("a").write(" ".join(sys.argv[1:]) + "\\n")
n = len(calls.read_text().splitlines())
time.sleep(SLEEP)
report = json.loads((here / "template.json").read_text())
for r in report["results"]:
    for key in ("median", "min", "max", "mean"):
        r[key] *= FACTOR * (1 + 0.001 * (n * 7 % 5))
json.dump(report, sys.stdout)
"""


class ReportOfThisProgram(CliTest):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([PROGRAM, "bench", *TINY, *FAST, "--type", "flash,normal", "--json", "-"],
                              capture_output=True, text=True, check=True)
        cls.report = json.loads(done.stdout)
        for r in cls.report["results"]:  # quiet, whatever this machine does
            r["times"] = [1e-3 * (1 + 0.0005 * (i % 3)) for i in range(20)]
            r["median"] = 1.0005e-3
            r["calibration"] = {"medians": [1e-3, 1.001e-3] * 3, "spread": 0.0006}
            r["warnings"], r["others_cpus"], r["pct_peak"] = [], 0, 50
            r["lost"], r["marked"], r["disturbed"] = [0] * len(r["times"]), 0, False

    def write(self, name, change=lambda report: None):
        report = copy.deepcopy(self.report)
        change(report)
        (self.folder / name).write_text(json.dumps(report))
        return name



class Compare(ReportOfThisProgram):
    def slowed(self, factor):
        def change(report):
            r = report["results"][0]
            r["times"] = [t * factor for t in r["times"]]
            r["median"] *= factor
            r["calibration"]["medians"] = [m * factor for m in r["calibration"]["medians"]]
            r["pct_peak"] /= factor  # the peak stayed
        return change

    def test_the_same_is_the_same(self):
        done = self.expect(0, "compare", self.write("a.json"), self.write("b.json"))
        self.assertIn("2 cases: 2 SAME", done.stdout)
        self.assertEqual(done.stderr, "")

    def test_slower_fails_and_faster_does_not(self):
        base, fresh = self.write("a.json"), self.write("b.json", self.slowed(1.1))
        out = self.expect(1, "compare", base, fresh).stdout
        self.assertIn("1 SLOWER, 1 SAME", out)
        self.assertIn("takes over 3 % longer", out)
        self.expect(0, "compare", fresh, base)
        self.expect(0, "compare", base, fresh, "--fail_on", "ambiguous")
        self.expect(0, "compare", base, fresh, "--fail_on", "none")
        self.expect(0, "compare", base, fresh, "--threshold", "0.2")

    def test_ambiguous_fails_where_asked(self):
        def noisy(report):
            for r in report["results"]:
                r["calibration"]["spread"] = 0.2
        base, fresh = self.write("a.json"), self.write("b.json", noisy)
        self.assertIn("2 AMBIGUOUS", self.expect(0, "compare", base, fresh).stdout)
        self.expect(1, "compare", base, fresh, "--fail_on", "slower,ambiguous")

    def test_load_from_others_is_a_reason_and_no_verdict(self):
        def loaded(report):
            self.slowed(1.1)(report)
            r = report["results"][0]
            r["warnings"] = ["load from others: 10 % of the 2 processors while sampling; stop them"]
            r["others_cpus"] = 0.2
        out = self.expect(0, "compare", self.write("a.json"), self.write("b.json", loaded)).stdout
        self.assertIn("AMBIGUOUS: new: load from others: 10 % of the 2 processors", out)

    def test_missing_fails_where_asked(self):
        base, fresh = self.write("a.json"), self.write("b.json", lambda r: r["results"].pop())
        self.assertIn("only in a.json", self.expect(0, "compare", base, fresh).stdout)
        self.expect(1, "compare", base, fresh, "--fail_on", "missing")
        self.expect(0, "compare", fresh, base, "--fail_on", "missing")

    def test_a_result_that_became_wrong_always_fails(self):
        def wrong(report):
            r = report["results"][1]
            r["status"], r["reason"], r["check"]["verdict"] = "failed", "wrong result: O 9x", "fail"
        done = self.expect(1, "compare", self.write("a.json"), self.write("b.json", wrong),
                           "--fail_on", "none")
        self.assertIn("WRONG: wrong result: O 9x", done.stdout)

    def test_nothing_in_common_opens_no_gate(self):
        def other(report):
            for r in report["results"]:
                r["workload"]["d"] = 99
        done = self.expect(3, "compare", self.write("a.json"), self.write("b.json", other))
        self.assertIn("nothing was compared: no case of a.json is also in b.json; give both runs the same flags",
                      done.stderr)
        self.assertIn("exit code 3", done.stderr)

    def test_no_verdict_says_why_and_what_to_do(self):
        self.expect(0, "forward", *TINY, "--json", "one.json")
        done = self.expect(3, "compare", "one.json", "one.json")
        self.assertIn("no case could be judged: only 1 round; take more samples", done.stderr)
        self.expect(0, "bench", *TINY, *FAST, "--verify", "none", "--json", "none.json")
        done = self.expect(3, "compare", "none.json", "none.json")
        self.assertIn("no case has a number on both sides (new: not verified)", done.stderr)

    def test_what_is_no_report(self):
        self.write("a.json")
        tensors = DATA / "tiny_f32.safetensors"
        self.refuse("compare", "a.json", tensors, says=["is no report", "--json FILE", ".safetensors file"])
        self.refuse("compare", DATA / "tiny_q.npy", "a.json", says=["is no report", ".npy array"])
        self.refuse("compare", "a.json", "a.json", "--fail_on", "slowr", says="did you mean 'slower'?")
        self.refuse("compare", "a.json", "--by", "typ", says="did you mean 'type'?")

    def test_outputs(self):
        base, fresh = self.write("a.json"), self.write("b.json", self.slowed(1.1))
        done = self.expect(1, "compare", base, fresh, "--json", "-", "--md", "c.md")
        report = json.loads(done.stdout)
        self.assertEqual([c["verdict"] for c in report["cases"]], ["SLOWER", "SAME"])
        self.assertAlmostEqual(report["cases"][0]["ratio"], 1.1)
        self.assertIn("1 SLOWER", done.stderr)
        self.assertTrue((self.folder / "c.md").read_text().startswith("**2 cases: 1 SLOWER"))
        again = self.expect(1, "compare", base, fresh, "--json", "-", "--md", "c.md")
        self.assertEqual(done.stdout, again.stdout)

    def test_between_the_cases_of_one_report(self):
        out = self.expect(0, "compare", self.write("a.json", self.slowed(0.5)), "--by", "type").stdout
        self.assertIn("flash -> normal", out)
        self.assertIn("1 SLOWER", out)
        self.expect(1, "compare", "a.json", "--by", "type", "--fail_on", "slower")

    def test_bad_input(self):
        self.write("a.json")
        (self.folder / "no.json").write_text('{"benchmarks": []}')
        (self.folder / "text.json").write_text("hello")
        self.write("old.json", lambda r: r.update(schema_version=99))
        self.refuse("compare", says="two reports")
        self.refuse("compare", "a.json", says="two reports")
        self.refuse("compare", "a.json", "a.json", "a.json", says="got 3")
        self.refuse("compare", "a.json", "gone.json", says=["gone.json", "No such file"])
        self.refuse("compare", "a.json", "no.json", says=["no.json", "schema_version"])
        self.refuse("compare", "text.json", "a.json", says=["text.json", "not valid JSON"])
        self.refuse("compare", "a.json", "old.json", says="schema_version 99")
        self.refuse("compare", "a.json", "a.json", "--fail_on", "faster", says="'faster'")
        self.refuse("compare", "a.json", "a.json", "--threshold", "-1", says="--threshold")
        self.refuse("compare", "a.json", "--by", "colour", says="'colour'")
        self.refuse("compare", "a.json", "--by", "isa", says="no two cases differ in isa")
        self.refuse("compare", "a.json", "a.json", "--json", "-", "--md", "-", says="stdout")
        self.refuse("compare", "a.json", "a.json", "--json", "no/c.json", says="no/c.json")
        self.refuse("compare", "a.json", "a.json", "--q_len", "3", says="--q_len")
        self.refuse("compare", "a.json", "a.json", "--", "--d", "64", says="--run")
        self.refuse("compare", "a.json", "a.json", "--timeout", "1s", says="--run")
        self.refuse("bench", "--threshold", "0.1", says="it belongs to compare")


class Calibrate(CliTest):
    def test_fresh_runs_are_stored_and_read_back(self):
        (self.folder / "c.json").write_text(json.dumps(
            {"q_len": "32", "d": "16", "h": 1, "calibrate": True, "csv": "t.csv", "budget": "9s"}))
        for name in ("a.json", "b.json"):
            self.expect(0, "bench", *FAST, "--config", "c.json", "--causal", "--json", name)
        report = self.validated((self.folder / "a.json").read_text())
        for result in report["results"]:
            self.assertTrue(result["workload"]["causal"])
            if result["calibration"] is None:  # other programs disturbed it
                self.assertRegex("\n".join(result["warnings"]), "(?m)^(no calibration|disturbed)")
                continue
            self.assertEqual(len(result["calibration"]["medians"]), 6)
            self.assertGreater(result["calibration"]["spread"], 0)
        spreads = [r["calibration"]["spread"] for r in report["results"] if r["calibration"]]
        self.assertEqual(report["summary"]["between_run_spread"], max(spreads, default=None))
        self.assertIn("between_run_spread", (self.folder / "t.csv").read_text())
        done = self.run_program("compare", "a.json", "b.json", "--fail_on", "none")
        self.assertIn(done.returncode, (0, 3), "3 beside other programs: nothing can be judged")
        if len(spreads) == len(report["results"]):
            self.assertNotIn("no calibration is stored", done.stdout)

    def test_without_it_nothing_is_stored(self):
        report = self.bench_json(*TINY)
        self.assertIsNone(report["summary"]["between_run_spread"])
        self.assertIsNone(report["results"][0]["calibration"])


class ComparePrograms(ReportOfThisProgram):
    def program(self, name, factor=1.0, sleep=0.0, text=FAKE):
        if not (self.folder / "template.json").exists():
            self.write("template.json")
        path = self.folder / name
        path.write_text(text.replace("FACTOR", str(factor)).replace("SLEEP", str(sleep)))
        path.chmod(0o755)
        return f"./{name}"

    def calls(self, name):
        lines = (self.folder / f"{name}.calls").read_text().splitlines()
        return [line for line in lines if "--dry_run" not in line]

    def test_a_slow_program_is_found_and_the_others_go_on_in_turn(self):
        out = self.expect(1, "compare", "--run", self.program("old"), self.program("new", 1.2), "--",
                          "--d", "16").stdout
        self.assertIn("2 cases: 2 SLOWER", out)
        self.assertIn("base against itself", out)
        self.assertEqual(len(self.calls("new")), 8)
        self.assertEqual(len(self.calls("old")), 8 + 2 * 3)
        self.assertTrue(self.calls("new")[0].startswith("bench --d 16 --min_time"))

    def test_what_is_unclear_is_run_again_until_the_last_look(self):
        done = self.expect(0, "compare", "--run", self.program("old"), self.program("new", 1.03),
                           "--json", "c.json")
        self.assertIn("AMBIGUOUS", done.stdout)
        self.assertEqual(len(self.calls("new")), 64)
        self.assertEqual(json.loads((self.folder / "c.json").read_text())["cases"][0]["rounds"], 64)

    def test_programs_without_a_common_case_run_no_round(self):
        other = FAKE.replace('for r in report', 'for r in report["results"]: r["isa"] = "of another machine"\nfor r in report')
        line = self.refuse("compare", "--run", self.program("old"), self.program("new", text=other),
                           code=3, says=["nothing to compare", "--by isa"])
        self.assertEqual((self.calls("old"), self.calls("new")), ([], []), line)

    def test_time_is_kept(self):
        began = time.monotonic()
        out = self.expect(0, "compare", "--run", self.program("old", sleep=0.1),
                          self.program("new", 1.03, sleep=0.1), "--timeout", "3s").stdout
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("the time was over after", out)

    def test_the_real_program_against_itself(self):
        done = self.run_program("compare", "--run", PROGRAM, PROGRAM, "--timeout", "8s", "--",
                                *TINY, *FAST, "--type", "flash")
        self.assertIn("AMBIGUOUS" if "AMBIGUOUS" in done.stdout else "SAME", done.stdout)
        self.assertIn(f"base {PROGRAM}: flashbench", done.stdout)

    def test_a_program_that_fails_is_named_with_its_command(self):
        self.program("old")
        broken = self.program("new", text="#!/bin/sh\necho first >&2; echo boom >&2; exit 1\n")
        line = self.refuse("compare", "--run", "./old", broken, "--", "--d", "16", code=1, says="boom")
        self.assertIn("./new bench --d 16", line)
        self.assertNotIn("first", line)
        killed = self.program("new", text="#!/bin/sh\nkill -9 $$\n")
        self.refuse("compare", "--run", "./old", killed, code=1, says="exit 137")
        liar = self.program("new", text="#!/bin/sh\necho '{}'\n")
        self.refuse("compare", "--run", "./old", liar, says="'./new' wrote")

    def test_flags_that_bench_refuses(self):
        self.refuse("compare", "--run", PROGRAM, PROGRAM, "--", "--qlen", "3", says="'--qlen'")

    def test_bad_programs_and_words(self):
        self.program("old")
        self.refuse("compare", "--run", "./old", "./gone", says=["./gone", "does not exist"])
        self.refuse("compare", "--run", "./old", "./template.json", says="not executable")
        self.refuse("compare", "--run", "no_such_flashbench", "./old", says="No such file")
        self.refuse("compare", "--run", "./old", says="--run")
        self.refuse("compare", "a.json", "--run", "./old", "./old", says="a.json")
        self.refuse("compare", "--run", "./old", "./old", "--", "--json", "x", says="--json")
        self.refuse("compare", "--run", "./old", "./old", "--", "64", says="flags of bench")

    def test_ctrl_c_keeps_the_rounds_and_leaves_no_process(self):
        self.program("old", sleep=0.05)
        self.program("new", 1.03, sleep=0.05)
        process = subprocess.Popen([PROGRAM, "compare", "--run", "./old", "./new"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not (self.folder / "new.calls").exists() or len(self.calls("new")) < 12:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("interrupted after", out)
        calls = len(self.calls("new"))
        time.sleep(0.3)
        self.assertEqual(len(self.calls("new")), calls)

    def test_a_child_that_ignores_the_signal_does_not_outlive(self):
        stubborn = "#!/bin/sh\ntrap '' TERM\necho $$ > pid\nsleep 60 & wait; sleep 60\n"
        self.program("old", text=stubborn)
        process = subprocess.Popen([PROGRAM, "compare", "--run", "./old", "./old"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        while not (self.folder / "pid").exists() or not (self.folder / "pid").read_text().strip():
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 143)
        with self.assertRaises(ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), 0)


if __name__ == "__main__":
    unittest.main()
