"""What `check --junit` and `--md` say of a result that is wrong."""

import struct
import unittest
import xml.etree.ElementTree as ElementTree

from harness import TINY, CliTest, read_safetensors, write_safetensors


class Wrong(CliTest):
    def test_junit_names_every_tensor_that_failed_and_the_command_once(self):
        self.expect(0, "backward", *TINY, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        tensors = read_safetensors(self.folder / "out.safetensors")
        for name in ("o", "dk"):
            dtype, shape, blob = tensors[name]
            tensors[name] = (dtype, shape, struct.pack("<f", 7.0) + blob[4:])
        write_safetensors(self.folder / "wrong.safetensors", tensors)
        self.expect(1, "check", "--input", "in.safetensors", "--external", "wrong.safetensors", "--junit", "c.xml",
                    "--md", "c.md")
        (failure,) = ElementTree.parse(self.folder / "c.xml").getroot().findall(".//failure")
        *tensors, command = failure.text.splitlines()
        self.assertEqual([line.split()[0] for line in tensors], ["O", "dK"])
        self.assertTrue(command.startswith("reproduce: flashbench check "), command)
        self.assertEqual(failure.text.count("reproduce"), 1)
        self.assertEqual(failure.get("message"), tensors[0])
        head, *rest = (self.folder / "c.md").read_text().split("\n\n")
        self.assertRegex(head, r"^\*\*flashbench check: FAIL: 1 case, \d+ passed, 1 failed")
        self.assertIn("**FAIL wrong.safetensors**", rest[0] + rest[1])
        for text in ("- O ", "- dK ", "- reproduce: flashbench check "):
            self.assertIn(text, "\n".join(rest))

    def test_junit_to_stdout_has_it_for_itself(self):
        for path in ("-", "/dev/stdout"):
            done = self.expect(0, "check", *TINY, "--threads", "1", "--junit", path)
            suite = ElementTree.fromstring(done.stdout)
            self.assertGreater(int(suite.get("tests")), 0)
            self.assertIn("pass: ", done.stderr)

    def test_a_forgotten_causal_mask_is_asked_for_and_nothing_else_looks_like_one(self):
        square = [*TINY, "--kv_len", "32"]
        for dtype in ("f32", "bf16"):
            self.expect(0, "forward", *square, "--dtype", dtype, "--causal", "--save_inputs", "in.safetensors",
                        "--output", "causal.safetensors")
            check = ("check", "--input", "in.safetensors", "--external")
            self.assertIn("try --causal", self.expect(1, *check, "causal.safetensors").stdout)
            self.expect(0, "forward", "--input", "in.safetensors", "--scale", "3", "--output", "other.safetensors")
            done = self.expect(1, *check, "other.safetensors")
            self.assertNotIn("try --causal", done.stdout)
            self.assertIn("another mask, scale or dO?", done.stdout)
            self.assertNotIn("try --causal", self.expect(0, *check, "causal.safetensors", "--causal").stdout)

    def test_a_gate_that_skipped_cases_is_red_where_that_is_asked_for(self):
        some = ("check", *TINY, "--dtype", "f32,bf16", "--mask", "random", "--pass", "forward")  # paper has no bf16
        self.assertRegex(self.expect(0, *some).stdout, r"(?m)^pass: .* [1-9]\d* skipped")
        self.expect(0, *some, "--fail_on", "none")
        done = self.expect(1, *some, "--fail_on", "skipped", "--md", "c.md")
        self.assertRegex(done.stdout, r"(?m)^FAIL \(--fail_on skipped\): .* 0 failed, [1-9]\d* skipped")
        self.assertIn("**flashbench check: FAIL (--fail_on skipped): ", (self.folder / "c.md").read_text())
        self.expect(0, "check", *TINY, "--type", "flash", "--pass", "forward", "--fail_on", "skipped")
        self.refuse("check", "--fail_on", "slower", says=["--fail_on", "skipped or none", "'slower'"])
        self.refuse("bench", "--fail_on", "skipped", says="belongs to check, compare")

    def test_the_markdown_of_hundreds_of_cases_fits_a_comment(self):
        out = self.expect(0, "check", "--filter", "*one_query*", "--md", "-").stdout
        self.assertTrue(out.startswith("**flashbench check: pass: "), out[:200])
        self.assertLess(len(out), 8000)


if __name__ == "__main__":
    unittest.main()
