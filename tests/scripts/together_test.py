"""A round of scripts/peers: which result of a bench belongs to which row and library. No package needed."""

import json
import unittest
from unittest import mock

import harness  # puts the scripts' folder on the path

import together
from flashbench_program import Refused
from pictures import report, result
from rounds import rounds_together

ROWS = [
    ("one", "--h 2 --q_len 64 --causal --type flash".split(), None),
    ("two", "--h 2 --q_len 64 --type normal".split(), None),
]


def of_worker(command, **changes):
    guest = {"description": "", "build": "pytorch 9.8, flags", "abi": "worker 1", "sha256": None, "isolated": True}
    return result(type="worker", worker=command, guest=guest, kernel="pytorch", **changes)


class Together(harness.ScriptTest):
    def setUp(self):
        super().setUp()
        self.peers = together.peers_of(["pytorch", "pytorch:flex_attention"], "python", asked=False)
        self.round = together.Round("flashbench", ["--threads", "2"], self.peers)

    def commands(self, kind):
        return [peer.command(kind) for peer in self.peers]

    def results(self):
        sdpa, flex = self.commands("flash")
        (three_calls, _) = self.commands("normal")
        return [result(), of_worker(sdpa), of_worker(flex), result(type="normal"), of_worker(three_calls)]

    def measure(self, results):
        with mock.patch.object(self.round, "bench", return_value=report(results)):
            return self.round.measure(ROWS)

    def test_a_row_becomes_a_point_with_the_workers_of_its_type(self):
        point, kind, commands = together.as_point(ROWS[0][1], self.peers)
        self.assertEqual(kind, "flash")
        self.assertEqual(point, {"h": "2", "q_len": "64", "causal": True, "type": "flash,worker",
                                 "worker": self.commands("flash")})
        self.assertEqual(list(commands.values()), self.peers)
        point = together.as_point(ROWS[1][1], self.peers)[0]
        self.assertEqual(point["worker"], self.commands("normal")[:1], "FlexAttention is fused")
        self.assertIn("--type normal", point["worker"][0])

    def test_each_result_goes_to_its_row_and_library(self):
        measured = self.measure(self.results())
        self.assertEqual(set(measured["one"]), {"flashbench", "pytorch", "pytorch:flex_attention"})
        theirs = measured["one"]["pytorch:flex_attention"][0]
        self.validated(json.dumps(theirs))
        (one,) = theirs["results"]
        self.assertEqual((one["type"], one["kernel"], one["kernel_request"]), ("flash",) + 2 * ("flex_attention",))
        self.assertEqual((theirs["tool"]["name"], theirs["tool"]["version"]), ("pytorch", "9.8"))
        self.assertEqual(measured["two"]["pytorch"][0]["results"][0]["type"], "normal")
        self.assertEqual(measured["two"]["pytorch:flex_attention"], (None, "only where the type is flash"))

    # Or every ratio behind it would be that of two other programs.
    def test_a_result_that_is_not_there_is_noticed(self):
        results = self.results()
        del results[1]
        with self.assertRaisesRegex(Refused, "was asked for"):
            self.measure(results)

    def test_every_round_counts_and_other_kernels_are_measured_beside(self):
        other = mock.Mock()
        other.name = "flashbench:old"
        other.measure.return_value = (report([result()]), None)
        finished = []
        with mock.patch.object(self.round, "bench", return_value=report(self.results())):
            seen = rounds_together(ROWS, self.round, [other], 3, lambda *state: finished.append(state))
        self.assertEqual([number for number, _, _ in finished], [1, 2, 3])
        for name in ("flashbench", "pytorch", "flashbench:old"):
            self.assertEqual(len(seen["one"][name]), 3, name)
        self.assertEqual(len(finished[-1][2]["pytorch"]), 6)
        self.assertEqual(seen["two"]["pytorch:flex_attention"][0]["reason"], "only where the type is flash")


if __name__ == "__main__":
    unittest.main()
