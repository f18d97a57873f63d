"""V as the first columns of K: files that hold no v, and flags that contradict it."""

import json
import unittest

from harness import CliTest, FAST, read_safetensors, write_safetensors

SHAPE = ["--b", "2", "--h", "4", "--h_kv", "1", "--q_len", "3", "--kv_len", "20", "--d", "16", "--d_v", "12"]


class ValuesInKeys(CliTest):
    def saved(self, *flags):
        self.expect(0, "forward", *SHAPE, "--v_in_k", *flags, "--save_inputs", "in.safetensors",
                    "--output", "out.safetensors")
        return read_safetensors(self.folder / "in.safetensors")

    def test_a_case_with_values_in_keys_says_so(self):
        self.expect(0, "bench", *SHAPE, *FAST, "--pass", "forward", "--type", "flash,normal",
                    "--v_in_k", "false,true", "--json", "r.json")
        results = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual([r["workload"]["v_in_k"] for r in results], [False, False, True, True])
        self.assertIn("--v_in_k", results[2]["command"])
        self.assertEqual({r["check"]["verdict"] for r in results}, {"pass"})
        skipped = self.run_program("bench", *SHAPE, *FAST, "--pass", "forward", "--type", "paper", "--v_in_k").stdout
        self.assertIn("paper does not support --v_in_k", skipped)

    def test_what_contradicts_it_is_named(self):
        self.refuse("backward", *SHAPE, "--v_in_k", says="--v_in_k is for a forward pass alone")
        self.refuse("forward", *SHAPE[:-1], "17", "--v_in_k", says="--d_v must be at most that, got 17")
        inputs = self.saved()
        for name in "qkv":
            write_safetensors(self.folder / f"{name}.safetensors", {name: inputs["k" if name == "v" else name]})
        files = ["--q", "q.safetensors", "--k", "k.safetensors"]
        self.refuse("forward", *files, "--v", "v.safetensors", "--v_in_k", says="leave --v out")
        self.refuse("forward", *files, says="--v is missing")
        self.expect(0, "check", *files, "--v_in_k", "--d_v", "12", "--type", "flash,normal")

    def test_a_file_needs_no_v_and_results_are_judged_by_the_columns_that_were_asked_for(self):
        for pages in ([], ["--page_size", "8"], ["--kv_dtype", "e4m3"]):
            inputs = self.saved(*pages)
            self.assertNotIn("v", inputs)
            self.assertNotIn("v_pages", inputs)
            self.assertNotIn("v_scale", inputs)
            self.refuse("forward", "--input", "in.safetensors", says="--v_in_k")
            check = ["check", "--input", "in.safetensors", "--external", "out.safetensors", "--v_in_k"]
            self.expect(0, *check, "--d_v", "12")
            self.refuse(*check, says=["'o' has shape [2, 4, 3, 12]", "must be [2, 4, 3, 16]"])
            dtype, shape, data = inputs["k_pages" if "k_pages" in inputs else "k"]
            inputs["v"] = (dtype, shape, data)
            write_safetensors(self.folder / "in.safetensors", inputs)
            text = self.expect(0, *check, "--d_v", "12")
            self.assertIn("judged as: forward", text.stdout + text.stderr)
            self.assertIn("unused tensor", text.stdout + text.stderr)


if __name__ == "__main__":
    unittest.main()
