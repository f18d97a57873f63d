"""cpack -G DEB: files, dependencies, and a program that runs where it was unpacked."""

import re
import unittest

from harness import BUILD, PackageTest, require

require("cpack", "dpkg-deb", "dpkg-shlibdeps")


class Deb(PackageTest):
    def test_what_the_package_holds_and_needs(self):
        self.command(
            "cpack",
            "--config",
            BUILD / "CPackConfig.cmake",
            "-G",
            "DEB",
            "-B",
            self.folder / "made",
        )
        (deb,) = (self.folder / "made").glob("*.deb")
        depends = self.command("dpkg-deb", "-f", deb, "Depends")
        for package in ("libc6", "libadolc2", "libfmt", "libgomp1", "libhwy1", "libmd0"):
            self.assertRegex(depends, rf"\b{re.escape(package)}")
        self.assertNotRegex(depends, r"cuda|-dev\b|python")
        self.command("dpkg-deb", "-x", deb, self.folder / "root")
        self.check_files(self.folder / "root/usr")
        self.assertEqual({p.name for p in (self.folder / "root").iterdir()}, {"usr"})
        self.check_runs(self.folder / "root/usr/bin/flashbench")


if __name__ == "__main__":
    unittest.main()
