"""cmake --install: a prefix that works by itself."""

import unittest

from harness import BUILD, CMAKE, PackageTest


class Install(PackageTest):
    def test_a_prefix_needs_no_sources(self):
        prefix = self.folder / "prefix"
        self.command(CMAKE, "--install", BUILD, "--prefix", prefix)
        self.check_files(prefix)
        self.check_runs(prefix / "bin/flashbench")


if __name__ == "__main__":
    unittest.main()
