"""Bad input on the command line and in configs: exit code 2, one line, nothing touched."""

import json
import shutil
import subprocess
import unittest

from harness import FAST, PROGRAM, ROOT, TINY, CliTest

COMMANDS = ["forward", "backward", "bench", "check", "info"]


class Commands(CliTest):
    def test_mistyped_command_gets_a_suggestion(self):
        self.assertEqual(
            self.refuse("benhc"), "flashbench: unknown command 'benhc'; did you mean 'bench'?"
        )

    def test_no_command_names_them(self):
        self.refuse(says=["no command", *COMMANDS])

    def test_a_flag_before_the_command(self):
        self.refuse("--b", "3", says="the command comes first")

    def test_h_is_neither_help_nor_heads(self):
        for command in COMMANDS:
            self.refuse(command, "-h", says=["--help", "--h N"])
        self.refuse("-h", says="--help")

    def test_version_and_help_go_to_stdout(self):
        for args in (["--version"], ["bench", "--version"], ["--help"], ["check", "--help"]):
            done = self.expect(0, *args)
            self.assertEqual(done.stderr, "")
            self.assertTrue(done.stdout.startswith("flashbench"))


class Flags(CliTest):
    def test_unknown_flags(self):
        self.refuse("bench", "--q_lne", "3", says="did you mean '--q_len'?")
        self.refuse("bench", "--q-len", "3", says="did you mean '--q_len'?")
        self.refuse("bench", "-b", "3", says="did you mean '--b'?")
        self.refuse("forward", "--budget", "3s", says="belongs to bench")
        self.refuse("bench", "--junit", "x", says="belongs to check")
        self.refuse("bench", "--zzzzzzz", says="unknown flag")

    def test_names_of_other_programs_lead_to_ours(self):
        for theirs, ours in (("seqlen", "q_len"), ("headdim", "d"), ("batch", "b"), ("num-kv-heads", "h_kv")):
            self.refuse("bench", f"--{theirs}", "3", says=f"did you mean '--{ours}'?")
        # compare has no batch to be meant
        self.assertNotIn("'--b'", self.refuse("compare", "--batch", "3", says="'--batch'"))

    def test_unknown_flags_after_double_dash_are_not_parsed_as_flags(self):
        self.refuse("bench", "--", "--b", "3", says="unexpected argument")

    def test_missing_and_repeated_values(self):
        self.refuse("forward", "--b", says="--b needs a value")
        self.refuse("forward", "--b", "--h", "3", says="--b needs a value, got the flag '--h'")
        self.refuse("forward", "--b", "1", "--b", "2", says="--b is given 2 times")
        self.refuse("forward", "--b", "1", "2", says="unexpected argument '2'")
        self.refuse("forward", "stray", says="unexpected argument 'stray'")
        for flag in ("--json", "--input", "--q", "--config", "--worker", "--plugin", "--dtype", "--mask"):
            self.refuse("forward", flag, "", says=f"{flag} needs a value, got an empty one")

    def test_a_value_that_is_nearly_one_leads_to_it(self):
        for flag, value, meant in (
            ("--pass", "bakward", "backward"),
            ("--dtype", "bf61", "bf16"),
            ("--type", "bf61", "--dtype bf16"),
            ("--type", "bakward", "--pass backward"),
            ("--kernel", "flsh", "cpu_flash"),
            ("--kernel", "cpu_flsah", "cpu_flash"),
            ("--causal", "ture", "true"),
            ("--verify", "ful", "full"),
            ("--profile_sort", "tmie", "time"),
            ("--device", "emulatd", "emulated"),
        ):
            more = ["--profile"] if flag == "--profile_sort" else []
            self.refuse("bench", *more, flag, value, says=[flag, f"did you mean '{meant}'?"])
        self.refuse("bench", "--type", "flash", "--kernel", "flsh", says="did you mean 'cpu_flash'?")
        self.assertNotIn("did you mean", self.refuse("bench", "--type", "zzzzzz", says="'zzzzzz'"))

    def test_help_is_a_command_too(self):
        self.assertEqual(self.expect(0, "help").stdout, self.expect(0, "--help").stdout)
        self.assertEqual(self.expect(0, "help", "bench").stdout, self.expect(0, "bench", "--help").stdout)
        self.refuse("help", "benhc", says="did you mean 'bench'?")
        self.refuse("help", "bench", "check", says="help takes one command")

    def test_the_names_of_kernels(self):
        names = self.expect(0, "info", "--kernels").stdout.split()
        listed = self.refuse("bench", "--kernel", "zzzzzz", says="is not in this build; use ").split("; use ")[1]
        self.assertEqual(names, listed.replace(" or ", ", ").split(", "))
        self.refuse("info", "--kernels", "--threads", "1", says="--kernels prints names alone")

    def test_sizes(self):
        for flag in ("--b", "--h", "--h_kv", "--q_len", "--kv_len", "--d", "--threads"):
            for value in ("0", "-1", "1.5", "99999999999999999999", "abc", "1e3", "4K", "", "0x10"):
                self.refuse("bench", flag, value, says=flag)

    def test_more_elements_than_any_machine_has(self):
        self.refuse("bench", "--b", "2147483647", "--h", "2147483647", says="elements")
        self.refuse("bench", "--d", "1025", says="1024")

    def test_kv_heads_that_do_not_divide(self):
        line = self.refuse("forward", "--h", "8", "--h_kv", "3")
        self.assertIn("--h_kv 3 does not divide --h 8", line)
        self.assertIn("1, 2, 4, 8", line)

    def test_malformed_ranges(self):
        for text in ("1:2", "4:1:x2", "4:8:x1", "4:8:+0", "1:2:x2:3", "1,,2", "1,", "::", "1:8:y2"):
            self.refuse("bench", "--q_len", text, says="--q_len")
        self.refuse("bench", "--q_len", "1:1m:+1", says="10000")

    def test_values_of_a_set_get_a_suggestion(self):
        self.refuse("bench", "--type", "flsh", says="did you mean 'flash'?")
        self.refuse("bench", "--dtype", "f64", says=["f32, bf16 or f16"])
        self.refuse("bench", "--isa", "avx9", says="avx2")
        self.refuse("bench", "--backend", "gpu", says="auto, cpu or cuda")
        self.refuse("bench", "--verify", "some", says="auto, full, sample or none")
        self.refuse("bench", "--cache", "hot", says="warm or cold")
        self.refuse("bench", "--causal", "maybe", says="true or false")
        self.refuse("bench", "--kernel", "cpu_flsh", says=["cpu_flash", "cpu_normal"])

    def test_other_numbers(self):
        self.refuse("bench", "--mask", "random", "--mask_keep", "1.5", says="between 0 and 1")
        self.refuse("bench", "--causal", "--window_right", "5", says="--window_right 5 contradicts --causal")
        for bad in ("-1", "few", "0.5"):
            self.refuse("bench", "--window_left", bad,
                        says=["--window_left must be none or a whole number from 0 on", f"got '{bad}'"])
        self.refuse("bench", "--window_right", "nnoe", says="got 'nnoe'; did you mean 'none'?")
        self.refuse("bench", "--window_left", "3000000000", says="must be none or between 0 and 2147483647, got")
        self.refuse("bench", "--window_left", "none:5:+1", says="none is no end of a range")
        self.refuse("bench", "--sinks", "rnadom",
                    says="--sinks must be none, random or a file, got 'rnadom'; did you mean 'random'?")
        self.refuse("bench", "--mask", "nnoe", says="did you mean 'none'?")
        self.refuse("bench", "--do", "onse", "--pass", "backward", says="did you mean 'ones'?")
        self.refuse("bench", "--sinks", "elsewhere.npy", says="elsewhere.npy: cannot be read")
        self.refuse("forward", "--output", "o.npy", says="--output writes several tensors, a .safetensors file; got 'o.npy'")
        self.refuse("bench", "--part", "prefill", says="--part needs --config")
        self.refuse("bench", "--config", ROOT / "configs/gpt2.json", "--part", "encoder",
                    says="has no such point; it has 'prefill'")
        self.refuse("bench", "--alibi", "yes", says="--alibi must be none, standard or a file, got 'yes'")
        self.refuse("bench", "--bias", "rnadom", says="did you mean 'random'?")
        self.refuse("bench", "--bias", "random", "--bias_shape", "hxb", says="1x1, 1xh, bx1 or bxh, got 'hxb'")
        for flag in ("--d", "--d_v"):
            for value in ("0", "2000", "3000m"):
                self.refuse("bench", flag, value, says=f"{flag} must be between 1 and 1024, got '{value}'")
        self.refuse("bench", "--dtype", "e4m3", says="--dtype must be f32, bf16 or f16, got 'e4m3'")
        self.refuse("bench", "--kv_dtype", "e3m4", says="--kv_dtype must be e4m3, e5m2, f32, bf16 or f16, got 'e3m4'")
        self.refuse("bench", "--kv_dtype", "bf16",
                    says="--kv_dtype bf16 is not --dtype f32; use one of e4m3, e5m2, or leave it out")
        for command in (["backward"], ["bench", "--pass", "both"], ["check", "--pass", "backward"]):
            self.refuse(*command, *TINY, "--kv_dtype", "e5m2", says="--kv_dtype e5m2 is for a forward pass alone")
        self.refuse("bench", "--softcap", "-1", says="--softcap must be at least 0")
        self.refuse("bench", "--softcap", "1e9", says="--softcap must be 0 (none) or between 1e-06 and 1e+06, got")
        self.refuse("bench", "--scale", "nan", says="--scale")
        self.refuse("bench", "--scale", "inf", says="--scale")
        self.refuse("bench", "--seed", "-1", says="--seed")
        self.refuse("bench", "--seed", "18446744073709551616", says="--seed")
        self.refuse("bench", "--max_noise", "0", says="--max_noise")
        self.refuse("bench", "--min_samples", "0", says="--min_samples")
        for flag in ("--timeout", "--budget", "--min_time"):
            for value in ("0", "-3s", "soon", "10x"):
                self.refuse("bench", flag, value, says=flag)

    def test_flags_that_would_change_nothing(self):
        self.refuse("bench", "--mask_keep", "0.3", says="--mask random")
        self.refuse("bench", "--q_block", "32", says="--type paper")
        self.refuse("bench", "--backend", "cpu", "--device", "0", says="--device 0")
        self.refuse("forward", "--do", "random", says="--do is for gradients")
        self.refuse("forward", "--q_name", "query", says="--q_name needs --input")
        self.refuse("bench", "--bias_shape", "bxh", says="--bias_shape needs --bias random")
        self.refuse("forward", "--input", "any.safetensors", "--bias_shape", "bxh", says="needs --bias random")
        self.refuse("backward", "--bias_grad", says="--bias_grad needs a bias (--bias, or --input with one)")
        self.refuse("forward", "--bias", "random", "--bias_grad", says="and gradients")
        for name in ("sinks", "alibi", "bias"):
            needs = f"--{name}_name needs --input, or --{name} FILE"
            self.refuse("forward", f"--{name}_name", "x", says=needs)
            self.refuse("bench", f"--{name}", "none", f"--{name}_name", "x", says=needs)
        self.refuse("bench", "--profile=false", "--profile_sort", "time", says="needs --profile")

    def test_one_case_commands_take_no_lists(self):
        for command in ("forward", "backward"):
            self.refuse(command, "--q_len", "1k,2k", says="one value")
            self.refuse(command, "--causal", "true,false", says="one value")
        self.refuse("forward", "--pass", "backward", says="flashbench backward")
        self.refuse("backward", "--pass", "forward", says="flashbench forward")

    def test_a_control_character_does_not_break_the_line(self):
        self.refuse("bench", "--type", "fl\nash", says="fl\\x0aash")


class NotHere(CliTest):
    def test_a_kernel_of_another_type_is_skipped_with_the_reason(self):
        why = "kernel cpu_flash computes type flash, not normal"
        self.refuse("forward", *TINY, "--kernel", "cpu_flash", "--type", "normal", code=3, says=why)
        both = self.bench_json(*TINY, "--kernel", "cpu_flash", "--type", "normal,flash")["results"]
        self.assertEqual([r["status"] for r in both], ["skipped", "ok"])
        self.assertIn(why, both[0]["reason"])

    def test_a_table_without_verified_numbers_says_so(self):
        done = self.expect(0, "bench", *TINY, *FAST, "--verify", "none")
        self.assertIn("nothing was verified (--verify none)", done.stdout)
        for result in self.bench_json(*TINY, "--verify", "none")["results"]:
            self.assertEqual((result["check"]["verdict"], result["check"]["level"]), ("not verified", "none"))
            self.assertIsNone(result["median"])

    def test_valid_requests_that_cannot_run_exit_3_with_the_reason(self):
        self.refuse("forward", "--backend", "cuda", code=3, says="cuda")
        self.refuse("forward", "--device", "0", code=3, says="--device 0")
        self.refuse("forward", "--device", "emu", says="index of a GPU or emulated")
        emulated = json.loads(self.expect(0, "info", "--json", "-").stdout)["cuda_devices"]["emulated"]
        for flags, reason in ((["--type", "paper"], "--backend cpu"), (["--threads", "2"], "--threads 2")):
            says = reason if emulated["available"] else emulated["reason"]
            self.refuse("forward", "--device", "emulated", *flags, code=3, says=says)
        self.refuse("forward", *TINY, "--type", "paper", "--kv_dtype", "e4m3", code=3,
                    says="paper does not support --kv_dtype")
        refused = [(kernel, flag, value) for kernel in ("simt_f32", "mma_sm80", "normal_cublas")
                   for flag, value in (("--bias", "random"), ("--kv_dtype", "e4m3"))]
        refused += [("simt_f32", "--sinks", "random"), ("decode_sm80", "--alibi", "standard")]
        for kernel, flag, value in refused:
            asked = [*TINY, "--dtype", "bf16", "--kernel", kernel, flag, value]
            if emulated["available"]:
                self.refuse("forward", "--device", "emulated", *asked, code=3,
                            says=f"{kernel} does not support {flag}")
            else:  # built without CUDA: nothing has that name
                self.refuse("forward", "--device", "emulated", *asked, says=f"--kernel '{kernel}' is not in this build")
        self.refuse("check", "--emulated_seeds", "1,2", says="--device emulated")
        self.refuse("check", "--device", "emulated", "--emulated_seeds", "1,x", says="--emulated_seeds")
        missing = [isa for isa in ("neon", "avx2") if f"  {isa} " in self.absent_levels()]
        for isa in missing:
            self.refuse("info", "--isa", isa, code=3, says=isa)
            for kind in ("flash", "normal", "paper"):
                self.refuse("forward", *TINY, "--type", kind, "--isa", isa, code=3, says=isa)

    def absent_levels(self):
        done = self.expect(0, "info", "--json", "-")
        return "".join(
            f"  {isa} " for isa, s in json.loads(done.stdout)["isas"].items() if not s["available"]
        )

    def test_more_memory_than_there_is(self):
        huge = ["--b", "64", "--h", "1024", "--q_len", "64k", "--d", "128"]
        line = self.refuse("forward", *huge, code=3)
        self.assertRegex(line, r"needs [\d.]+ [TP]B, [\d.]+ [MGT]B available")
        done = self.expect(3, "bench", *huge)
        self.assertRegex(done.stdout, r"skipped: needs [\d.]+ [TP]B, [\d.]+ [MGT]B available")

    def test_the_rest_of_a_sweep_goes_on(self):
        done = self.expect(0, "bench", "--h", "2", "--d", "16", "--q_len", "32,4m", "--type",
                           "normal", "--min_time", "1ms", "--timeout", "100ms")
        self.assertIn("skipped: needs", done.stdout)
        self.assertIn("pass", done.stdout)


class Configs(CliTest):
    def config(self, text):
        path = self.folder / "c.json"
        path.write_text(text)
        return path

    def test_broken_and_lying_configs(self):
        for text, says in (
            ("", "not valid JSON"),
            ("{", "not valid JSON"),
            ('{"b": 1} x', "not valid JSON"),
            ("[]", "one JSON object"),
            ('{"b": 1, "b": 2}', "names 'b' twice"),
            ('{"q_lne": 1}', "did you mean 'q_len'"),
            ('{"b": 2.7}', "'b' must be"),
            ('{"b": -1}', "'b' must be"),
            ('{"b": null}', "'b' must be"),
            ('{"b": true}', "'b' must be"),
            ('{"b": {"x": 1}}', "'b' must be"),
            ('{"b": NaN}', "not valid JSON"),
            ('{"b": 1e999}', "no double holds"),
            ('{"q_len": "1:2"}', "'q_len'"),
            ('{"type": "flsh"}', "did you mean 'flash'"),
            ('{"zip": [{"h": 3}], "h": 3}', "'zip'"),
            ('{"zip": {"h": [1, 2], "d": [1]}}', "vary together"),
            ('{"b": ' + "[" * 100000, "nests deeper"),
            ('{"junit": "x"}', "'junit'"),
            ('{"config": "c.json"}', "'config'"),
            ('{"budget": "soon"}', "'budget'"),
        ):
            self.refuse("bench", "--config", self.config(text), says=["c.json", says])

    def test_no_such_file_a_folder_and_an_endless_file(self):
        for path in ("missing.json", self.folder, "/dev/zero"):
            self.refuse("bench", "--config", path, says=str(path))

    def test_configs_that_come_with_the_program_go_by_their_names(self):
        by_path = self.run_program("bench", "--config", ROOT / "configs/gemma2_9b.json", "--dry_run")
        for name in ("gemma2_9b", "gemma2_9b.json", ROOT / "configs/gemma2_9b"):
            done = self.run_program("bench", "--config", name, "--dry_run")
            self.assertEqual((done.returncode, done.stderr), (by_path.returncode, by_path.stderr))
            cases = [[line.split()[:4] for line in run.stdout.splitlines()[:-1]] for run in (done, by_path)]
            self.assertEqual(*cases)
        # One of the working folder goes first, and a folder of that name does not hide it.
        (self.folder / "configs").mkdir()
        (self.folder / "gemma2_9b").mkdir()
        (self.folder / "configs/gemma2_9b.json").write_text('{"b": 1, "h": 2, "q_len": 24, "d": 8}')
        self.assertIn("b1 h2 24x24 d8", self.expect(0, "bench", "--config", "gemma2_9b", "--dry_run").stdout)

    def test_an_installed_program_finds_its_configs(self):
        (self.folder / "prefix/bin").mkdir(parents=True)
        program = self.folder / "prefix/bin/flashbench"
        shutil.copy(PROGRAM, program)
        share = self.folder / "prefix/share/flashbench/configs"
        share.mkdir(parents=True)
        (share / "mine.json").write_text('{"b": 1, "h": 2, "q_len": 24, "d": 8}')
        for name, code, says in (("mine", 0, "b1 h2 24x24 d8"), ("other", 2, f"in {share}; there are mine")):
            done = subprocess.run([program, "bench", "--config", name, "--dry_run"], capture_output=True, text=True,
                                  cwd=self.folder)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(says, done.stdout + done.stderr)

    def test_a_config_that_there_is_not_is_told_where_configs_are(self):
        self.refuse("bench", "--config", "gemma2_9", says=["--config gemma2_9: no such", "configs", "'gemma2_9b'"])
        self.refuse("bench", "--config", "nothing_like_it.json", says=["configs; there are bert_base, ", "quick"])
        self.refuse("bench", "--config", "some/where/gemma2_9b", says=["no such file", "'gemma2_9b'"])

    def test_flags_override_the_file(self):
        config = self.config(json.dumps({"name": "t", "b": 1, "h": 2, "q_len": [16, 32], "d": 8}))
        done = self.expect(0, "bench", "--config", config, "--q_len", "24", "--dry_run")
        self.assertIn("b1 h2 24x24 d8", done.stdout)
        self.assertNotIn("16x16", done.stdout)
        self.assertNotIn("note:", done.stderr)
        done = self.expect(0, "bench", "--config", config, "--dry_run")
        self.assertIn("b1 h2 16x16 d8", done.stdout)
        self.assertIn("b1 h2 32x32 d8", done.stdout)

    def test_a_flag_that_replaces_what_a_config_varies_is_told(self):
        config = self.config(json.dumps({"name": "t", "b": 1, "h": 2, "zip": [{"q_len": 16, "d": 8}, {"q_len": 32, "d": 4}]}))
        done = self.expect(0, "bench", "--config", config, "--q_len", "24", "--h", "1", "--dry_run")
        self.assertIn("note: --q_len replaces what differs from case to case", done.stderr)
        self.assertNotIn("note:", self.expect(0, "bench", "--config", config, "--h", "1", "--dry_run").stderr)


if __name__ == "__main__":
    unittest.main()
