"""Sinks, slopes and biases in files: what does not fit is named, what is there is used and judged."""

import math
import struct
import unittest

from harness import TINY, CliTest, read_safetensors, write_safetensors


class ExtraTensors(CliTest):
    def bundle(self, **more):
        """A file of TINY's shape that has what `more` says, too; its name."""
        tensors = {name: ("F32", [1, 2, 32, 16], bytes(4 * 2 * 32 * 16)) for name in "qkv"}
        write_safetensors(self.folder / "in.safetensors", {**tensors, **more})
        return "in.safetensors"

    def test_sinks_and_slopes_that_do_not_fit(self):
        for flag in ("--sinks", "--alibi"):
            self.refuse("forward", *TINY, flag, "nofile.npy", says=["nofile", "cannot be read"])
            self.refuse("forward", *TINY, flag, "file", says=f"{flag} must be none, ")
        for name, whole, shapes in (("sinks", "sinks must be [h]", ([3], [1, 2], [], [0])),
                                    ("alibi_slopes", "slopes must be [h] or [b, h]", ([1, 1, 2], [], [0]))):
            for shape in shapes:
                numbers = struct.pack(f"<{math.prod(shape)}f", *[1.0] * math.prod(shape))
                says = [f"'{name}'", "3" if shape == [3] else whole]
                self.refuse("forward", "--input", self.bundle(**{name: ("F32", shape, numbers)}), says=says)
            for bad, word in ((math.nan, "a NaN"), (math.inf, "an infinity")):
                numbers = struct.pack("<2f", 1.0, bad)
                says = [f"'{name}' holds {word} at [h] = [1]", "must be finite"]
                self.refuse("forward", "--input", self.bundle(**{name: ("F32", [2], numbers)}), says=says)
            self.refuse("forward", "--input", self.bundle(**{name: ("I64", [2], bytes(16))}),
                        says=[f"'{name}' holds I64", "of F32, BF16 and F16"])
            self.refuse("forward", "--input", self.bundle(), f"--{name.split('_')[0]}_name", "x", says="'x'")
        slopes = struct.pack("<4f", *[1.0] * 4)
        self.refuse("forward", "--input", self.bundle(alibi_slopes=("F32", [2, 2], slopes)), says="'alibi_slopes'")

    def test_sinks_and_slopes_of_a_file_are_used_unless_a_flag_says_none(self):
        tensors = [*TINY, "--sinks", "random", "--alibi", "standard"]
        self.expect(0, "backward", *tensors, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        inputs, outputs = (read_safetensors(self.folder / f"{name}.safetensors") for name in ("in", "out"))
        self.assertEqual([inputs[name][:2] for name in ("sinks", "alibi_slopes")], [("F32", [2]), ("F32", [1, 2])])
        self.assertEqual(outputs["dsinks"][:2], ("F32", [2]))
        check = ["check", "--input", "in.safetensors", "--external"]
        self.assertIn("dsinks", self.expect(0, *check, "out.safetensors").stdout)
        self.expect(1, *check, "out.safetensors", "--alibi", "none")
        self.refuse(*check, "out.safetensors", "--sinks", "none", says=["out.safetensors", "'dsinks'", "no sinks"])
        (begin, *rest) = struct.unpack("<2f", outputs.pop("dsinks")[2])
        write_safetensors(self.folder / "without.safetensors", outputs)
        self.expect(0, *check, "without.safetensors")
        self.expect(1, *check, "without.safetensors", "--sinks", "none")
        for shape, numbers, code in (([2], [1.001 * begin, *rest], 1), ([2], [math.nan, *rest], 1),
                                     ([1, 2], [begin, *rest], 2)):
            changed = ("F32", shape, struct.pack("<2f", *numbers))
            write_safetensors(self.folder / "changed.safetensors", {**outputs, "dsinks": changed})
            self.expect(code, *check, "changed.safetensors")

    def test_biases_that_do_not_fit(self):
        self.refuse("forward", *TINY, "--bias", "nofile.npy", says=["nofile", "cannot be read"])
        self.refuse("forward", "--input", self.bundle(), "--bias_name", "x", says="'x'")
        self.refuse("backward", "--input", self.bundle(), "--bias_grad", says="--bias_grad needs a bias")

        def refuse(shape, says, dtype="F32", at=0, value=0.0):
            numbers = [0.0] * math.prod(shape)
            numbers[at : at + 1] = [value]
            data = struct.pack(f"<{len(numbers)}{'f' if dtype == 'F32' else 'e'}", *numbers)
            self.refuse("forward", "--input", self.bundle(bias=(dtype, shape, data)), says=says)

        refuse([1, 2, 32], "'bias' has shape [1, 2, 32]; a bias must be [b or 1, h or 1, q_len, kv_len]")
        refuse([1, 1, 32, 31], ["so kv_len is 31", "has kv_len 32"])
        refuse([1, 3, 32, 32], ["so h is 3", "has h 2"])
        refuse([1, 1, 32, 32], "holds F16; a bias must be F32", dtype="F16")
        for value, word in ((math.nan, "a NaN"), (math.inf, "+inf"), (3e38, "3e+38")):
            refuse([1, 2, 32, 32], [f"'bias' holds {word} at [b, h, q, kv] = [0, 1, 2, 3]", "-inf, which hides"],
                   at=32 * 32 + 2 * 32 + 3, value=value)

    def test_a_bias_of_a_file_is_used_unless_a_flag_says_none(self):
        asked = [*TINY, "--bias", "random", "--bias_shape", "1x1", "--bias_grad"]
        self.expect(0, "backward", *asked, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        inputs, outputs = (read_safetensors(self.folder / f"{name}.safetensors") for name in ("in", "out"))
        self.assertEqual(inputs["bias"][:2], ("F32", [1, 1, 32, 32]))
        self.assertEqual(outputs["dbias"][:2], ("F32", [1, 1, 32, 32]))
        check = ["check", "--input", "in.safetensors", "--external"]
        self.assertIn("dbias", self.expect(0, *check, "out.safetensors").stdout)
        self.refuse(*check, "out.safetensors", "--bias", "none", says=["out.safetensors", "'dbias'", "no bias"])
        (kind, shape, data) = outputs.pop("dbias")
        write_safetensors(self.folder / "without.safetensors", outputs)
        self.assertNotIn("dbias", self.expect(0, *check, "without.safetensors").stdout)
        self.expect(1, *check, "without.safetensors", "--bias", "none")
        self.refuse(*check, "without.safetensors", "--bias_grad", says="--bias_grad asks for dbias")
        for flag in (["--dry_run"], ["--list"], ["--filter", "x*"], ["--repeat", "2"]):
            self.refuse(*check, "out.safetensors", *flag,
                        says=f"--external is one result to judge, which {flag[0]} does not do")
        write_safetensors(self.folder / "own.safetensors", {"bias": inputs["bias"]})
        done = self.expect(0, "forward", "--input", "in.safetensors", "--bias", "own.safetensors")
        self.assertIn("in.safetensors holds 'bias', which is not read", done.stderr)
        for changed in (data[:-4] + struct.pack("<f", 9.0), data[:-4] + struct.pack("<f", math.nan)):
            write_safetensors(self.folder / "changed.safetensors", {**outputs, "dbias": (kind, shape, changed)})
            self.expect(1, *check, "changed.safetensors")


if __name__ == "__main__":
    unittest.main()
