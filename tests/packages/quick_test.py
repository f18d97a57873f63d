"""FLASHBENCH_QUICK: which GPUs a first build compiles for."""

import os
import unittest

from harness import CMAKE, ROOT, PackageTest

SCRIPT = """
set(FLASHBENCH_NVCC {folder}/nvcc)
include({root}/lib/cuda/image/this_gpu.cmake)
flashbench_this_gpu(archs)
message("archs=[${{archs}}]")
"""


class Quick(PackageTest):
    def archs(self, driver):
        """What the build makes of an nvidia-smi that is this shell script, with an nvcc that knows up to 12.0."""
        known = "echo sm_80; echo sm_86; echo sm_90; echo sm_120"
        for name, does in (("nvidia-smi", driver), ("nvcc", known)):
            tool = self.folder / name
            tool.write_text(f"#!/bin/sh\n{does}\n")
            tool.chmod(0o755)
        (self.folder / "ask.cmake").write_text(SCRIPT.format(root=ROOT, folder=self.folder))
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return self.command("sh", "-c", f"{CMAKE} -P ask.cmake 2>&1", PATH=path)

    def test_a_gpu_is_named_by_its_driver(self):
        self.assertIn("archs=[86]", self.archs("echo 8.6"))
        self.assertIn("archs=[90;90a]", self.archs("echo 9.0; echo 9.0"))
        self.assertIn("archs=[80;120]", self.archs("echo 8.0; echo 12.0"))

    def test_a_gpu_that_nvcc_does_not_know_is_left_to_its_ptx(self):
        self.assertIn("archs=[PTX]", self.archs("echo 13.5"))
        self.assertIn("archs=[80]", self.archs("echo 8.0; echo 13.5"))

    def test_no_driver_is_no_gpu(self):
        self.assertIn("archs=[]", self.archs("echo 'NVIDIA-SMI has failed'; exit 9"))
        self.assertIn("archs=[]", self.archs("echo 'No devices were found'"))


if __name__ == "__main__":
    unittest.main()
