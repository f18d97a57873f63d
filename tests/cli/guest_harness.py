"""What the tests of other people's kernels share."""

import hashlib
import os
import pathlib

from harness import ROOT, CliTest

PLUGINS = pathlib.Path(os.environ.get("FLASHBENCH_PLUGINS", "."))
SMALL = ["--b", "1", "--h", "2", "--q_len", "40,24", "--d", "16", "--pass", "forward"]
EXAMPLES = ROOT / "lib/guest/examples"
HEADER = ROOT / "lib/guest/flashbench_kernel.h"


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def plugin(name):
    return str(PLUGINS / f"{name}.so")


class GuestTest(CliTest):
    def attack(self, what, *args, code=1, **kwargs):
        return self.expect(code, *args, "--plugin", plugin("attacks"), "--quiet", env={"ATTACK": what}, **kwargs)

    def check_json(self, *args, code=0, **kwargs):
        return self.validated(self.expect(code, "check", *args, "--quiet", "--json", "-", **kwargs).stdout)
