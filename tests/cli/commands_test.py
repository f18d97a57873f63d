"""Every command does its work, at sizes that take milliseconds."""

import json
import re
import struct
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from harness import DATA, FAST, TINY, CliTest, read_safetensors, write_safetensors


class ForwardAndBackward(CliTest):
    def test_a_forward_pass_is_verified_and_summarised(self):
        out = self.expect(0, "forward", *TINY, "--causal").stdout
        self.assertIn("b1 h2 32x32 d16", out)
        self.assertRegex(out, r"O \S+x of expected f32 rounding")
        self.assertRegex(out, r"verdict +pass")
        self.assertNotIn("dQ", out)

    def test_a_backward_pass_is_verified_in_all_outputs(self):
        for dtype in ("f32", "bf16", "f16"):
            out = self.expect(0, "backward", *TINY, "--mask", "random", "--dtype", dtype,
                              "--do", "random").stdout
            for tensor in ("O", "LSE", "dQ", "dK", "dV"):
                self.assertRegex(out, rf"{tensor} \S+x of expected (f32|{dtype}) rounding")

    def test_every_type_with_a_profile(self):
        for kind in ("flash", "normal", "paper"):
            out = self.expect(0, "backward", *TINY, "--type", kind, "--profile").stdout
            self.assertRegex(out, r"phase +thread +calls +thread time +share")

    def test_outputs_go_to_safetensors(self):
        self.expect(0, "backward", *TINY, "--h_kv", "1", "--dtype", "bf16", "--output", "g.safetensors")
        tensors = read_safetensors(self.folder / "g.safetensors")
        self.assertEqual(
            {name: t[:2] for name, t in tensors.items()},
            {
                "o": ("BF16", [1, 2, 32, 16]),
                "lse": ("F32", [1, 2, 32]),
                "dq": ("BF16", [1, 2, 32, 16]),
                "dk": ("BF16", [1, 1, 32, 16]),
                "dv": ("BF16", [1, 1, 32, 16]),
            },
        )
        self.expect(0, "forward", *TINY, "--output", "o.safetensors")
        self.assertEqual(set(read_safetensors(self.folder / "o.safetensors")), {"o", "lse"})

    def test_same_seed_same_bits_on_any_thread_count(self):
        for threads, name in ((1, "a"), (3, "b")):
            self.expect(0, "forward", *TINY, "--threads", threads, "--seed", "7", "--output",
                        f"{name}.safetensors")
        a, b = (read_safetensors(self.folder / f"{n}.safetensors") for n in "ab")
        self.assertEqual(a["o"], b["o"])

    def test_reports_of_single_commands_validate(self):
        for command in ("forward", "backward"):
            done = self.expect(0, command, *TINY, "--json", "-", "--profile")
            (result,) = self.validated(done.stdout)["results"]
            self.assertEqual(result["check"]["verdict"], "pass")
            self.assertTrue(result["command"].startswith(f"flashbench {command} --b 1"))
            self.assertIn("verdict", done.stderr)

    def test_the_command_of_a_result_reproduces_it(self):
        done = self.expect(0, "backward", *TINY, "--causal", "--mask", "random", "--mask_keep", "0.7",
                           "--scale", "0.3", "--seed", "5", "--type", "paper", "--q_block", "8",
                           "--json", "-")
        (first,) = json.loads(done.stdout)["results"]
        words = first["command"].split()[1:]
        (second,) = json.loads(self.expect(0, *words, "--json", "-").stdout)["results"]
        for key in ("workload", "pass", "type", "kernel", "command"):
            self.assertEqual(first[key], second[key])


class RealTensors(CliTest):
    def test_input_and_output_of_real_tensors(self):
        self.expect(0, "backward", "--input", DATA / "tiny_f32.safetensors", "--causal", "--output",
                    "g.safetensors")
        got = read_safetensors(self.folder / "g.safetensors")
        want = read_safetensors(DATA / "tiny_f32_expected.safetensors")
        for name, (_, shape, blob) in want.items():
            self.assertEqual(got[name][1], shape)
            for x, y in zip(struct.iter_unpack("<f", got[name][2]), struct.iter_unpack("<f", blob)):
                if x != y:
                    self.assertAlmostEqual(x[0], y[0], delta=2e-6, msg=name)

    def test_npy_files_one_tensor_each(self):
        tensors = [f"--{n}={DATA}/tiny_{n}.npy" for n in ("q", "k", "v", "do", "mask")]
        self.expect(0, "backward", *tensors, "--causal", "--output", "g.safetensors")
        self.expect(0, "check", "--input", DATA / "tiny_f32.safetensors", "--causal", "--external",
                    "g.safetensors")

    def test_names_and_layout_of_a_model(self):
        names = ["--q_name", "query", "--k_name", "key", "--v_name", "value", "--do_name", "grad",
                 "--mask_name", "keep", "--layout", "bshd"]
        source = ["--input", DATA / "tiny_bshd.safetensors", "--causal", *names]
        self.expect(0, "backward", *source, "--output", "g.safetensors")
        self.assertEqual(read_safetensors(self.folder / "g.safetensors")["o"][:2],
                         ("F16", [2, 5, 4, 8]))
        for external in ("g.safetensors", DATA / "tiny_bshd_expected.safetensors"):
            self.expect(0, "check", *source, "--external", external)

    def test_bench_and_check_take_files_too(self):
        source = ["--input", DATA / "tiny_bf16.safetensors"]
        self.expect(0, "check", *source)
        report = self.bench_json(*source, "--pass", "both")
        for result in report["results"]:
            self.assertEqual(result["workload"]["dtype"], "bf16")
            self.assertIn("tiny_bf16.safetensors", result["workload"]["input"])
            self.assertEqual(result["workload"]["mask"], "file")

    def test_flags_that_contradict_the_file(self):
        source = ["forward", "--input", DATA / "tiny_f32.safetensors"]
        self.refuse(*source, "--d", "16", says=["--d", "8"])
        self.refuse(*source, "--h_kv", "4", says="--h_kv")
        self.refuse(*source, "--dtype", "bf16", says="--dtype")
        self.expect(0, *source, "--d", "8", "--h", "4", "--dtype", "f32")

    def test_externals_that_are_wrong_are_caught(self):
        good = read_safetensors(DATA / "tiny_f32_expected.safetensors")
        source = ["check", "--input", DATA / "tiny_f32.safetensors", "--causal", "--external"]
        self.expect(0, *source, DATA / "tiny_f32_expected.safetensors")
        for name in good:
            for value in (0.5, float("nan")):
                bad = dict(good)
                dtype, shape, blob = good[name]
                bad[name] = (dtype, shape, blob[:12] + struct.pack("<f", value) + blob[16:])
                write_safetensors(self.folder / "bad.safetensors", bad)
                out = self.expect(1, *source, "bad.safetensors").stdout
                label = {"o": "O", "lse": "LSE"}.get(name, "d" + name[1:].upper())
                self.assertRegex(out, rf"{label} .*worst at \[0,0,\d,3\]" if name != "lse" else label)
                self.assertIn("reproduce: flashbench check", out)

    def test_an_external_may_hold_some_outputs_only(self):
        good = read_safetensors(DATA / "tiny_f32_expected.safetensors")
        source = ["check", "--input", DATA / "tiny_f32.safetensors", "--causal", "--external"]
        write_safetensors(self.folder / "o.safetensors", {"o": good["o"]})
        self.expect(0, *source, "o.safetensors")
        self.refuse(*source, "o.safetensors", "--pass", "backward", says="none of dq, dk, dv, dsinks and dbias")
        write_safetensors(self.folder / "x.safetensors", {"x": good["o"]})
        self.refuse(*source, "x.safetensors", says="x.safetensors")
        self.refuse("check", "--external", "o.safetensors", says="--input")


class Bench(CliTest):
    def test_defaults_compare_flash_and_normal(self):
        report = self.bench_json("--q_len", "128", "--d", "32")
        flash, normal = report["results"]
        self.assertEqual((flash["type"], normal["type"]), ("flash", "normal"))
        self.expect_speedup(flash, normal)
        self.assertIsNone(normal["speedup_over"])
        for result in (flash, normal):
            self.assertEqual(result["status"], "ok")
            self.assertEqual(result["check"]["verdict"], "pass")
            self.assertGreaterEqual(len(result["times"]), 3)
            self.assertTrue(result["min"] <= result["median"] <= result["max"])
            self.assertAlmostEqual(result["tflops"],
                                   4 * 2 * 128 * 128 * 32 / result["median"] * 1e-12)
            self.expect_share_of_peak(result)
            if result["pct_peak"] is not None:
                self.assertIn(result["bound"], ("compute", "memory"))
        kinds = {peak["dtype"] for peak in report["peaks"]}
        self.assertEqual(kinds, {"f32", None})

    def test_below_the_table_stands_the_speedup(self):
        done = self.expect(0, "bench", *TINY, *FAST)
        self.assertRegex(done.stdout, r"\n\n(flash is (faster|slower) than normal: \S+x \[\S+, \S+\] "
                                      "as fast|cannot tell whether flash or normal is faster)")
        self.assertNotIn("\x1b", done.stdout + done.stderr)

    def test_sweeps_name_what_varies(self):
        report = self.bench_json("--h", "2", "--d", "8", "--q_len", "16:64:x2", "--causal",
                                 "true,false", "--type", "flash", "--pass", "forward,both")
        self.assertEqual(len(report["results"]), 12)
        seen = {tuple(sorted(r["parameters"].items())) for r in report["results"]}
        self.assertEqual(len(seen), 12)
        self.assertEqual(set(report["results"][0]["parameters"]), {"q_len", "causal", "pass"})

    def test_cold_caches_and_profiles_are_measured(self):
        report = self.bench_json(*TINY, "--cache", "cold", "--profile", "--pass", "backward",
                                 "--type", "flash")
        (result,) = report["results"]
        self.assertEqual(result["cache"], "cold")
        self.assertGreater(sum(p["seconds"] for p in result["phases"]), 0)

    def test_numbers_without_a_check_are_null(self):
        done = self.expect(0, "bench", *TINY, *FAST, "--verify", "none", "--json", "-")
        for result in self.validated(done.stdout)["results"]:
            self.assertEqual(result["check"]["verdict"], "not verified")
            self.assertIsNone(result["median"])
        self.assertIn("--verify none", done.stderr)

    def test_a_budget_is_kept(self):
        import time

        before = time.monotonic()
        self.expect(0, "bench", "--h", "2", "--d", "16", "--q_len", "16:128:+16", "--budget", "12s")
        self.assertLess(time.monotonic() - before, 40)

    def test_a_dry_run_gives_its_cases_to_other_programs(self):
        done = self.expect(0, "bench", "--q_len", "32,64", "--d", "16", "--dry_run", "--json", "-")
        results = self.validated(done.stdout)["results"]
        self.assertEqual([r["workload"]["q_len"] for r in results], [32, 32, 64, 64])
        self.assertEqual([r["parameters"]["type"] for r in results], ["flash", "normal"] * 2)
        for r in results:
            self.assertEqual((r["status"], r["median"]), ("skipped", None))
            self.assertEqual(r["flop_visible"], 4 * 2 * r["workload"]["q_len"] ** 2 * 16)
        self.assertIn("time at peak", done.stderr)

    def test_a_dry_run_ends_with_its_total_in_words_and_without_exponents(self):
        out = self.expect(0, "bench", "--q_len", "1k", "--h", "1", "--d", "64", "--dry_run").stdout
        self.assertRegex(out.splitlines()[-1], r"^total: 2 cases, [0-9.]+ [mun]?s for one call of each at peak; sampling")
        self.assertIn("268.4 MFLOP", out)
        self.assertNotRegex(out, r"\de\+\d")

    def test_the_paper_is_scalar_code_whatever_the_processor_has(self):
        out = self.expect(0, "forward", *TINY, "--type", "paper").stdout
        self.assertRegex(out, r"(?m)^kernel +paper, scalar code, \d")

    def test_a_dry_run_runs_nothing_and_writes_nothing(self):
        done = self.expect(0, "bench", "--q_len", "16k", "--dry_run", "--json", "r.json", timeout=60)
        self.assertIn("b1 h2 16384x16384 d512", done.stdout)
        self.assertRegex(done.stdout, r"cpu_flash")
        self.assertIn("1.100 TFLOP", done.stdout)
        self.assertFalse((self.folder / "r.json").exists())
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_isas_are_compared_in_one_group(self):
        report = self.bench_json(*TINY, "--isa", "scalar", "--type", "flash,normal")
        self.assertEqual([r["isa"] for r in report["results"]], ["scalar", "scalar"])

    def test_csv_and_markdown(self):
        self.expect(0, "bench", *TINY, *FAST, "--csv", "r.csv", "--md", "r.md", "--json", "r.json")
        self.assertEqual(len((self.folder / "r.csv").read_text().splitlines()), 3)
        self.assertIn("|", (self.folder / "r.md").read_text())
        self.validated((self.folder / "r.json").read_text())
        self.assertFalse((self.folder / "r.json.partial").exists())

    def test_the_standard_library_can_list_a_report(self):
        self.expect(0, "bench", *TINY, *FAST, "--json", "r.json")
        code = (
            "import json\n"
            "for r in json.load(open('r.json'))['results']:\n"
            "  print(r['workload']['q_len'], r['median'], r['tflops'], r['check']['verdict'])\n"
        )
        done = subprocess.run(["python3", "-I", "-c", code], cwd=self.folder, capture_output=True,
                              text=True, check=True)
        self.assertEqual(len(re.findall(r"^32 \S+ \S+ pass$", done.stdout, re.M)), 2)


class Check(CliTest):
    def test_a_check_that_verifies_nothing_is_refused(self):
        self.refuse("check", "--verify", "none", says="auto, full or sample")

    def test_profiles_are_shown(self):
        done = self.expect(0, "check", *TINY, "--type", "flash", "--profile")
        self.assertIn("phases of", done.stdout)

    def test_list_and_filter(self):
        names = self.expect(0, "check", "--list").stdout.splitlines()
        self.assertEqual(len(names), len(set(names)))
        for word in ("/flash", "/normal", "/paper", "/bf16/", "/f16/", "/f32/", "/causal/", "/padded/",
                     "one_query_decode", "grouped_heads", "rows_that_see_nothing"):
            self.assertTrue(any(word in name for name in names), word)
        some = self.expect(0, "check", "--list", "--filter", "*decode*bf16*").stdout.splitlines()
        self.assertEqual(some, [n for n in names if re.search("decode.*bf16", n)])
        part = self.expect(0, "check", "--list", "--filter", "one_key").stdout.splitlines()
        self.assertEqual(part, [n for n in names if "one_key" in n])
        self.refuse("check", "--filter", "no_such_case", says=["no_such_case", "--list"])

    def test_cases_of_a_file_are_listed_and_selected_by_what_the_file_says(self):
        self.expect(0, "forward", *TINY, "--dtype", "bf16", "--kv_len", "48", "--save_inputs", "in.safetensors",
                    "--output", "out.safetensors")
        names = self.expect(0, "check", "--input", "in.safetensors", "--list").stdout.splitlines()
        for name in names:
            for flag in ("--q_len 32", "--kv_len 48", "--d 16", "--dtype bf16"):
                self.assertIn(flag + " ", name + " ")
        done = self.expect(0, "check", "--input", "in.safetensors", "--pass", "forward", "--filter",
                           "*kv_len 48*normal", "--json", "-")
        self.assertEqual({r["type"] for r in json.loads(done.stdout)["results"]}, {"normal"})
        self.refuse("check", "--input", "in.safetensors", "--filter", "*kv_len 2048*", says="selects no case")

    def test_launches_are_compared_bit_by_bit(self):
        done = self.expect(0, "check", *TINY, "--dtype", "f32,bf16", "--type", "flash,normal", "--pass", "both",
                           "--deterministic", "--repeat", "3", "--json", "r.json")
        self.assertIn("3 launches of each: the same bits in 4 of 4 cases", done.stdout)
        results = self.validated((self.folder / "r.json").read_text())["results"]
        repeated = [r for r in results if r["repeats"]]
        self.assertEqual(len(repeated), 4)
        for result in repeated:
            self.assertEqual([t["tensor"] for t in result["repeats"]["tensors"]], ["o", "lse", "dq", "dk", "dv"])
        self.refuse("check", *TINY, "--repeat", "0", says="--repeat")
        self.refuse("check", *TINY, "--repeat", "2", "--list", says=["--repeat", "--list"])
        self.refuse("check", "--input", "in.safetensors", "--external", "o.safetensors", "--repeat", "2",
                    says=["--repeat", "--external"])

    def test_execution_flags_narrow_the_suite(self):
        names = self.expect(0, "check", "--list", "--type", "paper").stdout.splitlines()
        self.assertTrue(names and all("/paper" in name for name in names))
        names = self.expect(0, "check", "--list", "--kernel", "cpu_normal").stdout.splitlines()
        self.assertTrue(names and all("/normal" in name for name in names))
        done = self.expect(0, "check", "--isa", "scalar", "--filter", "one_key/")
        self.assertIn("pass: ", done.stdout)

    def test_json_and_junit_agree(self):
        done = self.expect(0, "check", "--filter", "ragged_both_tiles", "--json", "-", "--junit", "c.xml")
        results = self.validated(done.stdout)["results"]
        cases = ElementTree.parse(self.folder / "c.xml").getroot().findall(".//testcase")
        self.assertEqual(len(results), len(cases))
        self.assertEqual([r["parameters"]["case"] for r in results], [c.get("name") for c in cases])
        for result in results:
            self.assertEqual(result["check"]["level"], "full")
            self.assertEqual({w["tensor"] for w in result["check"]["worst"]}, {"o", "lse", "dq", "dk", "dv"})
        self.assertIn("pass: ", done.stderr)

    def test_a_workload_is_checked_with_every_type_that_takes_it(self):
        done = self.expect(0, "check", "--pass", "backward", "--causal", *TINY)
        for kind in ("flash", "normal", "paper"):
            self.assertIn(f"{kind}, backward", done.stdout)
        done = self.expect(0, "check", *TINY, "--dtype", "bf16", "--mask", "random")
        self.assertRegex(done.stdout, r"(?m)^skipped 1 case: ")
        self.assertNotRegex(done.stdout, r"(?m)^paper.*skipped$", "a row of nothing else")

    def test_threads_leave_the_gradient_chain_in_the_suite_and_kernels_do_not(self):
        done = self.expect(0, "check", "--threads", "1", "--filter", "gradient_chain/causal")
        self.assertIn("autodiff of flash = closed form", done.stdout)
        self.refuse("check", "--backend", "cpu", "--filter", "gradient_chain/causal", says="selects no case")

    def test_the_gradient_chain_is_part_of_the_suite_and_of_backward_workloads(self):
        done = self.expect(0, "check", "--filter", "gradient_chain/causal", "--json", "-")
        links = ("autodiff of normal", "autodiff of flash", "paper's backward", "directional derivatives")
        for link in links:
            self.assertIn(f"{link} = closed form", done.stderr)
        for result in self.validated(done.stdout)["results"]:
            self.assertEqual(result["check"]["verdict"], "pass")
        for mask in (["--causal"], ["--mask", "random"]):
            done = self.expect(0, "check", "--pass", "backward", *mask, *TINY)
            for link in links:
                self.assertIn(f"{link} = closed form", done.stdout)
        done = self.expect(0, "check", "--pass", "forward", *TINY)
        self.assertNotIn("closed form", done.stdout)


class Info(CliTest):
    def test_info_tells_the_routes_of_a_gpu_that_is_not_here(self):
        text = self.expect(0, "info", "--as", "sm_80").stdout
        self.assertRegex(text, r"flash +forward +bf16, f16 +1 to 16 +1 to 256 +decode_sm80\n")
        self.assertRegex(text, r"flash +forward +bf16, f16 +17 to 512 +1 to 256 +mma_sm80; where mostly idle decode_sm80\n")
        self.assertRegex(text, r"flash +forward +bf16, f16 +513 and more +1 to 512 +mma_sm80\n")
        self.assertRegex(text, r"Mostly idle: .* few heads,(.|\n)* groups with few queries")
        self.assertRegex(text, r"flash +backward +bf16, f16 +any +1 to 512 +mma_sm80\n")
        self.assertRegex(text, r"\n  mma_sm80 .*--softcap")
        self.assertNotIn("wgmma_sm90a", text)
        told = json.loads(self.expect(0, "info", "--as", "sm_90", "--json", "-").stdout)
        self.assertIn({"type": "flash", "pass": "backward", "dtypes": ["bf16", "f16"], "rows": [1, None],
                       "d": [1, 512], "kernel": "wgmma_sm90a"}, told["routes"])
        self.assertIn({"type": "flash", "pass": "forward", "dtypes": ["bf16", "f16"], "rows": [17, 512],
                       "d": [1, 256], "kernel": "wgmma_sm90a", "kernel_where_idle": "decode_sm80"}, told["routes"])
        self.refuse("info", "--as", "sm_42", says="sm_80")
        self.refuse("info", "--as", "sm_80", "--threads", "1", says="--threads")

    def test_text_and_json(self):
        text = self.expect(0, "info").stdout
        for word in ("processor", "cgroup", "OpenMP", "ISA levels", "avx512", "cuda", "cpu_flash", "GFLOP/s"):
            self.assertIn(word, text)
        info = json.loads(self.expect(0, "info", "--json", "-").stdout)
        self.assertTrue(info["isas"]["scalar"]["available"])
        for status in list(info["isas"].values()) + list(info["backends"].values()):
            self.assertNotEqual(status["available"], bool(status["reason"]))
        self.assertTrue(any(peak["gflops"] for peak in info["peaks"]))
        kernels = {"cpu_flash", "cpu_normal", "paper"}
        if info["cuda_devices"]["emulated"]["available"]:  # built with the CUDA toolkit
            kernels |= {"decode_sm80", "wgmma_sm90a", "mma_sm80", "mma_bf16x6_sm80", "simt_f32", "normal_cublas"}
        self.assertEqual({k["name"] for k in info["kernels"]}, kernels)


class Origin(CliTest):
    """The origin's command lines with their counterparts, at a size for tests."""

    SMALL = ["--b", "1", "--h", "2", "--q_len", "128", "--kv_len", "128", "--d", "64"]

    def test_all_of_them(self):
        for mask in (["--causal"], ["--mask", "random"]):
            self.expect(0, "forward", *mask, *self.SMALL)
            for kind in ("flash", "normal"):
                done = self.expect(0, "bench", *mask, *self.SMALL, "--type", kind, "--profile", *FAST)
                self.assertIn("phases of", done.stdout)
            self.expect(0, "check", "--pass", "backward", *mask, *self.SMALL)


if __name__ == "__main__":
    unittest.main()
