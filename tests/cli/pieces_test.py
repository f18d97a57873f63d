"""K and V in pieces (--kv_chunk): said in every report, right whatever the size, refused by name elsewhere."""

import json
import unittest

from harness import CliTest, FAST, read_safetensors

SHAPE = ["--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "33", "--kv_len", "70", "--d", "16", "--causal"]


class Pieces(CliTest):
    def test_a_case_in_pieces_says_so(self):
        self.expect(0, "bench", *SHAPE, *FAST, "--type", "flash", "--pass", "both", "--kv_chunk", "0,17", "--json", "r.json")
        results = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual([r["workload"]["kv_chunk"] for r in results], [0, 17])
        self.assertNotIn("--kv_chunk", results[0]["command"])
        self.assertIn("--kv_chunk 17", results[1]["command"])
        self.assertEqual({r["check"]["verdict"] for r in results}, {"pass"})
        self.assertEqual(results[0]["flop_visible"], results[1]["flop_visible"])

    def test_pieces_are_checked_and_profiled(self):
        self.expect(0, "check", *SHAPE, "--kv_chunk", "1,9,500", "--mask", "random", "--pass", "both", "--do", "random",
                    "--type", "flash")
        shown = self.expect(0, "bench", *SHAPE, *FAST, "--type", "flash", "--kv_chunk", "20", "--profile").stdout
        self.assertIn("pack K, V", shown)

    def test_one_piece_and_none_are_the_same_bits(self):
        written = []
        for flags in ([], ["--kv_chunk", "70"]):
            self.expect(0, "backward", *SHAPE, *flags, "--threads", "1", "--do", "random", "--output", "out.safetensors")
            written.append(read_safetensors(self.folder / "out.safetensors"))
        self.assertEqual(written[0], written[1])

    def test_what_has_no_pieces_is_refused_by_name(self):
        for kind in ("normal", "paper"):
            skipped = self.run_program("bench", *SHAPE, *FAST, "--type", kind, "--kv_chunk", "8").stdout
            self.assertIn("does not support --kv_chunk", skipped)
        self.refuse("forward", *SHAPE, "--kv_chunk", "-1", says="--kv_chunk")
        self.refuse("forward", *SHAPE, "--kv_chunk", "4096m", says="--kv_chunk must be between 0 and 2147483647, got '4096m'")


if __name__ == "__main__":
    unittest.main()
