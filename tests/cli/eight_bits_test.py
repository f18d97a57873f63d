"""K and V in 8 bits: what a file of them holds, what is judged by it, and what is no such file."""

import math
import struct
import unittest

from harness import TINY, CliTest, read_safetensors, write_safetensors


class EightBits(CliTest):
    def test_keys_and_values_of_8_bits(self):
        tensors = [*TINY, "--dtype", "bf16", "--kv_dtype", "e4m3"]
        self.expect(0, "forward", *tensors, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        inputs = read_safetensors(self.folder / "in.safetensors")
        self.assertEqual([inputs[name][0] for name in "qkv"], ["BF16", "F8_E4M3", "F8_E4M3"])
        self.assertEqual([inputs[f"{name}_scale"][:2] for name in "kv"], [("F32", [1, 2])] * 2)
        check = ["check", "--external", "out.safetensors", "--input"]
        self.expect(0, *check, "in.safetensors")
        self.expect(0, *check, "in.safetensors", "--kv_dtype", "e4m3", "--pass", "forward")
        for name, says in (("k_scale", "  LSE "), ("v_scale", "  O ")):  # of the neighbour, and none at all
            kind, shape, numbers = inputs[name]
            for changed in ({**inputs, name: (kind, shape, numbers[4:] + numbers[:4])},
                            {n: t for n, t in inputs.items() if n != name}):
                write_safetensors(self.folder / "changed.safetensors", changed)
                self.assertIn(says, self.expect(1, *check, "changed.safetensors").stdout)
            for bad, word in ((0.0, "holds 0 at"), (math.inf, "an infinity"), (math.nan, "a NaN")):
                write_safetensors(self.folder / "bad.safetensors",
                                  {**inputs, name: (kind, shape, struct.pack("<2f", 1.0, bad))})
                self.refuse("forward", "--input", "bad.safetensors", says=[f"'{name}'", word, "[0, 1]"])
        self.refuse("backward", "--input", "in.safetensors", says=["in.safetensors", "forward pass alone"])
        gradients = {"o": read_safetensors(self.folder / "out.safetensors")["o"], "dq": inputs["q"]}
        write_safetensors(self.folder / "out.safetensors", gradients)
        self.refuse(*check, "in.safetensors", says="forward pass alone")

    def test_a_bias_beside_them(self):
        self.expect(0, "forward", *TINY, "--kv_dtype", "e5m2", "--bias", "random", "--save_inputs", "in.safetensors",
                    "--output", "out.safetensors")
        self.assertLessEqual({"bias", "k_scale", "v_scale"}, set(read_safetensors(self.folder / "in.safetensors")))
        check = ["check", "--external", "out.safetensors", "--input", "in.safetensors"]
        self.expect(0, *check)
        self.expect(1, *check, "--bias", "none")
        self.refuse(*check, "--bias_grad", says="forward pass alone")


if __name__ == "__main__":
    unittest.main()
