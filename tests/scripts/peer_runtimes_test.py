"""ONNX Runtime and OpenVINO: what they compute passes, what they cannot is skipped."""

import unittest

from harness import ScriptTest, missing, require

NEEDS = {
    "onnxruntime": ("numpy", "safetensors", "onnx", "onnxruntime"),
    "openvino": ("numpy", "safetensors", "openvino"),
}
HERE = [name for name, packages in NEEDS.items() if not missing(*packages)]
if not HERE:
    require("onnxruntime", "openvino")

FAST = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "100ms"]


class Runtimes(ScriptTest):
    def results(self, name, *args, code=0):
        done = self.run_script(f"peer/peer_{name}.py", *FAST, *args, "--json", "-", code=code)
        return self.validated(done.stdout)["results"]

    def test_masks(self):
        for name in HERE:
            shape = [
                "--b",
                "2",
                "--h",
                "3",
                "--q_len",
                "40",
                "--d",
                "16",
                "--type",
                "flash",
                "--scale",
                "0.4",
            ]
            results = self.results(name, *shape, "--causal", "true,false")
            results += self.results(name, *shape, "--mask", "random")
            for r in results:
                self.assertEqual(
                    (r["status"], r["check"]["verdict"]), ("ok", "pass"), (name, r["reason"])
                )

    def test_no_backward(self):
        for name in HERE:
            (r,) = self.results(
                name,
                "--h",
                "2",
                "--q_len",
                "32",
                "--d",
                "16",
                "--pass",
                "backward",
                "--type",
                "flash",
                code=3,
            )
            self.assertEqual(r["status"], "skipped")
            self.assertIn("backward", r["reason"])


if __name__ == "__main__":
    unittest.main()
