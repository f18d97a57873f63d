"""CITATION.cff names the version that is built and the licence that is in LICENSE: nobody thinks of it at a release."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def cited(key):
    (value,) = re.findall(rf"(?m)^{key}: (.+)$", (SOURCE / "CITATION.cff").read_text())
    return value


class Citation(unittest.TestCase):
    def test_it_has_the_version_of_the_build(self):
        (version,) = re.findall(r"project\(flashbench VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())
        self.assertEqual(cited("version"), version)

    def test_it_has_the_licence(self):
        text = (SOURCE / "LICENSE").read_text()
        name, version = re.search(r"(Apache) License\s+Version (\S+),", text).groups()
        self.assertEqual(cited("license"), f"{name}-{version}")


if __name__ == "__main__":
    unittest.main()
