"""--trace, --profile and --quiet: what they show, and that they change no sample's subject."""

import json
import re
import unittest

from harness import FAST, TINY, CliTest

MEDIUM = ["--b", "1", "--h", "2", "--q_len", "512", "--d", "64"]


class Trace(CliTest):
    def trace(self, *args, code=0):
        self.expect(code, *args, "--trace", "t.json")
        events = json.loads((self.folder / "t.json").read_text())["traceEvents"]
        names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
        return events, names

    def test_flash_and_normal_differ_at_a_glance(self):
        events, names = self.trace("bench", *MEDIUM, *FAST, "--threads", "2")
        self.assertEqual(len(names), 2)
        runs = {}
        for pid, name in names.items():
            tracks = {e["tid"] for e in events if e["ph"] == "M" and e["pid"] == pid}
            self.assertEqual(tracks, {0, 1, 2}, "the program and a track per thread")
            every = [e for e in events if e["ph"] == "X" and e["pid"] == pid and e["tid"] > 0]
            # On a machine that is busy, one thread may find nothing left to do.
            busiest = max((1, 2), key=lambda tid: sum(e["tid"] == tid for e in every))
            spans = [e for e in every if e["tid"] == busiest]
            spans.sort(key=lambda e: e["ts"])
            order = [e["name"] for e in spans]
            changes = sum(a != b for a, b in zip(order, order[1:]))
            runs[name.split()[0]] = changes
            ends = 0
            for e in spans:
                self.assertGreaterEqual(e["ts"] + 1e-3, ends, "spans of a thread do not overlap")
                ends = e["ts"] + e["dur"]
            (call,) = [e for e in events if e["pid"] == pid and e["name"] == "traced call"]
            self.assertGreaterEqual(spans[0]["ts"], call["ts"] - 1)
            self.assertLessEqual(ends, call["ts"] + call["dur"] + 1)
            counters = [e for e in events if e["ph"] == "C" and e["pid"] == pid]
            self.assertGreater(len(counters), 0)
        # flash goes through its phases tile by tile, normal once for all heads
        self.assertGreater(runs["flash"], runs["normal"])

    def test_its_size_is_bounded(self):
        events, _ = self.trace("forward", "--q_len", "4k", "--d", "16", "--h", "8", "--threads", "1",
                               "--verify", "none")
        self.assertLess(len(events), 50_000)
        (call,) = [e for e in events if e["name"] == "traced call"]
        last = max(e["ts"] + e["dur"] for e in events if e["ph"] == "X" and e["tid"] == 1)
        self.assertGreater(last, call["ts"] + 0.8 * call["dur"], "covered to the end")

    def test_every_type_and_pass(self):
        for kind in ("flash", "normal", "paper"):
            events, names = self.trace("backward", *TINY, "--type", kind)
            self.assertIn(kind, list(names.values())[0])
            self.assertTrue(any("dS" in e["name"] for e in events if e["ph"] == "X"), kind)

    def test_bad_files_are_found_before_the_work(self):
        self.refuse("bench", *TINY, "--trace", "/nowhere/t.json", says="/nowhere")
        self.refuse("bench", *TINY, "--trace", "x.json", "--json", "x.json", says="both write")
        self.refuse("bench", *TINY, "--trace", "-", says="needs a file")


class Profile(CliTest):
    def phases(self, *args):
        report = self.bench_json(*MEDIUM, "--type", "flash,normal", "--profile", *args)
        return {r["type"]: r for r in report["results"]}

    def test_threads_add_up_and_products_have_a_speed(self):
        for kind, result in self.phases("--pass", "both", "--threads", "2").items():
            products = 0
            for phase in result["phases"]:
                self.assertEqual(len(phase["threads"]), 2)
                self.assertEqual(sum(t["calls"] for t in phase["threads"]), phase["calls"])
                self.assertAlmostEqual(sum(t["seconds"] for t in phase["threads"]), phase["seconds"])
                products += phase["flop"] or 0
            self.assertAlmostEqual(products / result["flop_executed"], 1, 6, kind)
            self.assertGreater(result["phase_timer_s"], 0)

    def test_order(self):
        for kind, result in self.phases("--profile_sort", "time").items():
            seconds = [p["seconds"] for p in result["phases"]]
            self.assertEqual(seconds, sorted(seconds, reverse=True), kind)
        for kind, result in self.phases("--profile_sort", "memory").items():
            sizes = [p["bytes"] for p in result["phases"]]
            self.assertEqual(sizes, sorted(sizes, reverse=True), kind)
        self.refuse("bench", *TINY, "--profile", "--profile_sort", "name", says="time or memory")
        self.refuse("bench", *TINY, "--profile_sort", "time", says="needs --profile")

    def test_the_table_names_threads_speed_and_the_timers_own_time(self):
        out = self.expect(0, "bench", *MEDIUM, *FAST, "--type", "flash", "--threads", "2",
                          "--profile").stdout
        for text in ("thread", "GFLOP/s", "its timers took"):
            self.assertIn(text, out)


def without_warnings(text):
    """On a busy machine a run of few samples has many, and one line that counts those beyond the first."""
    return [line for line in text.splitlines() if not re.match(r"warning|\d+ more warning", line)]


class Quiet(CliTest):
    def test_a_line_per_case_where_there_is_no_terminal(self):
        err = self.expect(0, "bench", *FAST, "--h", "1", "--d", "16", "--q_len", "16,32").stderr
        lines = without_warnings(err)
        self.assertEqual([line.split()[0] for line in lines], ["1/4", "2/4", "3/4", "4/4"])
        self.assertIn("+-", lines[0])
        self.assertIn("left", lines[0])
        self.assertNotIn("left", lines[3])

    def test_quiet(self):
        for command in (["bench", *FAST], ["check"]):
            err = self.expect(0, *command, *TINY, "--quiet").stderr
            lines = without_warnings(err)
            self.assertEqual(lines, [])


if __name__ == "__main__":
    unittest.main()
