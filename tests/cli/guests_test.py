"""Other people's kernels in libraries: those that are right, those that crash, and those that cheat."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import unittest

from guest_harness import EXAMPLES, HEADER, SMALL, GuestTest, digest, plugin
from harness import FAST, ROOT


class Plugins(GuestTest):
    def test_the_example_is_judged_like_a_kernel_of_the_program(self):
        report = self.check_json("--plugin", plugin("attention"), "--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "33",
                                 "--kv_len", "50", "--d", "24", "--causal", "true,false", "--mask", "none,random",
                                 "--pass", "forward")
        self.assertEqual(len(report["results"]), 4)
        for result in report["results"]:
            self.assertEqual((result["type"], result["kernel"], result["backend"]), ("plugin", "online_softmax", "cpu"))
            self.assertEqual(result["check"]["verdict"], "pass")
            self.assertEqual(result["plugin"], plugin("attention"))
            self.assertEqual(result["guest"], {"description": "one query at a time, f32", "build": "",
                                               "abi": "flashbench_kernel 1", "sha256": digest(plugin("attention")),
                                               "isolated": True, "rounds": []})
            again = self.run_program(*shlex.split(result["command"])[1:])
            self.assertEqual(again.returncode, 0, again.stderr)

    def test_what_it_does_not_compute_is_skipped_with_its_words(self):
        done = self.expect(3, "check", "--plugin", plugin("attention"), "--q_len", "16", "--d", "8", "--softcap", "30")
        self.assertIn("online_softmax: forward alone, with a causal or a key mask at most", done.stdout)
        done = self.expect(3, "forward", "--plugin", plugin("attention"), "--q_len", "16", "--d", "8", "--dtype", "bf16")
        self.assertIn("online_softmax: f32 alone", done.stderr)

    def test_it_stands_beside_flash_and_normal_in_one_table(self):
        report = self.bench_json("--plugin", plugin("own_kernel"), "--h", "2", "--q_len", "128", "--d", "32",
                                 "--pass", "forward,backward,both")
        self.assertEqual([r["type"] for r in report["results"]], ["flash", "normal", "plugin"] * 3)
        for result in report["results"]:
            self.assertEqual(result["status"], "ok", result["reason"])
            self.assertEqual(result["check"]["verdict"], "pass")
        for peak in report["peaks"]:
            same = [p for p in report["peaks"] if (p["isa"], p["dtype"]) == (peak["isa"], peak["dtype"])]
            self.assertEqual(len(same), 1, "a guest has the processor's peaks")

    def test_compare_puts_it_beside_flash(self):
        self.bench_json("--plugin", plugin("own_kernel"), "--type", "flash,plugin", "--h", "2", "--q_len", "64", "--d", "32")
        done = self.run_program("compare", "--by", "type", "validated.json")
        self.assertIn("flash -> plugin", done.stdout, done.stderr)
        self.assertIn(done.returncode, (0, 3))

    def test_forward_and_backward_take_it(self):
        for command in ("forward", "backward"):
            done = self.expect(0, command, "--plugin", plugin("own_kernel"), "--q_len", "64", "--d", "32", "--profile",
                               "--output", f"{command}.safetensors")
            self.assertRegex(done.stdout, r"kernel +own_flash, cpu, \d+ threads?\n")
            self.assertRegex(done.stdout, "verdict +pass")
        self.assertTrue((self.folder / "backward.safetensors").stat().st_size > 0)

    # Every feature passes through the interface: masks, windows, sinks, sequences, pages, 8 bits, ...
    # All but keys in pieces, which the interface of plug-ins does not have.
    def test_our_own_kernels_pass_the_suite_as_a_plugin(self):
        done = self.expect(0, "check", "--plugin", plugin("own_kernel"), "--quiet", "--json", "-")
        results = json.loads(done.stdout)["results"]
        self.assertEqual({r["status"] for r in results}, {"ok", "skipped"})
        skipped = {r["reason"] for r in results if r["status"] == "skipped"}
        self.assertEqual(skipped, {"own_flash does not support --kv_chunk"})
        self.assertGreater(sum(r["status"] == "ok" for r in results), 3000)

    def test_over_ranks_it_is_skipped_and_not_passed_alone(self):
        results = self.check_json("--plugin", plugin("attention"), *SMALL, "--context_parallel", "ring", "--ranks", "2", code=3)["results"]
        self.assertEqual({r["status"] for r in results}, {"skipped"})
        self.assertIn("parts", results[0]["reason"])

    def test_how_it_is_kept_is_said_by_a_word(self):
        self.refuse("check", "--plugin", plugin("attention"), *SMALL, "--isolate", "",
                    says="--isolate must be true or false, got ''")

    # On a terminal a table would begin in the middle of its line.
    def test_a_line_of_its_without_an_end_gets_one(self):
        done = self.expect(0, "check", "--plugin", plugin("attacks"), *SMALL, env={"ATTACK": "prints_no_end"})
        self.assertRegex(done.stderr, "half a line\n")
        self.assertNotIn("half a linehalf", done.stderr)

    def test_without_isolation_it_runs_in_the_process(self):
        report = self.check_json("--plugin", plugin("attention"), *SMALL, "--isolate", "false")
        self.assertTrue(all(r["check"]["verdict"] == "pass" for r in report["results"]))
        self.assertFalse(report["results"][0]["guest"]["isolated"])
        for isolate, told in (("true", "in a process of its own"), ("false", "in this program's process")):
            # Alone: of comparisons with others there may be so many that the summary has no line left.
            done = self.expect(0, "bench", *FAST, "--plugin", plugin("attention"), "--type", "plugin", "--q_len", "64",
                               "--d", "16", "--pass", "forward", "--isolate", isolate)
            self.assertIn(f"plugin is a plug-in's kernel {told}", done.stdout)
            self.assertEqual(done.stdout.count("process"), 1, done.stdout)

    # One that is read in the other layout computes something else.
    def test_rows_of_a_token_lie_together_where_a_plugin_wants_that(self):
        problem = ["--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "33", "--kv_len", "50", "--d", "24", "--pass", "forward"]
        for name in ("attention", "attention_of_tokens"):
            self.expect(0, "check", "--plugin", plugin(name), *problem, "--mask", "none,random")

    def test_what_it_rounds_besides_is_in_the_report(self):
        result = self.check_json("--plugin", plugin("attacks"), *SMALL, env={"ATTACK": "rounds_heads"})["results"][0]
        self.assertEqual(result["guest"]["rounds"], ["gradients_of_query_heads"])
        self.assertEqual(result["warnings"], [], "a forward of equal heads has no such rounding")
        self.refuse("check", "--plugin", plugin("attacks"), *SMALL, env={"ATTACK": "rounds_more"},
                    says="rounds what this program knows nothing of (0x6)")

    # Kernels of equal names are told apart by their files.
    def test_two_plugins_stand_in_one_table_and_both_are_judged(self):
        shutil.copy(plugin("attention"), self.folder / "first.so")
        shutil.copy(plugin("attacks"), self.folder / "wrong.so")
        shutil.copy(plugin("attention"), self.folder / "second.so")
        guests = ["--plugin", "./first.so,./second.so,./wrong.so"]
        done = self.expect(1, "bench", *FAST, *guests, "--q_len", "32,48", "--d", "16", "--quiet", "--explain", "--json",
                           "r.json", env={"ATTACK": "zeros"})
        report = self.validated((self.folder / "r.json").read_text())
        self.assertEqual([(r["type"], r["plugin"]) for r in report["results"][:5]],
                         [("flash", None), ("normal", None), ("plugin", "./first.so"), ("plugin", "./second.so"),
                          ("plugin", "./wrong.so")])
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "ok", "ok", "ok", "failed"] * 2, done.stdout)
        for name in ("./first.so", "./second.so"):
            self.assertEqual(len(re.findall(rf"^plugin .* {name}:online_softmax ", done.stdout, re.M)), 2, done.stdout)
            self.assertIn(f"{name}:online_softmax", done.stdout.split("\n\n", 2)[2], "and in sentences")
        self.assertRegex(done.stdout, "(?m)^plugin .* attack ")

        done = self.expect(1, "check", *guests, "--q_len", "32", "--d", "16", "--pass", "forward", "--quiet",
                           env={"ATTACK": "zeros"})
        for name, verdict in (("first", "pass"), ("second", "pass"), ("wrong", "FAIL")):
            self.assertRegex(done.stdout, rf"(?m)^plugin ./{name}.so, forward, .* {verdict}")
        done = self.expect(0, "check", *guests, "--list")
        names = [line.split()[0] for line in done.stdout.splitlines()]
        self.assertEqual(len(set(names)), len(names), "no two cases have one name")

    def test_operands_that_no_cache_holds(self):
        report = self.bench_json("--plugin", plugin("own_kernel"), "--q_len", "64", "--d", "32", "--cache", "cold",
                                 "--pass", "forward,both")
        for result in report["results"]:
            self.assertEqual((result["status"], result["cache"]), ("ok", "cold"), result["reason"])
            self.assertEqual(result["check"]["verdict"], "pass")

    # Reports on stdout are nothing but reports, and threads are those of the case.
    def test_what_it_prints_in_this_process_goes_to_stderr(self):
        done = self.expect(0, "check", "--plugin", plugin("attacks"), *SMALL, "--isolate", "false", "--quiet", "--json", "-",
                           env={"ATTACK": "prints"})
        self.assertEqual(len(self.validated(done.stdout)["results"]), 2)
        self.assertIn("of the plug-in", done.stderr)

    # With code 0 it would look as if all had passed.
    def test_who_ends_this_process_is_told(self):
        done = self.expect(1, "check", "--plugin", plugin("attacks"), *SMALL, "--isolate", "false", env={"ATTACK": "polite_exit"})
        self.assertIn("the plug-in has called exit()", done.stderr)

    def test_in_this_process_too_it_has_the_threads_of_the_case(self):
        for threads in ("1", "3"):
            for isolate in ("true", "false"):
                done = self.expect(1, "check", "--plugin", plugin("attacks"), "--q_len", "40", "--d", "16", "--pass", "forward",
                                   "--isolate", isolate, "--threads", threads, env={"ATTACK": "count_threads"})
                self.assertIn(f"it has {threads} threads", done.stdout)

    def test_a_kernel_is_chosen_by_name(self):
        self.expect(0, "check", "--plugin", plugin("attention") + ":online_softmax", *SMALL)
        self.refuse("check", "--plugin", plugin("attention") + ":other", *SMALL,
                    says=["no kernel 'other'", "it has online_softmax"])

    def test_files_that_are_no_plugin_are_named(self):
        (self.folder / "text.so").write_text("no library")
        os.mkfifo(self.folder / "pipe.so")
        for path, says in (("nowhere.so", "there is no such file"), ("text.so", "no library that can be loaded here"),
                           (".", "it is no regular file"), ("pipe.so", "it is no regular file"), (self.library(), "exports no flashbench_kernel")):
            for more in ([], ["--isolate", "false"]):
                self.refuse("check", "--plugin", path, *SMALL, *more, says=["--plugin '", says])
        self.refuse("check", "--type", "plugin", *SMALL, says="--type plugin needs --plugin FILE")
        self.refuse("bench", "--type", "flash", "--plugin", plugin("attention"), *SMALL, says="is for --type plugin")
        self.refuse("check", "--plugin", plugin("attacks"), *SMALL, env={"ATTACK": "no_kernel"},
                    says="no kernel for version 1")
        done = self.expect(3, "check", "--plugin", plugin("attention"), *SMALL, "--isa", "avx2")
        self.assertIn("--isa avx2 is of the program's own kernels", done.stdout)

    # A kernel without gradients would be called right after a hundredth of the suite.
    def test_the_suite_asks_for_the_forward_where_there_are_no_gradients(self):
        done = self.expect(0, "check", "--plugin", plugin("attention"), "--filter", "*grouped_heads*", "--json", "r.json")
        results = self.validated((self.folder / "r.json").read_text())["results"]
        ok = [r for r in results if r["status"] == "ok"]
        self.assertGreater(len(ok), 3, done.stdout)
        self.assertEqual({r["pass"] for r in ok}, {"forward"})
        self.assertIn("--pass forward", ok[0]["command"])
        self.expect(0, *shlex.split(ok[0]["command"])[1:])

    def test_resume_does_not_take_numbers_of_another_file(self):
        mine = shutil.copy(plugin("attention"), self.folder / "mine.so")
        run = ["bench", *FAST, "--q_len", "64", "--d", "16", "--pass", "forward", "--type", "flash,plugin", "--plugin",
               str(mine)]
        self.expect(0, *run, "--json", "r.json")
        again = self.expect(0, *run, "--resume", "r.json", "--patience", "1m")
        self.assertIn("has 2 of 2 cases", again.stderr, "how long it may take is no other case")
        before = self.validated((self.folder / "r.json").read_text())["results"]
        with open(mine, "ab") as file:
            file.write(b"\0")
        done = self.expect(0, *run, "--resume", "r.json")
        self.assertEqual(done.stderr.count(f"--resume: '{mine}' is not the same as then"), 1, done.stderr)
        after = self.validated((self.folder / "r.json").read_text())["results"]
        # Not all of the record: a peak that others disturbed at first is read by now, and with it there is a share of it.
        self.assertEqual(before[0]["times"], after[0]["times"])
        self.assertEqual(after[1]["guest"]["sha256"], digest(mine))
        self.assertNotEqual(before[1]["times"], after[1]["times"])

    def library(self):
        """A shared library without the symbol: the C library of Python."""
        return re.search(r"(/\S*/libc\.so\.6|/\S*/libc-[\d.]+\.so)$", pathlib.Path("/proc/self/maps").read_text(), re.M)[1]


class Crashes(GuestTest):
    # case 1 fails with what happened, case 2 gets a fresh worker, the run and the report go on.
    def expect_failures(self, what, why, *more):
        done = self.attack(what, "check", *SMALL, "--json", "r.json", *more)
        report = self.validated((self.folder / "r.json").read_text())
        self.assertEqual([r["status"] for r in report["results"]], ["failed", "failed"], done.stdout)
        for result in report["results"]:
            self.assertRegex(result["reason"], why)

    def test_each_way_to_end_is_told(self):
        for what, why in (("crash", "signal 11"), ("abort", r"signal 6 \(Aborted\)"),
                          ("exit", "exit code 0 in the middle of its work"), ("crash_in_plan", "signal 11"),
                          ("fail", "attack: the third tile is missing"), ("no_reason", "it returns 4 and gives no reason"),
                          ("write_input", "it wrote to q, which is an input"),
                          ("write_behind_output", "outside of its outputs, behind the end of o"),
                          ("small_workspace", "beyond the workspace that its plan asked for"),
                          ("write_near_workspace", "outside of the workspace that its plan asked for"),
                          ("nothing", "O NaN"), ("zeros", r"wrong result: O .*: got 0, expected -?0\.\d+"),
                          ("log2", "LSE .*; log2 instead of ln in every row looked at: multiply it by ln 2")):
            with self.subTest(what):
                self.expect_failures(what, why)

    # Numbers of two builds under one name would be worse than a failure.
    def test_a_file_that_is_replaced_while_the_run_goes_on_is_told(self):
        mine = shutil.copy(plugin("attacks"), self.folder / "mine.so")
        done = self.expect(1, "check", *SMALL, "--plugin", str(mine), "--quiet",
                           env={"ATTACK": "new_file", "ATTACK_FILE": str(mine)})
        self.assertIn("signal 6", done.stdout)
        self.assertIn("its file is another one than when the run began", done.stdout)

    def test_a_hang_ends_by_patience(self):
        self.expect_failures("hang", "no answer within 1 s and was ended", "--patience", "1s")

    # Whoever pastes it would wait for two minutes, or lose the debugger's process.
    def test_the_line_that_reproduces_keeps_the_guest_as_it_was(self):
        for kept in (["--patience", "3s"], ["--isolate", "false", "--patience", "3s"]):
            done = self.attack("zeros", "check", *SMALL, *kept, "--json", "r.json")
            again = re.findall(r"reproduce: (.*)", done.stdout)[0]
            self.assertIn(" ".join(kept), again)
            command = self.validated((self.folder / "r.json").read_text())["results"][0]["command"]
            self.assertIn(" ".join(kept), command)
            done = self.run_program(*shlex.split(command)[1:], env={"ATTACK": "zeros"})
            self.assertEqual(done.returncode, 1, done.stderr)

    def test_after_three_hangs_it_is_not_asked_any_more(self):
        done = self.attack("hang", "check", "--q_len", "40,39,38,37,36", "--d", "16", "--pass", "forward", "--patience",
                           "3s", "--json", "r.json")
        report = self.validated((self.folder / "r.json").read_text())
        reasons = [r["reason"] for r in report["results"]]
        self.assertEqual([("no answer within" in r, "it has hung 3 times and is not asked any more" in r) for r in reasons],
                         [(True, False)] * 3 + [(False, True)] * 2, done.stdout)

    # The socket of a worker stays open where somebody else holds it.
    def test_an_end_is_noticed_whoever_holds_the_socket(self):
        began = time.monotonic()
        self.expect_failures("leaves_a_child", "exit code 0 in the middle of its work", "--patience", "10m")
        self.assertLess(time.monotonic() - began, 120)

    # Its results are right; that it is ill is told, once, and the next case has a process that is well.
    def test_an_end_while_a_plan_is_destroyed_is_told(self):
        for what, why in (("crash_in_destroy", "its worker was ended by signal 11"),
                          ("hang_in_destroy", "its worker gave no answer within 3 s")):
            with self.subTest(what):
                done = self.attack(what, "check", *SMALL, "--patience", "3s", "--json", "r.json", code=0)
                report = self.validated((self.folder / "r.json").read_text())
                self.assertEqual([r["check"]["verdict"] for r in report["results"]], ["pass"] * 2)
                said = [line for line in done.stderr.splitlines() if "destroyed" in line]
                self.assertEqual(len(said), 1, done.stderr)
                self.assertIn(f"flashbench: attack: as its plan was destroyed: {why}", said[0])

    def test_the_others_of_a_bench_go_on(self):
        done = self.attack("crash", "bench", *FAST, "--h", "2", "--q_len", "32,48", "--d", "16", "--json", "r.json")
        report = self.validated((self.folder / "r.json").read_text())
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "ok", "failed"] * 2, done.stdout)


class Cheats(GuestTest):
    def expect_caught(self, what, why):
        self.attack(what, "bench", *FAST, "--h", "2", "--q_len", "256", "--d", "32", "--json", "r.json")
        report = self.validated((self.folder / "r.json").read_text())
        flash, normal, cheat = report["results"]
        self.assertEqual((flash["status"], normal["status"], cheat["status"]), ("ok", "ok", "failed"))
        self.assertRegex(cheat["reason"], why)
        self.assertIsNone(cheat["median"], "no number")

    def test_the_honest_one_has_its_number(self):
        self.attack("none", "bench", *FAST, "--h", "2", "--q_len", "256", "--d", "32", code=0)

    def test_who_computes_once_and_repeats_it_is_wrong(self):
        self.expect_caught("replay", "wrong result")

    def test_who_leaves_what_is_there_already_is_not_credible(self):
        self.expect_caught("stale", "not credible")

    def test_who_works_on_after_the_call_is_wrong(self):
        # Where its writes land, and so by what it is caught, depends on when they come: the memory of a call that is
        # over may hold a later one's input.
        self.expect_caught("late", "wrong result|in the middle of its work|ended by signal|which is an input"
                                   "|outside of its outputs|beyond the workspace")

    def test_who_reads_do_in_prepare_finds_none(self):
        done = self.attack("early_do", "check", "--h", "2", "--q_len", "40", "--d", "16", "--pass", "backward")
        self.assertIn("there is no dO yet", done.stdout)

    def test_a_clock_that_goes_slow_is_noticed(self):
        worker = self.folder / "slow.py"
        worker.write_text("import time, numpy as np\n"
                          "real = time.perf_counter\n"
                          "time.perf_counter = lambda: real() / 10\n"
                          + (EXAMPLES / "attention.py").read_text().split('"""', 2)[2])
        done = self.expect(1, "bench", *FAST, "--h", "2", "--q_len", "256", "--d", "32", "--quiet", "--worker",
                           f"{sys.executable} {ROOT}/scripts/flashbench/worker.py slow.py:attention")
        self.assertRegex(done.stdout, "not credible: its clock shows .* of the .* that passed here")


class InAFolderOfItsOwn(GuestTest):
    # The header and the page are all that somebody has.
    def test_the_page_is_enough(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            self.skipTest("no C compiler")
        shutil.copy(HEADER, self.folder)
        shutil.copy(EXAMPLES / "attention.c", self.folder)
        (line,) = re.findall(r"^ \*     (cc .*)$", (EXAMPLES / "attention.c").read_text(), re.M)
        subprocess.run(line.replace("cc", compiler, 1), shell=True, check=True, cwd=self.folder)
        done = self.expect(0, "bench", *FAST, "--plugin", "./attention.so", "--q_len", "64", "--d", "16", "--causal")
        self.assertRegex(done.stdout, r"plugin +\S+ +cpu .*pass|plugin +cpu .*pass")


if __name__ == "__main__":
    unittest.main()
