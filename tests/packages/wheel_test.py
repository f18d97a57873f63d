"""The wheel that scripts/package left in dist/: what it holds, and the command in a fresh environment."""

import sys
import time
import unittest
import venv
import zipfile

from harness import FILES, ROOT, SKIPPED, PackageTest

WHEELS = sorted((ROOT / "dist").glob("flashbench-*.whl"))
if not WHEELS:
    print("skipped: there is no wheel in dist/; scripts/package wheel makes it")
    sys.exit(SKIPPED)


class Wheel(PackageTest):
    def test_it_carries_what_it_links_with_and_says_the_licences(self):
        names = set(zipfile.ZipFile(WHEELS[-1]).namelist())
        self.assertEqual({f"flashbench/{file}" for file in FILES} - names, set())
        self.assertLessEqual(
            {"flashbench/__init__.py", "flashbench/__main__.py", "flashbench/worker.py"}, names
        )
        self.assertIn("manylinux", WHEELS[-1].name)
        for library in ("libadolc", "libfmt", "libgomp", "libhwy", "libmd"):
            self.assertTrue(
                [n for n in names if n.startswith(f"flashbench.libs/{library}-")], library
            )
            self.assertTrue(
                [n for n in names if n.endswith(f".dist-info/licenses/{library}.copyright")],
                library,
            )

    def test_the_installed_wheel_gives_a_number_within_a_minute(self):
        venv.create(self.folder / "venv", with_pip=True)
        bin_folder = self.folder / "venv/bin"
        begin = time.monotonic()
        self.command(bin_folder / "pip", "install", "--no-index", WHEELS[-1])
        self.check_runs(bin_folder / "flashbench")
        self.assertLess(time.monotonic() - begin, 60)
        self.command(bin_folder / "python", "-m", "flashbench", "--version")
        self.command(bin_folder / "python", "-m", "flashbench.worker", "--help")
        header = self.command(
            bin_folder / "python", "-c", "import flashbench.__main__ as m; print(m.get_include())"
        )
        self.assertTrue((self.folder / header.strip() / "flashbench_kernel.h").is_file())


if __name__ == "__main__":
    unittest.main()
