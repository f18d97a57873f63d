"""A signal at any moment loses nothing that was measured, and leaves nothing behind."""

import json
import os
import signal
import time
import xml.etree.ElementTree

from fault_harness import CASES, ONE, PROGRAM, SWEEP, Trials, alive, ending, main
from harness import read_safetensors

GENTLE = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SIGNALS = [*GENTLE, signal.SIGKILL, signal.SIGPIPE]
ANSWER_S = 10  # signals_test.py is strict; here other programs may be on the same processors
EACH = 20  # of every signal, of every command: 100 a signal
OUTPUTS = {
    "bench": {"--json": "r.json", "--csv": "r.csv", "--md": "r.md"},
    "check": {"--json": "c.json", "--junit": "c.xml"},
    "forward": {"--output": "o.safetensors", "--json": "f.json"},
    "compare": {"--json": "d.json", "--md": "d.md"},
}
COMMANDS = {
    "bench": ["bench", *SWEEP],
    "bench --resume": ["bench", *SWEEP, "--resume", "r.json"],
    "check": ["check", *ONE, "--q_len", "16:400:+32"],
    "forward": ["forward", *ONE, "--q_len", "700", "--verify", "full"],
    "compare": ["compare", "base.json", "new.json"],
}


class Interrupted(Trials):
    @classmethod
    def setUpClass(cls):
        cls.prepared = {}  # files to begin with, and how long a command takes

    def prepare(self):
        if self.prepared:
            return
        self.begin_trial()
        self.expect(0, "bench", *SWEEP, "--json", "r.json")
        report = (self.folder / "r.json").read_bytes()
        self.prepared["report"] = report
        for name, words in COMMANDS.items():
            took = []
            for _ in range(2):
                self.place_inputs(name)
                before = time.monotonic()
                self.expect(0, *words, *self.output_flags(name))
                took.append(time.monotonic() - before)
            self.prepared[name] = min(took)
            if words[0] != "bench":
                self.prepared[name, "outputs"] = {p: p.read_bytes() for p in self.outputs(name)}

    def place_inputs(self, name):
        whole = json.loads(self.prepared["report"])
        if name == "bench --resume":
            part = dict(whole, results=whole["results"][:2])
            (self.folder / "r.json").write_text(json.dumps(part))
        if name == "compare":
            for file in ("base.json", "new.json"):
                (self.folder / file).write_bytes(self.prepared["report"])

    def output_flags(self, name):
        return [word for flag in self.outputs_of(name).items() for word in flag]

    def outputs_of(self, name):
        return {flag: file for flag, file in OUTPUTS[COMMANDS[name][0]].items()
                if (name, flag) != ("bench --resume", "--json")}

    def outputs(self, name):
        return [self.folder / file for file in OUTPUTS[COMMANDS[name][0]].values()]

    def place_older(self, name):
        """Older files in the place of the outputs, in half of the trials."""
        if self.random.random() < 0.5:
            for path in self.outputs(name):
                if not path.exists():
                    path.write_bytes(self.prepared["report"] if path.suffix == ".json" else b"older\n")
        return {path: path.read_bytes() for path in self.outputs(name) if path.exists()}

    def signal_at(self, name, number):
        self.place_inputs(name)
        older = self.place_older(name)
        marker = f"FLASHBENCH_FAULT_TRIAL={os.getpid()}-{self.folder.name}"
        moment = self.random.uniform(0, 1.05) * self.prepared[name]
        process = self.start(*COMMANDS[name], *self.output_flags(name), env=dict([marker.split("=")]))
        time.sleep(moment)
        process.send_signal(number)
        sent = time.monotonic()
        out, err = process.communicate(timeout=60)
        said = f"{name}, {number.name} after {moment:.3f} s: {ending(process)}\n{out}\n{err}"
        self.count(f"{number.name} in {name}", ending(process))
        self.assertLess(time.monotonic() - sent, ANSWER_S, said)
        self.expect_ending(process, number, older, said)
        self.expect_whole_outputs(name, older, process, said)
        self.wait_for(lambda: not alive(marker), seconds=5)
        if COMMANDS[name][0] == "bench":
            self.complete(said)
        elif number not in GENTLE:  # the next start removes what this one could not
            self.expect(0, *COMMANDS[name], *self.output_flags(name))
        self.assertEqual(self.ours(), [], said)

    def expect_ending(self, process, number, older, said):
        code = process.returncode
        if code == 0:  # it was done already
            return
        if number not in GENTLE:
            self.assertEqual(code, -number, said)
        elif code == -number:  # before main began; then nothing has happened
            self.assertEqual({path: path.read_bytes() for path in older}, older, said)
        else:
            self.assertEqual(code, GENTLE[number], said)
        if number in GENTLE:
            self.assertEqual(self.ours(), [], said)

    def expect_whole_outputs(self, name, older, process, said):
        """Each is what it was, or new and whole."""
        for path in self.outputs(name):
            if not path.exists():
                self.assertNotIn(path, older, said)
                self.assertNotEqual(process.returncode, 0, said)
            elif path.read_bytes() == older.get(path):
                self.assertNotEqual(process.returncode, 0, said)
            else:
                self.expect_whole(path, process.returncode, said)
        partial = self.folder / "r.json.partial"
        if partial.exists():
            self.assertLess(process.returncode, 0, said)
            self.whole_json(partial)

    def expect_whole(self, path, code, said):
        if path.name == "d.json":  # of compare: a schema of its own
            self.assertIn("cases", json.loads(path.read_text()), said)
        elif path.suffix == ".json":
            report = self.whole_json(path)
            if code == 0 and "results" in report and path.name == "r.json":
                self.assertEqual(len(report["results"]), CASES, said)
        elif path.suffix == ".csv":
            self.whole_csv(path)
        elif path.suffix == ".xml":
            xml.etree.ElementTree.parse(path)
        elif path.suffix == ".safetensors":
            self.assertEqual(read_safetensors(path)["o"][1], [1, 1, 700, 16], said)
        else:
            self.assertTrue(path.read_text().endswith("\n"), said)

    def complete(self, said):
        """Resumed, it has all cases, and those that were done as they were."""
        done = {}
        for name in ("r.json", "r.json.partial"):
            path = self.folder / name
            if path.exists():
                done = {r["command"]: r for r in self.whole_json(path)["results"] if r["status"] == "ok"}
        self.expect(0, "bench", *SWEEP, *(["--resume"] if done else ["--json"]), "r.json")
        report = self.whole_json(self.folder / "r.json")
        self.assertEqual([r["status"] for r in report["results"]], ["ok"] * CASES, said)
        for result in report["results"]:
            if result["command"] in done:
                self.assertEqual(result["times"], done[result["command"]]["times"], said)
        self.assertFalse((self.folder / "r.json.partial").exists(), said)


class Moments(Interrupted):
    def test_a_signal_loses_nothing(self):
        self.prepare()
        for name, number in self.some([(name, number) for name in COMMANDS for number in SIGNALS] * EACH):
            self.each(1, self.signal_at, name, number)


class Pipes(Interrupted):
    """Whoever reads the table goes away: `flashbench bench --json r.json | head`."""

    def close_at(self, closed):
        moment = self.random.uniform(0, 1.05) * self.prepared["bench"]
        process = self.start("bench", *SWEEP, "--json", "r.json", "--csv", "r.csv")
        time.sleep(moment)
        for stream in closed:
            getattr(process, stream).close()
        process.wait(timeout=60)
        self.count(f"{' and '.join(closed)} closed in bench", ending(process))
        self.assertIn(process.returncode, (0, -signal.SIGPIPE))
        self.assertLessEqual(set(p.name for p in self.folder.glob("*.partial")), {"r.json.partial"})
        if "stderr" not in closed:  # then all was written before the table
            self.assertEqual(len(self.whole_json(self.folder / "r.json")["results"]), CASES)
            self.assertEqual(len(self.whole_csv(self.folder / "r.csv")), 1 + CASES)
        self.complete(f"{closed} closed after {moment:.3f} s")
        self.assertEqual(self.ours(), [])

    def test_a_pipe_that_is_closed_takes_no_report_with_it(self):
        self.prepare()
        for closed in (["stdout"], ["stderr"], ["stdout", "stderr"]):
            self.each(10, self.close_at, closed)


class Stops(Interrupted):
    def stop_at(self):
        process = self.start("bench", *SWEEP, "--json", "r.json")
        time.sleep(self.random.uniform(0, 1) * self.prepared["bench"])
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        self.end(process, 0)
        self.count("SIGSTOP for 0.5 s in bench", ending(process))
        report = self.whole_json(self.folder / "r.json")
        self.assertEqual([r["status"] for r in report["results"]], ["ok"] * CASES)
        self.assertEqual(self.ours(), [])

    def test_a_stop_fails_nothing(self):
        self.prepare()
        self.each(20, self.stop_at)


class Programs(Interrupted):
    def compare_at(self, number):
        marker = f"FLASHBENCH_FAULT_TRIAL={os.getpid()}-{self.folder.name}"
        process = self.start("compare", "--run", PROGRAM, PROGRAM, "--json", "d.json", "--md", "d.md", "--", *SWEEP,
                             env=dict([marker.split("=")]))
        time.sleep(self.random.uniform(0, 3))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.count(f"{number.name} in compare --run", ending(process))
        self.assertIn(process.returncode, (GENTLE.get(number, -number), -number), f"{out}{err}")
        self.wait_for(lambda: not alive(marker), seconds=5)
        if number in GENTLE:
            self.assertEqual(self.ours(), [])
        for path in self.folder.glob("d.*"):
            self.expect_whole(path, process.returncode, err)

    def test_a_signal_ends_both_programs(self):
        for number in self.some(SIGNALS * 4):
            self.each(1, self.compare_at, number)


if __name__ == "__main__":
    main()
