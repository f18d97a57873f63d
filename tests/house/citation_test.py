"""CITATION.cff and CHANGELOG.md name the version that is built, the licence in LICENSE and flags that there are: nobody
thinks of them at a release, or when a flag gets another name."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def cited(key):
    (value,) = re.findall(rf"(?m)^{key}: (.+)$", (SOURCE / "CITATION.cff").read_text())
    return value


def built():
    (version,) = re.findall(r"project\(flashbench VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())
    return version


class Citation(unittest.TestCase):
    def test_it_has_the_version_of_the_build(self):
        self.assertEqual(cited("version"), built())

    def test_it_has_the_licence(self):
        text = (SOURCE / "LICENSE").read_text()
        name, version = re.search(r"(Apache) License\s+Version (\S+),", text).groups()
        self.assertEqual(cited("license"), f"{name}-{version}")


class Changes(unittest.TestCase):
    def setUp(self):
        self.text = (SOURCE / "CHANGELOG.md").read_text()

    def test_the_version_of_the_build_is_the_newest(self):
        self.assertEqual(re.findall(r"(?m)^## (.+)$", self.text)[0], built())

    def test_every_flag_of_the_newest_is_one_of_its_command(self):
        newest = self.text.split("\n## ")[1]
        named = re.findall(r"`(check|compare|bench) --(\w+)", newest)
        self.assertTrue(named)
        for command, flag in named:
            lines = (SOURCE / f"tests/golden/help_{command}.txt").read_text()
            self.assertRegex(lines, rf"(?m)^  --{flag}\b", f"{command} --{flag}")


if __name__ == "__main__":
    unittest.main()
