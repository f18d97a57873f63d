"""A round of scripts/peers: which result of a bench belongs to which row and library. No package needed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import harness  # puts the scripts' folder on the path

import together
from flashbench_program import Refused
from peers_table import as_json, markdown
from pictures import report, result
from rounds import measure_rounds

ROWS = [
    ("one", "--h 2 --q_len 64 --causal --type flash".split(), None),
    ("two", "--h 2 --q_len 64 --type normal".split(), None),
]


def of_worker(command, **changes):
    guest = {"description": "", "build": "pytorch 9.8, flags", "abi": "worker 1", "sha256": None, "isolated": True,
             "rounds": []}
    return result(type="worker", worker=command, guest=guest, kernel="pytorch", **changes)


class Together(harness.ScriptTest):
    def setUp(self):
        super().setUp()
        self.peers = together.peers_of(["pytorch", "pytorch:flex_attention"], "python", asked=False)
        self.round = together.Round("flashbench", ["--threads", "2"], self.peers)

    def commands(self, kind):
        return [peer.command(kind) for peer in self.peers]

    def results(self):
        """Of a bench for each type."""
        sdpa, flex = self.commands("flash")
        (three_calls, _) = self.commands("normal")
        return [result(), of_worker(sdpa), of_worker(flex)], [result(type="normal"), of_worker(three_calls)]

    def benches(self, *results, rounds=1, interrupted=False):
        """Stands for those of so many rounds; the last one is interrupted."""
        each = [(report(of_one), False) for of_one in results] * rounds
        each[-1] = (each[-1][0], interrupted)
        return mock.patch.object(self.round, "bench", side_effect=each)

    def measure(self, *results):
        with self.benches(*results):
            return self.round.measure(ROWS)[0]

    def measure_rounds(self, *results, others, rounds=3, interrupted=False):
        """The states that were finished."""
        finished = []
        with self.benches(*results, rounds=1 if interrupted else rounds, interrupted=interrupted):
            try:
                measure_rounds(ROWS, self.round, others, rounds, lambda *state: finished.append(state))
            except KeyboardInterrupt:
                finished.append("interrupted")
        return finished

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
        measured = self.measure(*self.results())
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
        flash, normal = self.results()
        with self.assertRaisesRegex(Refused, "was asked for"):
            self.measure(flash[:2], normal)

    # A bench leaves out what it has measured already.
    def test_a_kernel_that_stands_in_rows_of_both_types_is_measured_in_both(self):
        peers = together.peers_of(["pytorch:sdpa_math"], "python", asked=True)
        asked = []

        def bench(points):
            asked.append([point["type"] for point in points])
            return report([result(), of_worker(peers[0].command(""))]), False

        measured = together.Round("flashbench", [], peers)
        with mock.patch.object(measured, "bench", bench):
            self.assertEqual(set(measured.measure(ROWS)[0]), {"one", "two"})
        self.assertEqual(asked, [["flash,worker"], ["normal,worker"]])

    def test_every_round_counts_and_other_kernels_are_measured_beside(self):
        other = mock.Mock()
        other.name = "flashbench:old"
        other.measure.return_value = (report([result()]), None)
        finished = self.measure_rounds(*self.results(), others=[other])
        self.assertEqual([number for number, _, _ in finished], [1, 2, 3])
        _, seen, reports = finished[-1]
        for name in ("flashbench", "pytorch", "flashbench:old"):
            self.assertEqual(len(seen["one"][name]), 3, name)
        self.assertEqual(len(reports["pytorch"]), 6)
        self.assertEqual(seen["two"]["pytorch:flex_attention"][0]["reason"], "only where the type is flash")

    # Half an hour of a GPU would be lost, or a row of some programs be compared with that of others.
    def test_rows_that_are_done_count_where_a_round_is_interrupted(self):
        flash, normal = self.results()
        normal = [dict(normal[0], status="interrupted", median=None)]
        other = mock.Mock()
        other.name = "flashbench:old"
        finished = self.measure_rounds(flash, normal, others=[other], interrupted=True)
        self.assertEqual((len(finished), finished[1]), (2, "interrupted"))
        number, seen, reports = finished[0]
        self.assertEqual(number, 1)
        self.assertEqual(len(seen["one"]["pytorch"]), 1)
        self.assertEqual(seen["two"]["flashbench"], [])
        other.measure.assert_not_called()
        table = markdown(ROWS, seen, self.round.peers, "")
        self.assertRegex(table, r"\| one \| [0-9.]+ .*FLOP/s")
        self.assertIn("| two | not run |", table)
        as_json(ROWS, seen, number, "", reports)

    def test_other_kernels_that_are_interrupted_do_not_cost_the_bench_before(self):
        other = mock.Mock()
        other.name = "flashbench:old"
        other.measure.side_effect = [(report([result()]), None), KeyboardInterrupt]
        finished = self.measure_rounds(*self.results(), others=[other])
        self.assertEqual((len(finished), finished[1]), (2, "interrupted"))
        _, seen, _ = finished[0]
        self.assertEqual([len(seen[row][p]) for p in ("pytorch", "flashbench:old") for row in seen], [1, 1, 1, 0])

    def test_nothing_is_done_where_nothing_was(self):
        self.assertEqual(self.measure_rounds([], others=[], interrupted=True), ["interrupted"])


class Bench(harness.ScriptTest):
    """The real one, and one that does not end."""

    def test_of_one_that_goes_on_after_an_interrupt_its_rows_on_disk_count(self):
        bench, begun = self.folder / "bench", self.folder / "begun"
        bench.write_text(
            f"#!{sys.executable}\nimport pathlib, signal, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "pathlib.Path(sys.argv[-1] + '.partial').write_text('{\"results\": [1]}')\n"
            f"pathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)\n"
        )
        bench.chmod(0o755)

        def interrupt():
            while not begun.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with mock.patch.object(together, "FAREWELL_S", 0.1):
            self.assertEqual(together.Round(str(bench), [], []).bench([]), ({"results": [1]}, True))

    def test_it_is_interrupted_once_and_tells_what_it_has(self):
        args = "--rounds 2 --min_time 1s --timeout 2s --peers flashbench:cpu_flash --json p.json".split()
        rows = "--h 1 --q_len 64,128,256,512 --d 16 --pass forward --type flash".split()
        words = [sys.executable, "-B", str(harness.SCRIPTS / "peers"), "--binary", harness.PROGRAM, *args, "--", *rows]
        started = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, start_new_session=True
        )
        self.addCleanup(started.stdout.close)
        for line in started.stderr:
            if line.startswith("2/4"):
                break
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does, and scripts/gpu
        out = started.communicate(timeout=60)[0]
        self.assertEqual(started.returncode, 130, out)
        rows = json.loads((self.folder / "p.json").read_text())["rows"]
        self.assertEqual([len(row["rounds"]["flashbench"]) for row in rows[:1] + rows[3:]], [1, 0])
        missing = re.findall(r"^\| [^|]+ \| not run \|", out, re.M)
        self.assertEqual(len(missing), sum(not row["rounds"]["flashbench"] for row in rows))


if __name__ == "__main__":
    unittest.main()
