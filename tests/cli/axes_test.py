"""Axes in another order than they are read in."""

import unittest

from harness import CliTest, write_safetensors


def tensor(*shape):
    count = 1
    for n in shape:
        count *= n
    return ("F32", list(shape), b"\0" * (4 * count))


class SwappedAxes(CliTest):
    def write(self, name, **shapes):
        write_safetensors(self.folder / name, {key: tensor(*shape) for key, shape in shapes.items()})
        return name

    def test_an_input_that_would_fit_in_the_other_layout_says_so(self):
        hint = "with the axes as [b, len, h, d] all fits: --layout bshd"
        decode = self.write("decode.safetensors", q=(1, 1, 8, 16), k=(1, 20, 2, 16), v=(1, 20, 2, 16))
        self.refuse("forward", "--input", decode, says=hint)
        prompt = self.write("prompt.safetensors", q=(1, 20, 8, 16), k=(1, 20, 8, 16), v=(1, 20, 8, 16))
        self.refuse("forward", "--input", prompt, "--h", "8", says=["--h 8 contradicts", hint])
        self.refuse("forward", "--input", self.write("kv.safetensors", q=(1, 8, 20, 16), k=(1, 2, 20, 16), v=(1, 20, 2, 16)),
                    says="so h_kv is 20")  # nor does that
        self.expect(0, "forward", "--input", decode, "--layout", "bshd")
        self.refuse("forward", "--input", self.write("bhsd.safetensors", q=(1, 8, 1, 16), k=(1, 2, 20, 16), v=(1, 2, 20, 16)),
                    "--layout", "bshd", says="with the axes as [b, h, len, d] all fits: --layout bhsd")

    def test_heads_that_look_like_rows_are_warned_of(self):
        swapped = self.write("rows.safetensors", q=(1, 100, 8, 16), k=(1, 100, 2, 16), v=(1, 100, 2, 16))
        done = self.expect(0, "forward", "--input", swapped)
        self.assertIn("has 100 heads of 8 queries and 2 keys; if its axes are [b, len, h, d], say --layout bshd", done.stderr)
        self.assertEqual(self.expect(0, "forward", "--input", swapped, "--layout", "bshd").stderr, "")
        decode = self.write("decode.safetensors", q=(1, 100, 1, 16), k=(1, 4, 20, 16), v=(1, 4, 20, 16))
        self.assertEqual(self.expect(0, "forward", "--input", decode).stderr, "")

    def test_results_with_swapped_or_joined_axes(self):
        given = self.write("in.safetensors", q=(1, 4, 10, 16), k=(1, 4, 10, 16), v=(1, 4, 10, 16))
        for result, hint in (({"o": (1, 10, 4, 16)}, "axes 1 and 2 are swapped: transpose it"),
                             ({"lse": (1, 10, 4)}, "axes 1 and 2 are swapped: transpose it"),
                             ({"lse": (4, 10)}, "it has as many elements: reshape it")):
            bad = self.write("o.safetensors", **result)
            self.refuse("check", "--input", given, "--external", bad, says=["this problem's must be", hint])
        line = self.refuse("check", "--input", given, "--external", self.write("o.safetensors", o=(1, 4, 11, 16)))
        self.assertNotIn("swapped", line)
        self.assertNotIn("reshape", line)

    def test_lse_is_named_by_its_own_axes(self):
        out = self.expect(0, "forward", "--q_len", "16", "--d", "16").stdout
        self.assertRegex(out, r"O .* worst at \[0,\d,\d+,\d+\]")
        self.assertRegex(out, r"LSE .* worst at \[0,\d,\d+\]")


if __name__ == "__main__":
    unittest.main()
