"""The table of ratios: rounds in turns, reports that validate, what a peer cannot do."""

import json
import re
import statistics
import sys
import unittest

from harness import PROGRAM, ScriptTest, missing, require

if missing("torch", "safetensors") and missing("onnxruntime", "onnx", "safetensors"):
    require("torch", "onnxruntime", "safetensors")

ROWS = [
    "--b",
    "1",
    "--h",
    "2",
    "--q_len",
    "32",
    "--d",
    "16",
    "--pass",
    "forward",
    "--causal",
    "true,false",
    "--type",
    "flash",
]


class Peers(ScriptTest):
    def peers(self, *args, code=0):
        return self.run_script(
            "peers",
            "--python",
            sys.executable,
            "--binary",
            PROGRAM,
            "--min_time",
            "1ms",
            "--timeout",
            "100ms",
            *args,
            code=code,
        )

    def test_rounds_and_reports(self):
        peer = "onnxruntime" if missing("torch") else "pytorch"
        done = self.peers(
            "--rounds",
            "3",
            "--min_time",
            "20ms",  # of some samples, or there is no interval
            "--timeout",
            "2s",
            "--peers",
            peer,
            "--json",
            "p.json",
            "--reports",
            "reports",
            "--",
            *ROWS,
        )
        names = ["flash forward f32 b1 h2 q32 d16 causal", "flash forward f32 b1 h2 q32 d16"]
        for name in names:
            self.assertIn(f"| {name} | ", done.stdout)
        written = json.loads((self.folder / "p.json").read_text())
        self.assertEqual([row["name"] for row in written["rows"]], names)
        for row in written["rows"]:
            for peer, speedup in row["speedup_over"].items():
                times = [[r["median"] for r in row["rounds"][who]] for who in (peer, "flashbench")]
                every = [a / b for a, b in zip(*times)]  # of few samples some may say nothing
                self.assertLessEqual(set(speedup["rounds"]), set(every))
                self.assertEqual(speedup["median"], statistics.median(speedup["rounds"]))
                low, high = speedup["interval"]
                self.assertTrue(low <= speedup["median"] <= high)
        self.assertTrue(written["rows"][0]["speedup_over"])
        for cell in re.findall(r"[\d.]+x.*?(?=[,|*])", done.stdout):
            self.assertRegex(cell, r"^[\d.]+x \[[\d.]+")
        for path in (self.folder / "reports").iterdir():
            report = self.validated(path.read_text())
            for result in report["results"]:
                if result["status"] == "ok":
                    self.assertGreaterEqual(len(result["times"]), 3, path)  # a round that nobody disturbed

    def test_kernels_of_a_library_are_peers_of_their_own(self):
        if missing("torch"):
            self.skipTest("no torch")
        peers = ["pytorch:sdpa_flash", "pytorch:sdpa_math", "pytorch:sdpa_cudnn"]
        rows = ["--b", "1", "--h", "2", "--q_len", "32", "--d", "16", "--type", "flash"]
        args = ["--rounds", "1", "--peers", ",".join(peers), "--json", "p.json", "--reports", "r"]
        done = self.peers(*args, "--", *rows)
        self.assertIn(f"| {' | '.join(peers)} |", done.stdout)
        (row,) = json.loads((self.folder / "p.json").read_text())["rows"]
        kernels = {who: results[0].get("kernel") for who, results in row["rounds"].items()}
        for peer in peers[:2]:
            self.assertEqual(kernels[peer], peer.partition(":")[2])
        self.assertIn("no sdpa_cudnn", row["rounds"][peers[2]][0]["reason"])
        self.assertTrue((self.folder / "r/pytorch_sdpa_math.json").exists())

    def test_what_no_peer_has_is_refused_in_a_line(self):
        for args, says in (
            (["--peers", "torch"], "use pytorch, onnxruntime, openvino"),
            (["--backend", "cuda", "--peers", "openvino"], "use pytorch, or"),
        ):
            said = self.peers(*args, code=2).stderr.splitlines()
            self.assertEqual(len(said), 1, said)
            self.assertIn(says, said[0])

    def test_a_row_for_each_variant(self):
        """A variant without a row would be compared with nobody."""
        listed = self.peers("--list").stdout
        for flag in "window_left softcap alibi bias sinks d_v ragged page_size".split():
            self.assertIn(f"--{flag} ", listed)

    def test_rows_by_name(self):
        listed = self.peers("--list", "--rows", "decode").stdout.splitlines()
        self.assertEqual(len(listed), 6)
        self.assertTrue(all("--q_len 1 " in line for line in listed))
        self.assertIn("--page_size 16", listed[-2])
        self.assertIn("no row matches", self.peers("--rows", "nonsense", code=2).stderr)


if __name__ == "__main__":
    unittest.main()
