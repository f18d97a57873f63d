"""cuDNN as a plug-in where there is neither a GPU nor cuDNN: what it says. What it computes a GPU alone can tell; what it
takes, tests/guest/cudnn_problem_test.cc."""

import shutil
import subprocess
import unittest

from harness import CliTest
from vendor_harness import COMPILER, WithoutLibrary, plugin

PLUGIN = plugin("cudnn")
SMALL = ["--q_len", "40", "--d", "16", "--dtype", "bf16", "--pass", "forward"]


@unittest.skipUnless(PLUGIN.exists(), "needs the headers of cudnn-frontend (-DFLASHBENCH_CUDNN_FRONTEND=FOLDER)")
class WithoutIt(WithoutLibrary, CliTest):
    PLUGIN, SMALL = PLUGIN, SMALL
    LIBRARIES = ["libcudnn.so.9"]
    HOW_TO_GET_IT = (r"python3 -m pip install --target cudnn .*nvidia-cudnn-cu13.*, "
                     r"then put LD_LIBRARY_PATH=\$PWD/cudnn/nvidia/cudnn/lib in front of the command")

    def library(self, version, runtime):
        """A libcudnn that knows its version and that of the CUDA runtime, and nothing else."""
        (self.folder / "cudnn.c").write_text(f"unsigned long cudnnGetVersion(void) {{ return {version}; }}\n"
                                             f"unsigned long cudnnGetCudartVersion(void) {{ return {runtime}; }}\n")
        subprocess.run([COMPILER, "-shared", "-fPIC", "cudnn.c", "-o", "libcudnn.so.9"], check=True, cwd=self.folder)

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_a_cudnn_that_it_cannot_use_is_named(self):
        self.library(90501, 13000)
        self.expect_skipped("this libcudnn is 9.5.1; 9.6.0 or later is needed: python3 -m pip")
        self.library(91900, 77000)
        self.expect_skipped("libcudart.so.77 is not found, which this libcudnn needs: add its folder to LD_LIBRARY_PATH")

    @unittest.skipUnless(COMPILER, "needs a C compiler")
    def test_on_the_processor_it_says_how_to_reach_a_gpu(self):
        self.library(91900, 77000)
        shutil.copy(self.folder / "libcudnn.so.9", self.folder / "libcudart.so.77")
        self.expect_skipped("cudnn: add --backend cuda")


if __name__ == "__main__":
    unittest.main()
