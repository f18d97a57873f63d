"""Why a case is as fast as it is, energy, and what other programs read of a report."""

import csv
import io
import json
import re
import unittest

from harness import FAST, TINY, CliTest

CASE = ["--b", "1", "--h", "2", "--q_len", "256", "--d", "32"]


def below_the_table(text):
    """The lines of the summary, and of what follows it."""
    parts = text.rstrip("\n").split("\n\n")
    return [part.splitlines() for part in parts[2:]]


class Explain(CliTest):
    def test_why_and_io_are_told_when_asked_for(self):
        done = self.expect(0, "bench", *CASE, *FAST, "--explain", "--json", "r.json")
        results = self.validated((self.folder / "r.json").read_text())["results"]
        for r in results:
            if not r["disturbed"] and r["pct_peak"] is not None:
                self.assertGreater(r["pct_peak"], 0)
        if None in [r["balance"] for r in results]:
            self.skipTest("other programs have the processors")
        for text in ("is the limit", "operations for every byte", "has to move",
                     "not measured", "a quarter of the last cache"):
            self.assertIn(text, done.stdout)
        for r in results:
            self.assertAlmostEqual(r["intensity"], r["flop_visible"] / r["bytes"], 6)
            self.assertGreater(r["balance"], 0)
            self.assertIn("limit", r["why"])
            self.assertEqual(r["bound"] == "compute", "arithmetic is the limit" in r["why"])
            self.assertEqual(r["bound"] == "compute", r["intensity"] >= r["balance"])
            self.assertGreater(r["io_bytes"]["normal"], r["io_bytes"]["flash"])

    def test_the_summary_is_five_lines_and_the_headline_is_the_first(self):
        sweep = ["--h", "1,2", "--q_len", "32:256:x2", "--d", "16,32", "--pass", "forward,backward"]
        few = ["--min_time", "1ms", "--min_samples", "6", "--timeout", "60ms"]
        for flags in ([*CASE, *FAST], [*sweep, *few]):
            done = self.expect(0, "bench", *flags, "--quiet", "--json", "r.json", "--md", "r.md")
            (summary,) = below_the_table(done.stdout)
            self.assertLessEqual(len(summary), 5, done.stdout)
            self.assertRegex(summary[0], "^(flash is (faster|slower) than normal|cannot tell)")
            self.assertLessEqual(len(done.stderr.splitlines()), 4, done.stderr)
            bullets = [x for x in (self.folder / "r.md").read_text().splitlines() if x[:2] == "- "]
            self.assertLessEqual(len(bullets), 9)

    def test_every_ratio_has_its_interval(self):
        sweep = ["--h", "1", "--d", "16", "--q_len", "32,64,128"]
        done = self.expect(0, "bench", *FAST, *sweep, "--explain", "--json", "r.json", "--csv",
                           "r.csv")
        ratios = re.findall(r"(\d+\.\d+)x( \[[\d.]+, [\d.]+\])? as fast", done.stdout)
        self.assertTrue(all(interval for _, interval in ratios), done.stdout)
        results = self.validated((self.folder / "r.json").read_text())["results"]
        for r in results:
            self.assertEqual(r["speedup_over"] is None, r["speedup_ci95"] is None)
            if r["speedup_over"]:
                low, high = r["speedup_ci95"]["normal"]
                self.assertTrue(low <= r["speedup_over"]["normal"] <= high)
        (head, *rows) = csv.reader((self.folder / "r.csv").read_text().splitlines())
        for r, row in zip(results, rows):
            cells = dict(zip(head, row))
            ends = [cells[f"speedup_over_normal_{end}"] for end in ("low", "high")]
            self.assertEqual([float(end) for end in ends if end],
                             (r["speedup_ci95"] or {}).get("normal", []))

    def test_a_sweep_keeps_its_sentences_in_the_report(self):
        out = self.expect(0, "bench", *FAST, "--h", "1", "--d", "16", "--q_len", "16,32").stdout
        self.assertNotIn("is the limit", out)

    def test_numbers_without_a_check_explain_nothing(self):
        report = self.bench_json(*CASE, "--verify", "none")
        self.assertTrue(all(r["why"] is None and r["balance"] is None for r in report["results"]))

    def test_energy_is_there_or_says_why_not(self):
        report = self.bench_json(*CASE)
        energy = report["context"]["energy"]
        said = energy["source"] or f"absent: {energy['missing']}"
        self.assertRegex(self.expect(0, "info").stdout, rf"(?m)^energy +{re.escape(said)}$")
        self.assertNotEqual(energy["source"] is None, energy["missing"] is None)
        for r in report["results"]:
            self.assertEqual(r["energy_j"] is None, energy["source"] is None)
            self.assertEqual(r["gflop_per_j"] is None, energy["source"] is None)

    def test_a_sweep_says_who_is_faster_or_that_nobody_knows(self):
        done = self.expect(0, "bench", *FAST, "--h", "1", "--d", "16", "--q_len", "16,64,256",
                           "--explain", "--json", "r.json")
        report = self.validated((self.folder / "r.json").read_text())
        summary = report["summary"]
        known = [r["speedup_ci95"]["normal"] for r in report["results"] if r["speedup_ci95"]]
        sides = {1 if low >= 1.01 else -1 if high <= 0.99 else 0 for low, high in known}
        self.assertEqual(bool(summary["crossover"]), {1, -1} <= sides)
        self.assertEqual(bool(summary["lead"]), len(known) == 3 and sides in ({1}, {-1}))
        self.assertEqual(bool(summary["crossover"]), "overtakes" in done.stdout)
        self.assertEqual(bool(summary["lead"]),
                         "at every length measured, q_len 16 to 256" in done.stdout)

    def test_the_length_at_which_memory_would_end_is_predicted(self):
        done = self.expect(0, "bench", *FAST, "--h", "1", "--d", "16", "--q_len", "16,32",
                           "--json", "r.json")
        (limit,) = self.validated((self.folder / "r.json").read_text())["summary"]["memory_limit"]
        self.assertTrue(limit["predicted"])
        self.assertEqual((limit["type"], limit["fits"]), ("normal", 32))
        self.assertIn("normal would no longer fit into memory at q_len = ", done.stdout)
        case = ["--h", "1", "--d", "16", "--type", "normal", "--verify", "sample", "--dry_run"]
        beyond = str(2 * int(limit["exceeds"]))
        self.assertIn("skipped: needs", self.run_program("bench", *case, "--q_len", beyond).stdout)

    def test_the_length_that_lacks_memory_is_named(self):
        # 2^20 x 2^20 scores take 4 TB: no machine that runs this test has them
        done = self.expect(0, "bench", *FAST, "--h", "1", "--d", "1", "--q_len", "1,1m", "--kv_len",
                           "1m", "--type", "normal", "--json", "r.json", "--verify", "sample")
        (limit,) = self.validated((self.folder / "r.json").read_text())["summary"]["memory_limit"]
        self.assertEqual((limit["type"], limit["exceeds"]), ("normal", 2**20))
        self.assertIn("normal no longer fits into memory at", done.stdout)


class OtherPrograms(CliTest):
    def test_times_for_a_trend(self):
        done = self.expect(0, "bench", *TINY, *FAST, "--bmf", "t.json", "--github_benchmark", "-", "--json", "r.json")
        measured = [r for r in self.validated((self.folder / "r.json").read_text())["results"]
                    if r["median"] and not r["disturbed"]]
        times = json.loads((self.folder / "t.json").read_text())
        self.assertEqual(len(times), len(measured))
        for entry, result in zip(json.loads(done.stdout), measured):
            self.assertAlmostEqual(entry["value"], 1e9 * result["median"])
            self.assertEqual(times[entry["name"]]["latency"]["value"], entry["value"])
        self.refuse("bench", *TINY, "--bmf", "r.json", "--json", "r.json", says=["--bmf", "--json"])
        self.refuse("check", "--bmf", "t.json", says="it belongs to bench")

    DRY_RUN = ["bench", "--dry_run", "--q_len", "64,128", "--causal", "true,false", "--type", "flash", "--pass", "both",
               "--threads", "1"]

    def test_a_dry_run_says_once_what_cases_share(self):
        caption, table, total = self.expect(0, *self.DRY_RUN).stdout.split("\n\n")
        self.assertTrue(caption.startswith("both, f32, "), caption)
        self.assertTrue(caption.endswith(", 1 thread"), caption)
        self.assertNotIn("threads", table)
        self.assertIn("total: 4 cases", total)

    def test_rows_fold_on_a_terminal_and_are_whole_for_what_reads_lines(self):
        whole = self.expect(0, *self.DRY_RUN).stdout.split("\n\n")[1].splitlines()
        self.assertEqual(len(whole), 5, "titles and a row a case")
        self.assertGreater(max(map(len, whole)), 80)
        folded = self.on_a_terminal(*self.DRY_RUN, columns=80).split("\n\n")[1].splitlines()
        self.assertEqual(len(folded), 10)
        for line in folded:
            self.assertLessEqual(len(line), 80, line)
        wide = self.on_a_terminal(*self.DRY_RUN, columns=200).split("\n\n")[1].splitlines()
        self.assertEqual([len(line) for line in wide], [len(line) for line in whole])

    def test_csv_is_a_plain_table(self):
        out = self.expect(0, "bench", *FAST, "--h", "1", "--d", "16", "--q_len", "16,32", "--csv",
                          "-").stdout
        rows = list(csv.reader(io.StringIO(out)))
        header = rows[0]
        self.assertEqual(len(rows), 5)
        self.assertEqual(len(set(header)), len(header))
        for name in header:
            self.assertRegex(name, r"^[a-z][a-z0-9_]*$")
        for row in rows[1:]:
            self.assertEqual(len(row), len(header))
            self.assertFalse([cell for cell in row if cell[:1] in "=+@-" and cell], "a formula")
            cells = dict(zip(header, row))
            for name in ("q_len", "median_s", "stddev_s", "ci95_low_s", "tflops", "flop_visible", "bytes",
                         "intensity_flop_per_byte", "io_bytes_normal"):
                float(cells[name])
            if cells["pct_peak"]:  # none where others disturbed the peak
                float(cells["pct_peak"])
            self.assertIn(cells["causal"], ("true", "false"))

    def test_what_hyperfines_scripts_read(self):
        report = self.bench_json("--h", "1", "--d", "16", "--q_len", "16:64:x2", "--type", "flash")
        for r in report["results"]:
            for name in ("mean", "stddev", "median", "user", "system", "min", "max"):
                self.assertIsInstance(r[name], (int, float), name)
            self.assertEqual(r["exit_codes"], [0] * len(r["times"]))
            self.assertEqual(list(r["parameters"]), ["q_len"], "plot_parametrized.py wants one")
            float(r["parameters"]["q_len"])
        self.assertEqual(len({r["command"] for r in report["results"]}), 3)


if __name__ == "__main__":
    unittest.main()
