"""oneDNN as a plug-in: what it says without the library, and what it computes with it."""

import os
import pathlib
import platform
import re
import subprocess
import sys
import unittest

from harness import ROOT, CliTest
from vendor_harness import COMPILER, WithoutLibrary, plugin

PLUGIN = plugin("onednn")
SOURCES = ROOT / "lib/guest/plugins"
SMALL = ["--q_len", "40", "--d", "16", "--pass", "forward"]


def folder_of_onednn():
    """That of PyPI's onednn in the Python that tests have their packages from, "" where the linker finds a library that is
    new enough; None: there is none."""
    python = os.environ.get("FLASHBENCH_PACKAGES") or sys.executable
    prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True).stdout.strip()
    asks = ("import ctypes, sys\n"
            "class V(ctypes.Structure): _fields_ = [('major', ctypes.c_int), ('minor', ctypes.c_int)]\n"
            "f = ctypes.CDLL(sys.argv[1]).dnnl_version\n"
            "f.restype = ctypes.POINTER(V)\n"
            "sys.exit(0 if (3, 12) <= (f()[0].major, f()[0].minor) < (4, 0) else 1)\n")
    for folder in (prefix + "/lib", ""):
        for name in ("libdnnl.so.3", "libdnnl.so.3.6"):
            path = os.pathsep.join(p for p in (folder, os.environ.get("LD_LIBRARY_PATH")) if p)
            known = not folder or (pathlib.Path(folder) / name).exists()
            if known and subprocess.run([sys.executable, "-c", asks, name], capture_output=True,
                                        env=dict(os.environ, LD_LIBRARY_PATH=path)).returncode == 0:
                return folder
    return None


ONEDNN = folder_of_onednn()


class WithoutIt(WithoutLibrary, CliTest):
    PLUGIN, SMALL = PLUGIN, SMALL
    LIBRARIES = ["libdnnl.so.3", "libdnnl.so.3.6"]
    HOW_TO_GET_IT = (r"python3 -m venv onednn && onednn/bin/pip install onednn, "
                     r"then put LD_LIBRARY_PATH=\$PWD/onednn/lib in front")

    def library(self, minor, name="libdnnl.so.3", without=(), more=""):
        """A libdnnl of as many functions, which knows its version and nothing else."""
        names = re.findall(r"F\((?:unsigned|const onednn_version\*), (dnnl_\w+),", (SOURCES / "onednn_functions.h").read_text())
        self.assertGreater(len(names), 20)
        text = "".join(f"int {n}(void) {{ return 3; }}\n" for n in set(names) - {"dnnl_version", *without} if f" {n}(" not in more)
        text += "static struct { int major, minor, patch; const char *hash; unsigned cpu, gpu; } v = "
        text += f'{{3, {minor}, 1, "0123456789", 2, 0}};\nvoid *dnnl_version(void) {{ return &v; }}\n{more}'
        (self.folder / "dnnl.c").write_text(text)
        subprocess.run([COMPILER, "-shared", "-fPIC", "-w", "dnnl.c", "-o", name], check=True, cwd=self.folder)

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_a_onednn_that_it_cannot_use_is_named(self):
        self.library(7)
        self.expect_skipped("this libdnnl is 3.7.1; 3.12 or a later 3 is needed: python3 -m venv")
        self.library(12, without=["dnnl_graph_partition_compile"])
        self.expect_skipped("this libdnnl has no dnnl_graph_partition_compile, .*: python3 -m venv")
        self.library(12)
        self.expect_skipped(r"oneDNN 3.12.1 \(OpenMP\) has no engine for the processor: unimplemented")

    # Debian's library has another name.
    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_debians_name_is_found(self):
        (self.folder / "libdnnl.so.3").write_text("")
        self.library(7, "libdnnl.so.3.6")
        self.expect_skipped("this libdnnl is 3.7.1")

    def library_that_builds_graphs(self, more):
        """Up to where `more` says otherwise."""
        zero = ["dnnl_engine_create", "dnnl_stream_create", "dnnl_graph_logical_tensor_init_with_dims", "dnnl_graph_op_create",
                "dnnl_graph_op_destroy", "dnnl_graph_op_add_input", "dnnl_graph_op_add_output", "dnnl_graph_add_op",
                "dnnl_graph_op_set_attr_bool", "dnnl_graph_op_set_attr_s64", "dnnl_graph_op_set_attr_str",
                "dnnl_graph_graph_create", "dnnl_graph_graph_finalize", "dnnl_graph_graph_filter", "dnnl_graph_graph_destroy"]
        self.library(12, more="".join(f"int {n}(void) {{ return 0; }}\n" for n in zero if f" {n}(" not in more) + more)

    # A version that splits what is asked for would be timed as something that it does not call attention.
    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_several_partitions_are_no_attention(self):
        self.library_that_builds_graphs("int dnnl_graph_graph_get_partition_num(void *g, unsigned long *n) { *n = 3; return 0; }\n")
        why = "oneDNN 3.12.1: it makes 3 partitions of this, and no attention of one"
        self.expect_skipped(why)
        shown = self.expect_skipped(why, "--dtype", "f16")
        flags = pathlib.Path("/proc/cpuinfo").read_text()
        lacks = platform.machine() == "x86_64" and "avx512_fp16" not in flags
        self.assertEqual("f16 takes a processor with AVX512_FP16" in shown, lacks, shown)

    # It was a read beyond our tensors.
    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_ports_that_it_was_not_given_are_refused(self):
        ports = "".join(f"int dnnl_graph_partition_get_{side}_ports_num(void *p, unsigned long *n) {{ *n = 1; return 0; }}\n"
                        f"int dnnl_graph_partition_get_{side}_ports(void *p, unsigned long n, unsigned long *first) "
                        "{ *first = 5000000; return 0; }\n" for side in ("input", "output"))
        self.library_that_builds_graphs(
            "int dnnl_graph_graph_get_partition_num(void *g, unsigned long *n) { *n = 1; return 0; }\n"
            "int dnnl_graph_graph_get_partitions(void *g, unsigned long n, void **p) { *p = p; return 0; }\n"
            "int dnnl_graph_partition_is_supported(void *p, unsigned char *is) { *is = 1; return 0; }\n" + ports)
        self.expect_skipped("oneDNN 3.12.1: its partition has a port between operations, tensor 5000000")

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_an_attribute_that_it_does_not_take_is_told(self):
        self.library_that_builds_graphs("int dnnl_graph_op_set_attr_s64(void) { return 3; }\n")
        self.expect_skipped("oneDNN 3.12.1: dnnl_graph_op_set_attr_s64: unimplemented")


@unittest.skipUnless(ONEDNN is not None, "needs libdnnl 3.12 or later (PyPI's onednn, or where the linker looks)")
class Onednn(CliTest):
    def environment(self, **extra):
        return super().environment(**({"LD_LIBRARY_PATH": ONEDNN} if ONEDNN else {}) | extra)

    def check_json(self, *args, code=0):
        return self.validated(self.expect(code, "check", "--plugin", PLUGIN, *args, "--quiet", "--json", "-").stdout)

    def test_what_it_computes_of_the_suite_is_right(self):
        done = self.expect(0, "check", "--plugin", PLUGIN, "--quiet")
        passed = re.search(r"^pass: \d{4} cases, (\d+) passed, 0 failed", done.stdout, re.M)
        self.assertTrue(passed and int(passed[1]) >= 300, done.stdout[-500:])

    def test_masks_groups_and_rows_without_a_key_are_right(self):
        for cases, args in (
            (16, ["--b", "2", "--h", "4", "--h_kv", "2,4", "--causal", "true,false", "--mask", "none,random", "--pass", "forward,backward"]),
            (6, ["--window_left", "none,20", "--window_right", "none,5", "--d_v", "24", "--pass", "forward,backward"]),
            (4, ["--b", "2", "--h", "4", "--h_kv", "2", "--bias", "random", "--bias_shape", "1xh,bx1", "--pass", "forward,backward"]),
            (1, ["--q_len", "90", "--kv_len", "50", "--causal", "--pass", "forward"]),
        ):
            with self.subTest(args):
                lengths = [] if "--q_len" in args else ["--q_len", "70", "--kv_len", "130"]
                results = self.check_json(*lengths, "--d", "32", "--dtype", "f32", *args)["results"]
                verdicts = [r["check"]["verdict"] for r in results if r["type"] == "plugin" and r["status"] == "ok"]
                self.assertEqual(set(verdicts), {"pass"}, results)
                self.assertGreaterEqual(len(verdicts), cases)

    # bf16 where the processor multiplies it: heads of a group are rounded before they are added.
    def test_gradients_of_grouped_heads_are_right_by_what_it_says(self):
        results = self.check_json("--b", "2", "--h", "8", "--h_kv", "2", "--q_len", "40", "--kv_len", "50", "--d", "16", "--dtype",
                                  "bf16", "--pass", "backward,both")["results"]
        ours = [r for r in results if r["type"] == "plugin" and r["status"] == "ok"]
        self.assertEqual({r["check"]["verdict"] for r in ours} - {"pass"}, set(), results)
        for r in ours:
            self.assertEqual(r["guest"]["rounds"], ["gradients_of_query_heads"])
            self.assertIn("limits of onednn", "\n".join(r["warnings"]))

    def test_what_it_does_not_compute_is_named(self):
        for args, why in (
            (["--pass", "both"], "forward and backward in one with f32"),
            (["--softcap", "30"], "no soft cap"),
            (["--h", "2", "--alibi", "standard"], "no ALiBi"),
            (["--sinks", "random"], "no sinks"),
            (["--dtype", "bf16", "--kv_dtype", "e4m3"], "no K and V of 8 bits"),
            (["--ragged", "2q8k"], "sequences of one length alone"),
            (["--page_size", "16", "--kv_len", "64"], "no pages"),
            (["--bias", "random", "--causal"], "a bias has no other mask beside it"),
            (["--bias", "random", "--dtype", "bf16"], "a bias of f32 alone"),
            (["--d_v", "1", "--pass", "backward"], "no gradients with d_v = 1"),
            (["--kv_len", "30", "--causal", "--pass", "backward"], "each query has to see a key"),
        ):
            with self.subTest(why):
                if "--ragged" not in args:
                    args = [*args, "--q_len", "40"]
                if "--pass" not in args:
                    args = [*args, "--pass", "forward"]
                done = self.expect(3, "check", "--plugin", PLUGIN, "--d", "16", *args)
                self.assertIn(f"onednn: {why}", done.stdout)

    def test_it_stands_beside_flash(self):
        report = self.bench_json("--plugin", PLUGIN, "--type", "flash,plugin", "--h", "2", "--q_len", "64", "--d", "16")
        flash, onednn = report["results"]
        self.assertEqual((flash["status"], onednn["status"]), ("ok", "ok"), onednn["reason"])
        self.assertRegex(onednn["guest"]["build"], r"^oneDNN 3\.\d+\.\d+ \(\w{7}\), \w+$")
        self.assertEqual({w["tensor"] for w in onednn["check"]["worst"]}, {"o"}, "its LSE is not given")

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_the_line_of_the_page_builds_it(self):
        (line,) = re.findall(r"^    (cc .*onednn\.c .*?)(?: +#.*)?$", (SOURCES / "README.md").read_text(), re.M)
        built = self.folder / "onednn.so"
        line = line.replace("cc", COMPILER, 1).replace("-o onednn.so", f"-o {built}")
        subprocess.run(line, shell=True, check=True, cwd=ROOT)
        self.expect(0, "check", "--plugin", built, *SMALL)


@unittest.skipUnless(COMPILER, "needs a C compiler")
class Headers(unittest.TestCase):
    # A number or a struct that is another one is a wrong call, not an error.
    def test_its_headers_declare_what_we_do(self):
        source = ROOT / "tests/guest/onednn_headers.c"
        folders = [f"-I{pathlib.Path(ONEDNN).parent / 'include'}"] if ONEDNN else []
        has = subprocess.run([COMPILER, *folders, "-E", "-x", "c", "-"], input="#include <oneapi/dnnl/dnnl_graph.h>\n",
                             capture_output=True, text=True)
        if has.returncode != 0:
            self.skipTest("needs oneDNN's headers (PyPI's onednn-devel)")
        subprocess.run([COMPILER, "-std=c11", "-fsyntax-only", "-Werror=incompatible-pointer-types", f"-I{SOURCES}", *folders,
                        source], check=True)


if __name__ == "__main__":
    unittest.main()
