"""What files say of themselves, by name or by size, neither fools a terminal nor fills the memory."""

import json
import os
import pty
import resource
import select
import shutil
import subprocess
import unittest

from fault_harness import FaultTest
from harness import DATA, FAST, PROGRAM, TINY

EVIL = "a\x1b[2J\nb\x9b.safetensors"  # clears a terminal; a second line; a C1 control that is no UTF-8


class Endless(FaultTest):
    def little_memory(self):
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    def test_a_report_without_an_end_is_one_line(self):
        for args in (("compare", "/dev/zero", "/dev/zero"), ("bench", "--resume", "/dev/zero"), ("bench", "--config", "/dev/zero"),
                     ("compare", "/dev/urandom", "/dev/urandom")):
            self.refuse(*args, says="/dev/", preexec_fn=self.little_memory, timeout=30)

    def test_a_report_of_a_tebibyte_of_nothing(self):
        with open(self.folder / "hole.json", "wb") as hole:
            hole.truncate(1 << 40)
        self.refuse("compare", "hole.json", "hole.json", says="NUL", preexec_fn=self.little_memory, timeout=30)
        with open(self.folder / "hole.safetensors", "wb") as hole:
            hole.truncate(1 << 40)
        self.refuse("forward", "--input", "hole.safetensors", preexec_fn=self.little_memory, timeout=30)


class Names(FaultTest):
    def setUp(self):
        super().setUp()
        shutil.copy(DATA / "tiny_f32.safetensors", os.path.join(os.fsencode(self.folder), EVIL.encode("utf-8", "surrogateescape")))

    def expect_plain(self, text):
        self.assertNotRegex(text, r"[\x00-\x09\x0b-\x1f\x7f]")
        self.assertNotIn("\nb", text)

    def test_a_name_stays_on_its_line(self):
        done = self.expect(0, "bench", *FAST, "--input", EVIL, "--md", "r.md")
        for text in (done.stdout, done.stderr, (self.folder / "r.md").read_text()):
            self.expect_plain(text)
        self.assertIn(r"input a\x1b[2J\x0ab", done.stdout)
        done = self.expect(0, "forward", "--input", EVIL, "--output", "c\x1b[31m\nb.safetensors")
        self.expect_plain(done.stdout + done.stderr)
        self.assertIn(r"c\x1b[31m\x0ab.safetensors", done.stdout)
        done = self.expect(0, "check", "--input", EVIL, "--external", "c\x1b[31m\nb.safetensors", "--md", "c.md")
        self.expect_plain(done.stdout + done.stderr + (self.folder / "c.md").read_text())

    def test_a_refusal_names_it_on_one_line(self):
        for args in (("compare", EVIL, EVIL), ("bench", "--resume", EVIL), ("bench", "--config", EVIL),
                     ("bench", "--json", EVIL + "/x"), ("bench", "--type", EVIL), ("bench", EVIL), (EVIL,)):
            self.expect_plain(self.refuse(*args))


class Escapes(FaultTest):
    def on_a_terminal(self, **env):
        leader, follower = pty.openpty()
        process = subprocess.Popen([PROGRAM, "bench", *TINY, *FAST], stdin=subprocess.DEVNULL, stdout=follower,
                                   stderr=follower, cwd=self.folder, env=self.environment(**env))
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], 30)[0]:
            try:
                seen += os.read(leader, 4096)
            except OSError:  # the last writer is gone
                break
        os.close(leader)
        self.assertEqual(process.wait(timeout=60), 0)
        return seen

    def test_a_dumb_terminal_gets_lines(self):
        for env in ({"TERM": "dumb"}, {"TERM": ""}, {"TERM": "xterm", "NO_COLOR": "1"}):
            seen = self.on_a_terminal(**env)
            self.assertNotIn(b"\x1b", seen)
            self.assertIn(b"2/2 normal", seen)

    def test_another_one_gets_a_bar(self):
        self.assertIn(b"\x1b[K", self.on_a_terminal(TERM="xterm", NO_COLOR=""))


class Stdout(FaultTest):
    def test_by_its_names_it_is_a_dash_where_it_is_a_file(self):
        for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"):
            with open(self.folder / "out", "w") as out:
                done = self.expect(0, "bench", *TINY, *FAST, "--json", name, stdout=out)
            json.loads((self.folder / "out").read_text())
            self.assertIn("of peak", done.stderr)


if __name__ == "__main__":
    unittest.main()
