"""What the tests of other libraries' plug-ins share: what each says where its library is not there."""

import os
import pathlib
import shutil

COMPILER = shutil.which("cc") or shutil.which("gcc")


def plugin(name):
    return pathlib.Path(os.environ.get("FLASHBENCH_VENDORS", ".")) / f"{name}.so"


class WithoutLibrary:
    """Of a test case, beside CliTest. Its class says which `PLUGIN` and problem (`SMALL`) it has, the files of `LIBRARIES`
    that the plug-in looks for, and, as regular expressions, how it says `HOW_TO_GET_IT`."""

    def environment(self, **extra):
        # What the linker finds first is what a test put here.
        return super().environment(**{"LD_LIBRARY_PATH": str(self.folder)} | extra)

    def expect_skipped(self, why, *args):
        done = self.expect(3, "check", "--plugin", self.PLUGIN, *self.SMALL, *args)
        self.assertRegex(done.stdout, why)
        return done.stdout

    def no_library(self):
        for name in self.LIBRARIES:
            (self.folder / name).write_text("")

    def test_one_line_says_how_to_get_it(self):
        self.no_library()
        shown = self.expect_skipped(f"{self.PLUGIN.stem}: .*{self.LIBRARIES[0]}: .*; to get it: {self.HOW_TO_GET_IT}")
        self.assertEqual(shown.count("pip install"), 1, shown)

    def test_the_others_of_a_bench_go_on(self):
        self.no_library()
        report = self.bench_json("--plugin", self.PLUGIN, "--type", "flash,plugin", *self.SMALL)
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "skipped"])
