"""What `check --junit` says of a result that is wrong."""

import struct
import unittest
import xml.etree.ElementTree as ElementTree

from harness import TINY, CliTest, read_safetensors, write_safetensors


class Junit(CliTest):
    def test_junit_names_every_tensor_that_failed_and_the_command_once(self):
        self.expect(0, "backward", *TINY, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        tensors = read_safetensors(self.folder / "out.safetensors")
        for name in ("o", "dk"):
            dtype, shape, blob = tensors[name]
            tensors[name] = (dtype, shape, struct.pack("<f", 7.0) + blob[4:])
        write_safetensors(self.folder / "wrong.safetensors", tensors)
        self.expect(1, "check", "--input", "in.safetensors", "--external", "wrong.safetensors", "--junit", "c.xml")
        (failure,) = ElementTree.parse(self.folder / "c.xml").getroot().findall(".//failure")
        *tensors, command = failure.text.splitlines()
        self.assertEqual([line.split()[0] for line in tensors], ["O", "dK"])
        self.assertTrue(command.startswith("reproduce: flashbench check "), command)
        self.assertEqual(failure.text.count("reproduce"), 1)
        self.assertEqual(failure.get("message"), tensors[0])


if __name__ == "__main__":
    unittest.main()
