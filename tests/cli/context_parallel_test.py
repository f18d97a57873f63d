"""`check --context_parallel`: attention over ranks that are threads."""

import json
import unittest

from harness import CliTest

SMALL = ["--b", "1", "--h", "4", "--h_kv", "2", "--q_len", "37", "--kv_len", "41", "--d", "16", "--pass", "both"]


class ContextParallel(CliTest):
    def check(self, code, *flags):
        return self.expect(code, "check", *SMALL, "--context_parallel", *flags)

    def test_methods_layouts_and_ranks_pass(self):
        done = self.check(0, "ring,all_gather", "--engine", "threads", "--ranks", "1,2,3", "--causal", "true,false",
                          "--layout_seq", "contiguous,zigzag,striped", "--dtype", "f32,bf16")
        self.assertRegex(done.stdout, r"(?m)^pass: 72 cases, 72 passed")
        self.check(0, "ulysses", "--ranks", "2", "--mask", "random")
        self.check(0, "ring", "--ulysses", "2", "--ranks", "4", "--window_left", "9")
        self.check(0, "ring", "--ring_window", "2", "--ranks", "4", "--repeat", "3")

    def test_the_suite_has_rows_of_its_own(self):
        some = ("check", "--context_parallel", "ring", "--ranks", "2,5", "--filter", "ranks_of_odd_lengths/*f32*")
        names = self.expect(0, *some, "--list").stdout.splitlines()
        self.assertEqual(len(names), 2 * 2 * 3, names)
        self.assertTrue(all(name.startswith("ranks_of_odd_lengths/") for name in names), names)
        self.assertRegex(self.expect(0, *some).stdout, r"(?m)^pass: 12 cases, 12 passed")
        none = self.expect(0, "check", "--context_parallel", "none", "--list").stdout
        self.assertNotIn("ranks_of", none)

    def test_a_workload_of_a_configs_zip_is_one_too(self):
        config = self.folder / "zip.json"
        config.write_text(json.dumps({"zip": [{"q_len": 4, "kv_len": 5, "d": 8}]}))
        names = self.expect(0, "check", "--config", config, "--context_parallel", "ring", "--list").stdout.splitlines()
        self.assertEqual(len(names), 1, names)

    def test_the_line_that_reproduces_a_case_says_how_it_was_spread(self):
        self.check(0, "ring", "--ranks", "3", "--layout_seq", "striped", "--json", "r.json")
        (result,) = json.loads((self.folder / "r.json").read_text())["results"]
        for words in ("--context_parallel ring", "--engine threads", "--ranks 3", "--layout_seq striped"):
            self.assertIn(words, result["command"])
        self.assertEqual(result["kernel"], "ring of cpu_flash")

    def test_what_makes_no_sense_is_refused(self):
        small = ["check", *SMALL]
        self.refuse(*small, "--ranks", "2", says=["--ranks", "is for --context_parallel"])
        ring = [*small, "--context_parallel", "ring"]
        self.refuse(*ring, "--ulysses", "2", "--ranks", "3", says=["--ulysses 2 does not divide --ranks 3"])
        self.refuse(*ring, "--ring_window", "3", "--ranks", "4", says=["--ring_window 3", "4 ranks"])
        self.refuse(*ring, "--ranks", "0", says=["--ranks", "0"])
        self.refuse(*ring, "--engine", "mpi", says=["--engine", "threads", "'mpi'"])
        self.refuse(*ring, "--profile", says=["--profile", "--context_parallel"])
        self.refuse(*small, "--context_parallel", "all_gather", "--ring_window", "2",
                    says=["--ring_window is for --context_parallel ring"])
        self.refuse(*small, "--context_parallel", "tree", says=["none, ring, all_gather or ulysses", "'tree'"])
        self.refuse("bench", *SMALL, "--context_parallel", "ring", says=["--context_parallel"])

    def test_what_ranks_cannot_compute_is_refused_by_name(self):
        for flags, words in {
            ("ring", "--sinks", "random"): "ring of cpu_flash does not support --sinks",
            ("ring", "--bias", "random"): "ring of cpu_flash does not support --bias",
            ("ring", "--alibi", "standard", "--layout_seq", "striped"): "--layout_seq striped does not support --alibi",
            ("ring", "--type", "normal"): "cpu_normal computes no parts of a problem",
            ("ulysses", "--ranks", "4"): "2 K/V heads do not divide by the 4 ranks",
        }.items():
            self.assertIn(words, self.check(3, *flags).stdout)


if __name__ == "__main__":
    unittest.main()
