"""Help texts against golden files. FLASHBENCH_UPDATE_GOLDEN=1 writes them anew."""

import os
import unittest

from harness import ROOT, CliTest

GOLDEN = ROOT / "tests/golden"


class Help(CliTest):
    def compare(self, name, args):
        text = self.expect(0, *args).stdout
        path = GOLDEN / name
        if os.environ.get("FLASHBENCH_UPDATE_GOLDEN"):
            path.write_text(text)
        self.assertEqual(text, path.read_text(), f"{path} (FLASHBENCH_UPDATE_GOLDEN=1 rewrites it)")
        for line in text.splitlines():
            self.assertLessEqual(len(line), 100, line)

    def test_general(self):
        self.compare("help.txt", ["--help"])

    def test_commands(self):
        for command in ("forward", "backward", "bench", "check", "info", "compare"):
            self.compare(f"help_{command}.txt", [command, "--help"])


if __name__ == "__main__":
    unittest.main()
