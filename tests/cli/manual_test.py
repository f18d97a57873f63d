"""The manual page and the completions have every flag that the program takes. FLASHBENCH_UPDATE_GOLDEN=1 writes them
anew."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from harness import PROGRAM, ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import manual  # noqa: E402

FOLDER = ROOT / "app/manual"


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, cls.commands = manual.commands_of(PROGRAM)

    def test_the_copies_are_those_of_this_program(self):
        for name, text in manual.pages(PROGRAM).items():
            path = FOLDER / name
            if os.environ.get("FLASHBENCH_UPDATE_GOLDEN"):
                path.write_text(text)
            self.assertEqual(text, path.read_text(), f"{path} (FLASHBENCH_UPDATE_GOLDEN=1 rewrites it)")

    def test_no_flag_of_the_help_is_lost(self):
        texts = {name: (FOLDER / name).read_text() for name in ("flashbench.1", "_flashbench", "flashbench.fish")}
        for command in self.commands:
            helped = subprocess.run([PROGRAM, command.name, "--help"], capture_output=True, text=True).stdout
            names = re.findall(r"^  --(\w+)", helped, re.M)
            self.assertEqual(names, [flag.name for flag in command.flags()], command.name)
            for name in names:
                self.assertIn(f"\n\\fB\\-\\-{name}\\fR", texts["flashbench.1"])
                self.assertIn(f"\n      '--{name}[", texts["_flashbench"].split(f"    {command.name})\n")[1])
                self.assertRegex(texts["flashbench.fish"], f"from {command.name}' -l {name}[ \n]")

    def test_words_of_a_flag_are_those_of_its_help(self):
        words = {flag.name: flag.words() for command in self.commands for flag in command.flags()}
        self.assertEqual(words["dtype"], ["f32", "bf16", "f16"])
        self.assertEqual(words["kv_dtype"], ["e4m3", "e5m2"])
        self.assertEqual(words["bias"], ["none", "random"])  # the third is a file
        self.assertEqual(words["cache"], ["warm", "cold"])
        for numbers in ("d", "threads", "seed", "json", "help"):
            self.assertEqual(words[numbers], [], numbers)
        for switch in ("causal", "deterministic", "isolate", "quiet"):
            self.assertEqual(words[switch], ["true", "false"], switch)
        self.assertIn("llama3_8b", words["config"])

    def test_words_that_the_help_has_in_sentences_are_in_it(self):
        helps = {flag.name: flag.help for command in self.commands for flag in command.flags()}
        for name, words in manual.OTHER_WORDS.items():
            for word in words:
                self.assertRegex(helps[name], rf"\b{word}\b", name)

    def test_every_field_of_few_words_completes_them(self):
        # The program's own error lists the words of a field.
        for command in self.commands:
            if command.name != "bench":
                continue
            for flag in command.flags():
                if flag.name in ("config", "part") or not flag.value:
                    continue
                done = subprocess.run([PROGRAM, "bench", "--dry_run", f"--{flag.name}", "no_such_word"],
                                      capture_output=True, text=True)
                listed = re.search(rf"^flashbench: --{flag.name} must be ((?:[\w-]+, )*[\w-]+ or [\w-]+), got", done.stderr)
                if listed:  # a dtype of K and V that is the other tensors' is said by none
                    self.assertTrue(flag.words(), flag.name)
                    self.assertLessEqual(set(flag.words()), set(re.split(", | or ", listed[1])), flag.name)

    @unittest.skipUnless(shutil.which("man"), "no man here")
    def test_the_page_is_laid_out_without_a_warning(self):
        done = subprocess.run(["man", "-l", "--warnings=w", FOLDER / "flashbench.1"], capture_output=True,
                              text=True, env=dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8", PAGER="cat"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for text in ("--kv_dtype T", "EXIT STATUS", "flashbench bench --causal"):
            self.assertIn(text, done.stdout)

    @unittest.skipUnless(shutil.which("mandoc"), "no mandoc here")
    def test_mandoc_finds_no_error(self):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "error", FOLDER / "flashbench.1"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)


@unittest.skipUnless(shutil.which("bash"), "no bash here")
class Bash(unittest.TestCase):
    def bash(self, script):
        done = subprocess.run(["bash", "--norc", "-c", f"source {FOLDER}/flashbench.bash; {script}"],
                              capture_output=True, text=True, cwd=ROOT / "tests")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def complete(self, *words, program="flashbench"):
        line = " ".join(f"'{word}'" for word in words)
        return self.bash(f"COMP_WORDS=('{program}' {line}); COMP_CWORD={len(words)}; _flashbench; "
                         'printf "%s\\n" "${COMPREPLY[@]}"')

    def test_it_is_registered(self):
        self.assertEqual(self.bash("complete -p flashbench")[-1], "flashbench")

    def test_commands_flags_words_and_files(self):
        self.assertEqual(self.complete("b"), ["backward", "bench"])
        self.assertEqual(self.complete("bench", "--dt"), ["--dtype"])
        self.assertEqual(self.complete("bench", "--dtype", ""), ["f32", "bf16", "f16"])
        self.assertEqual(self.complete("bench", "--dtype", "f32,b"), ["f32,bf16"])
        self.assertEqual(self.complete("bench", "--dtype", "=", "bf"), ["bf16"])
        self.assertEqual(self.complete("bench", "--mask", "CMakeL"), ["CMakeLists.txt"])
        self.assertEqual(self.complete("bench", "--json", "CMakeL"), ["CMakeLists.txt"])
        self.assertEqual(self.complete("bench", "--q_len", ""), [], "a number")
        self.assertEqual(self.complete("info", "--dt"), [], "not of this command")

    def test_switches_configs_kernels_and_help(self):
        self.assertEqual(self.complete("bench", "--causal", "t"), ["true"])
        self.assertEqual(self.complete("bench", "--causal", "true,f"), ["true,false"])
        self.assertEqual(self.complete("bench", "--causal", "--dt"), ["--dtype"], "a switch may stand bare")
        self.assertEqual(self.complete("bench", "--isolate", "f"), ["false"])
        self.assertEqual(self.complete("bench", "--config", "llama"), ["llama3_8b"])
        self.assertEqual(self.complete("bench", "--config", "CMakeL"), ["CMakeLists.txt"])
        self.assertEqual(self.complete("bench", "--kernel", "cpu_fl", program=PROGRAM), ["cpu_flash"])
        self.assertEqual(self.complete("help", "b"), ["backward", "bench"])


@unittest.skipUnless(shutil.which("zsh"), "no zsh here")
class Zsh(unittest.TestCase):
    def test_it_parses(self):
        done = subprocess.run(["zsh", "-n", FOLDER / "_flashbench"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


@unittest.skipUnless(shutil.which("fish"), "no fish here")
class Fish(unittest.TestCase):
    def test_it_is_read_without_an_error(self):
        done = subprocess.run(["fish", "--no-config", FOLDER / "flashbench.fish"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
