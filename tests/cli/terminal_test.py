"""What is wider than a terminal goes on below, and stays whole for what reads lines."""

import unittest

from harness import FAST, TINY, CliTest


class Terminal(CliTest):
    def lines(self, *args, columns=80, code=0):
        return self.on_a_terminal(*args, columns=columns, code=code).splitlines()

    def expect_narrow(self, *args, code=0):
        lines = self.lines(*args, code=code)
        wide = [x for x in lines if len(x) > 80 and not x.lstrip().startswith("reproduce")]
        self.assertEqual(wide, [], args)
        return lines

    def test_nothing_is_wider_than_the_terminal(self):
        self.expect(0, "bench", *TINY, *FAST, "--json", "a.json")
        self.expect_narrow("forward", *TINY)
        self.expect_narrow("bench", *TINY, *FAST, "--quiet")
        self.expect_narrow("check", *TINY, "--pass", "forward,backward", "--mask", "none,random", "--quiet")
        self.expect_narrow("compare", "a.json", "--by", "type", code=None)

    def test_sentences_of_info_go_on_under_their_first_word(self):
        lines = self.expect_narrow("info", "--isa", "scalar", "--threads", "1")
        first = next(i for i, x in enumerate(lines) if x.startswith("  cpu_flash "))
        column = lines[first].index("flash   cpu")
        self.assertEqual(lines[first + 1][:column].strip(), "", lines[first : first + 2])
        self.assertNotEqual(lines[first + 1].strip(), "")

    def test_a_pipe_gets_whole_lines(self):
        self.assertGreater(max(map(len, self.expect(0, "info", "--isa", "scalar", "--threads", "1").stdout.splitlines())), 80)
        table = self.expect(0, "check", *TINY, "--mask", "none,random", "--quiet").stdout
        rows = [x for x in table.splitlines() if x.startswith("flash, ")]
        self.assertTrue(rows and all(x.endswith("pass") for x in rows), table)

    def test_a_folded_row_of_check_has_its_numbers_below_its_name(self):
        lines = self.lines("check", *TINY, "--mask", "none,random", "--quiet")
        row = next(i for i, x in enumerate(lines) if x.startswith("flash, "))
        self.assertNotIn("pass", lines[row])
        self.assertRegex(lines[row + 1], r"^    +\d+ .*pass$")


if __name__ == "__main__":
    unittest.main()
