"""The action for other people's pull requests, on a stand-in of flashbench and of GitHub's `gh`."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/action"

# Writes what it was asked for; "compare" ends as $COMPARE_CODE says, "check" as $CHECK_CODE.
PROGRAM = """#!/usr/bin/env bash
echo "$(basename "$PWD"): $*" >>"$ASKED"
command=$1
while [ $# -gt 0 ]; do
  if [ "$1" = --md ]; then echo "$command: $(cat kernel)" >"$2"; fi
  if [ "$1" = --json ]; then cp kernel "$2"; fi
  shift
done
[ "$command" != compare ] || exit "${COMPARE_CODE:-0}"
[ "$command" != check ] || exit "${CHECK_CODE:-0}"
"""
# Finds the comment $GH_FINDS.
GH = """#!/usr/bin/env bash
echo "$*" >>"$GH_ASKED"
if [[ "$*" == *--paginate* ]]; then printf '%s' "${GH_FINDS:-}"; fi
exit "${GH_CODE:-0}"
"""
PULL = "https://example.org/them/theirs/pull/7"


@unittest.skipUnless(shutil.which("git"), "no git here")
class Action(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="flashbench_action_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        for name, text in (("flashbench", PROGRAM), ("gh", GH)):
            path = self.programs / name
            path.write_text(text)
            path.chmod(0o755)
        self.repository = self.folder / "theirs"
        self.repository.mkdir()
        self.git("init", "-q")
        self.base = self.commit("old")
        self.commit("new")

    def git(self, *args):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        command = ["git", *identity, *args]
        done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def commit(self, text):
        (self.repository / "source").write_text(text)
        self.git("add", "source")
        self.git("commit", "-qm", text)
        return self.git("rev-parse", "HEAD")

    def action(self, step, **env):
        known = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RUNNER_TEMP": str(self.folder),
            "FLASHBENCH": str(self.programs / "flashbench"),
            "ASKED": str(self.folder / "asked"),
            "GH_ASKED": str(self.folder / "gh_asked"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "BUILD": "cp source kernel",
        }
        return subprocess.run(
            [SCRIPT, step],
            cwd=self.repository,
            env={**known, **env},
            capture_output=True,
            text=True,
        )

    def read(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def test_check_is_a_gate_with_a_summary(self):
        done = self.action("check", CHECK="--plugin ./a.so --filter 'a b*'")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(
            "theirs: check --plugin ./a.so --filter a b* --quiet --junit", self.read("asked")
        )
        self.assertEqual(self.read("summary"), "check: new\n")
        self.assertEqual(self.action("check", CHECK_CODE="1").returncode, 1)
        self.assertEqual(self.read("summary"), "check: new\n" * 2, "the reason is lost")

    def test_check_none_builds_and_checks_nothing(self):
        self.assertEqual(self.action("check", CHECK="none").returncode, 0)
        self.assertEqual(self.read("asked"), "")
        self.assertEqual((self.repository / "kernel").read_text(), "new")

    def test_flags_are_words_and_nothing_is_executed(self):
        marker = self.folder / "marker"
        self.action("check", CHECK=f"--filter '$(touch {marker})' ; touch {marker}")
        self.assertFalse(marker.exists())

    def test_compare_measures_what_the_base_branch_builds(self):
        done = self.action("compare", BASE=self.base, COMPARE="--q_len 64", COMMENT_ON=PULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.read("flashbench/base.json"), "old")
        self.assertEqual(self.read("flashbench/head.json"), "new")
        self.assertIn("base: bench --q_len 64 --calibrate", self.read("asked"))
        self.assertIn("--fail_on slower", self.read("asked"))
        self.assertIn(f"pr comment {PULL} --body-file", self.read("gh_asked"))
        self.assertNotIn("base", self.git("worktree", "list"), "the checkout is left behind")

    def test_a_slower_case_fails_and_is_commented_all_the_same(self):
        asked = {"BASE": self.base, "COMPARE": "--q_len 64"}
        done = self.action("compare", COMPARE_CODE="1", COMMENT_ON=PULL, **asked)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"pr comment {PULL}", self.read("gh_asked"))

    def test_the_comment_of_an_earlier_run_is_replaced_and_no_other(self):
        asked = {"BASE": self.base, "COMPARE": "--q_len 64"}
        done = self.action("compare", COMMENT_ON=PULL, GH_FINDS="12", **asked)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('startswith("<!-- flashbench -->")', self.read("gh_asked"))
        self.assertIn("-X PATCH repos/them/theirs/issues/comments/12 ", self.read("gh_asked"))
        self.assertNotIn("pr comment", self.read("gh_asked"))
        self.assertEqual(self.read("flashbench/comment.md"), "<!-- flashbench -->\ncompare: new\n")

    def test_flags_that_are_no_words_fail_before_anything_is_measured(self):
        done = self.action("check", CHECK="--filter 'a b")
        self.assertNotEqual(done.returncode, 0)
        asked = {"BASE": self.base, "COMPARE": "--q_len '64"}
        self.assertNotEqual(self.action("compare", **asked).returncode, 0)
        self.assertEqual(self.read("asked"), "")

    def test_a_token_that_may_not_comment_fails_nothing(self):
        asked = {"BASE": self.base, "COMPARE": "--q_len 64"}
        done = self.action("compare", GH_CODE="1", COMMENT_ON=PULL, **asked)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("::warning::", done.stdout)
        self.assertIn("compare: new", self.read("summary"))

    def test_a_build_that_fails_fails_the_step(self):
        asked = {"BASE": self.base, "COMPARE": "--q_len 64"}
        self.assertNotEqual(self.action("check", BUILD="false; true").returncode, 0)
        self.assertNotEqual(self.action("compare", BUILD="false; true", **asked).returncode, 0)
        self.assertEqual(self.read("asked"), "")


class Description(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "action.yml").read_text()

    def test_no_input_stands_in_a_command(self):
        # `run: check ${{ inputs.check }}` would execute what a pull request's author wrote there.
        for command in re.findall(r"^ +run: (.*)$", self.text, re.M):
            self.assertNotIn("${{", command)

    def test_every_input_is_used_and_every_step_known(self):
        inputs = self.text.split("inputs:\n")[1].split("\noutputs:")[0]
        for name in re.findall(r"^  (\w+):$", inputs, re.M):
            self.assertIn(f"inputs.{name}", self.text)
        steps = re.findall(r"scripts/action\" (\w+)'", self.text)
        self.assertEqual(steps, ["install", "check", "compare"])

    def test_it_is_what_github_calls_an_action(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("PyYAML is not installed")
        action = yaml.safe_load(self.text)
        self.assertEqual(action["runs"]["using"], "composite")
        for step in action["runs"]["steps"]:
            self.assertLessEqual(set(step), {"name", "id", "if", "shell", "env", "run"})
            self.assertEqual(step["shell"], "bash")
        for declared in action["inputs"].values():
            self.assertLessEqual(set(declared), {"description", "default", "required"})


if __name__ == "__main__":
    unittest.main()
