"""ggml as a plug-in: what it says without the library, and what it computes with it."""

import os
import pathlib
import re
import struct
import subprocess
import sys
import unittest

from harness import ROOT, CliTest, write_safetensors
from vendor_harness import COMPILER, WithoutLibrary, plugin

PLUGIN = plugin("ggml")
SOURCES = ROOT / "lib/guest/plugins"
SMALL = ["--q_len", "40", "--d", "16", "--pass", "forward"]


def folder_of_ggml():
    """That of libggml-python, in the Python that tests have their packages from; None where it is not installed."""
    python = os.environ.get("FLASHBENCH_PACKAGES") or sys.executable
    done = subprocess.run([python, "-c", "import libggml; print(libggml.__path__[0])"], capture_output=True, text=True)
    return pathlib.Path(done.stdout.strip()) if done.returncode == 0 else None


GGML = folder_of_ggml()


class WithoutIt(WithoutLibrary, CliTest):
    PLUGIN, SMALL = PLUGIN, SMALL
    LIBRARIES = ["libggml-base.so.0"]
    HOW_TO_GET_IT = (r"python3 -m pip install --target ggml libggml-python, "
                     r"then put LD_LIBRARY_PATH=\$PWD/ggml/libggml/lib64 in front")

    def library(self, version, without=()):
        """A libggml of as many functions, of which one answers."""
        names = re.findall(r"F\((?:base|cpu), .*?(ggml_\w+),", (SOURCES / "ggml_functions.h").read_text())
        self.assertGreater(len(names), 20)
        text = "".join(f"void {n}(void) {{}}\n" for n in {"ggml_init", *names} - {"ggml_version", *without})
        text += f'const char *ggml_version(void) {{ return "{version}"; }}\n'
        (self.folder / "ggml.c").write_text(text)
        for name in ("base", "cpu"):
            subprocess.run([COMPILER, "-shared", "-fPIC", "-w", "ggml.c", "-o", f"libggml-{name}.so.0"], check=True, cwd=self.folder)

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_a_ggml_that_it_does_not_know_is_named(self):
        self.library("0.15.2")
        self.expect_skipped("this libggml is 0.15.2; 0.20 or later is needed: python3 -m pip")
        self.library("0.20.2", without=["ggml_flash_attn_ext_add_sinks"])
        self.expect_skipped("this libggml has no ggml_flash_attn_ext_add_sinks; .*: python3 -m pip")
        self.library("0.99.0")
        self.expect_skipped("ggml 0.99.0 has other structs than 0.20")


@unittest.skipUnless(GGML, "needs libggml-python (PyPI)")
class Ggml(CliTest):
    def environment(self, **extra):
        return super().environment(**{"LD_LIBRARY_PATH": str(GGML / "lib64")} | extra)

    def check_json(self, *args, code=0):
        return self.validated(self.expect(code, "check", "--plugin", PLUGIN, *args, "--pass", "forward", "--quiet", "--json", "-").stdout)

    def test_what_it_computes_of_the_suite_is_right(self):
        done = self.expect(0, "check", "--plugin", PLUGIN, "--quiet")
        passed = re.search(r"^pass: \d{4} cases, (\d+) passed, 0 failed", done.stdout, re.M)
        self.assertTrue(passed and int(passed[1]) >= 300, done.stdout[-500:])

    # Lengths that its tiles of 64 do not divide; the suite asks f16 for less than that.
    def test_tiles_are_right_with_every_mask(self):
        for cases, args in (
            (8, ["--b", "2", "--h", "4", "--h_kv", "2", "--causal", "true,false", "--mask", "none,random"]),
            (4, ["--softcap", "0,3", "--sinks", "none,random"]),
            (4, ["--window_left", "none,20", "--window_right", "none,5"]),
            (4, ["--h", "12", "--alibi", "standard", "--causal", "true,false"]),
            (2, ["--h", "4", "--h_kv", "1", "--d_v", "32", "--v_in_k"]),
        ):
            with self.subTest(args):
                dtypes = "f32,f16"
                results = self.check_json("--q_len", "70", "--kv_len", "130", "--d", "64", "--dtype", dtypes, *args)["results"]
                self.assertEqual({r["check"]["verdict"] for r in results}, {"pass"}, results)
                self.assertGreaterEqual(len(results), cases)

    def test_a_bias_is_its_mask(self):
        for shape in ("1x1", "1xh", "bx1", "bxh"):
            results = self.check_json("--b", "2", "--h", "4", "--q_len", "70", "--kv_len", "130", "--d", "64", "--dtype", "f16",
                                      "--bias", "random", "--bias_shape", shape)["results"]
            self.assertEqual([r["check"]["verdict"] for r in results], ["pass"], shape)

    def test_numbers_of_threads_take_turns(self):
        results = self.check_json("--q_len", "70,1", "--kv_len", "600", "--d", "64", "--threads", "1,2", "--isolate", "false")["results"]
        self.assertEqual([r["check"]["verdict"] for r in results], ["pass"] * 4)

    def test_what_it_does_not_compute_is_named(self):
        write_safetensors(self.folder / "slopes.safetensors", {"alibi_slopes": ("F32", [2], struct.pack("<2f", 0.3, 0.1))})
        for args, why in (
            (["--pass", "both"], "forward alone"),
            (["--dtype", "f16", "--kv_dtype", "e4m3"], "no floats of 8 bits"),
            (["--ragged", "2q8k"], "sequences of one length alone"),
            (["--page_size", "16", "--kv_len", "64"], "no pages"),
            (["--dtype", "f16", "--q_len", "63"], "it sums P V in f16"),
            (["--dtype", "f16", "--q_len", "64", "--d_v", "12"], "it sums P V in f16"),
            (["--bias", "random"], "a bias of f16 alone"),
            (["--bias", "random", "--dtype", "f16", "--causal", "--q_len", "64"], "a bias has no other mask beside it"),
            (["--h", "2", "--alibi", "standard", "--kv_len", "2050"], "rounds those beyond 2048"),
            (["--h", "2", "--alibi", "slopes.safetensors"], "the standard slopes of ALiBi alone"),
        ):
            with self.subTest(why):
                if "--ragged" not in args and "--q_len" not in args:
                    args = [*args, "--q_len", "40"]
                if "--pass" not in args:
                    args = [*args, "--pass", "forward"]
                done = self.expect(3, "check", "--plugin", PLUGIN, "--d", "16", *args)
                self.assertIn(f"ggml: {why}" if why[0] != "i" and why[0] != "r" else why, done.stdout)

    def test_it_stands_beside_flash(self):
        report = self.bench_json("--plugin", PLUGIN, "--type", "flash,plugin", "--h", "2", "--q_len", "64", "--d", "16")
        flash, ggml = report["results"]
        self.assertEqual((flash["status"], ggml["status"]), ("ok", "ok"), ggml["reason"])
        self.assertRegex(ggml["guest"]["build"], r"^ggml \d+\.\d+\.\d+ \(\w+\), ")
        self.assertEqual({w["tensor"] for w in ggml["check"]["worst"]}, {"o"}, "it has no LSE")

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_its_headers_declare_what_we_do(self):
        subprocess.run([COMPILER, "-std=c11", "-fsyntax-only", "-Werror=incompatible-pointer-types", f"-I{SOURCES}",
                        f"-I{GGML / 'include'}", ROOT / "tests/guest/ggml_headers.c"], check=True)

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_the_line_of_the_page_builds_it(self):
        (line,) = re.findall(r"^    (cc .*ggml\.c .*)$", (SOURCES / "README.md").read_text(), re.M)
        built = self.folder / "ggml.so"
        line = line.replace("cc", COMPILER, 1).replace("-o ggml.so", f"-o {built}")
        subprocess.run(line, shell=True, check=True, cwd=ROOT)
        self.expect(0, "check", "--plugin", built, *SMALL)


if __name__ == "__main__":
    unittest.main()
