"""FLASHBENCH_QUICK: which GPUs a first build compiles for."""

import os
import unittest

from harness import CMAKE, ROOT, PackageTest

SCRIPT = """
include({root}/lib/cuda/image/this_gpu.cmake)
flashbench_this_gpu(archs)
message("archs=[${{archs}}]")
"""


class Quick(PackageTest):
    def archs(self, driver):
        """What the build makes of an nvidia-smi that is this shell script."""
        tool = self.folder / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{driver}\n")
        tool.chmod(0o755)
        (self.folder / "ask.cmake").write_text(SCRIPT.format(root=ROOT))
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return self.command("sh", "-c", f"{CMAKE} -P ask.cmake 2>&1", PATH=path)

    def test_a_gpu_is_named_by_its_driver(self):
        self.assertIn("archs=[86]", self.archs("echo 8.6"))
        self.assertIn("archs=[90;90a]", self.archs("echo 9.0; echo 9.0"))
        self.assertIn("archs=[80;120]", self.archs("echo 8.0; echo 12.0"))

    def test_no_driver_is_no_gpu(self):
        self.assertIn("archs=[]", self.archs("echo 'NVIDIA-SMI has failed'; exit 9"))
        self.assertIn("archs=[]", self.archs("echo 'No devices were found'"))


if __name__ == "__main__":
    unittest.main()
