"""What the tables of scripts may conclude from times. No package and no other library needed."""

import types
import unittest

import pictures
import peers_table
import ratios
import reports

FLASHBENCH, PEER = (types.SimpleNamespace(name=name) for name in ("flashbench", "pytorch"))


def timed(median, spread=0.002, **changes):
    """A result whose samples lie within `spread` about `median`."""
    result = pictures.result(**changes)
    times = [median * (1 + spread * (i - 5) / 5) for i in range(11)]
    result.update(pictures.sampling.summarize(times))
    pictures.measuring.add_rates(result)
    return result


def table(rows, rounds=1):
    """What peers prints of rows of (own result, the peer's result)."""
    names = [(f"row {i}", [], None) for i in range(len(rows))]
    seen = {
        f"row {i}": {"flashbench": [own] * rounds, "pytorch": [peer] * rounds}
        for i, (own, peer) in enumerate(rows)
    }
    for which in ("flashbench", "pytorch"):
        ratios.mark_flat([seen[name][which][-1] for name, _, _ in names])
    text = peers_table.markdown(names, seen, [FLASHBENCH, PEER], "heading")
    return [line for line in text.splitlines() if line.startswith("| row")]


class Ratios(unittest.TestCase):
    def test_an_interval_comes_from_the_ends_of_both(self):
        value, low, high = ratios.time_ratio(timed(2.0), timed(1.0))
        self.assertAlmostEqual(value, 2)
        self.assertTrue(1.98 < low < 2 < high < 2.02, (low, high))

    def test_one_sample_says_nothing(self):
        once = timed(1.0)
        once["times"] = once["times"][:1]
        self.assertIsNone(ratios.time_ratio(once, timed(2.0)))

    def test_three_samples_hold_less_than_their_range_says(self):
        few = timed(1.0)
        few.update(pictures.sampling.summarize([0.99, 1.0, 1.01]))
        low, high = ratios.interval(few)
        self.assertLess(low, 0.98)
        self.assertGreater(high, 1.02)

    def test_rounds_that_disagree_widen_the_interval(self):
        one = (1.5, 1.49, 1.51)
        self.assertEqual(ratios.over_rounds([one]), one)
        value, low, high = ratios.over_rounds([one, (1.1, 1.09, 1.11), (1.3, 1.29, 1.31)])
        self.assertEqual(value, 1.3)
        self.assertTrue(low < 1 < 1.51 < high)
        steady = ratios.over_rounds([one] * 9)
        self.assertEqual(steady, one)

    def test_ends_are_rounded_outwards(self):
        self.assertEqual(ratios.ratio_text((1.041, 1.0213, 1.0587)), "1.04x [1.02, 1.06]")
        self.assertEqual(ratios.ratio_text((1.04, 1.02, 1.06)), "1.04x [1.02, 1.06]")
        self.assertEqual(ratios.ratio_text((1.01, 0.98, 1.04)), "cannot tell [0.98, 1.04]")
        self.assertEqual(ratios.ratio_text((0.04, 0.01, 20.0)), "cannot tell [0.010, 20.0]")


class PeersTable(unittest.TestCase):
    def test_a_ratio_stands_with_its_interval(self):
        (line,) = table([(timed(1.0), timed(2.0))])
        self.assertRegex(line, r"\*\*2\.00x \[1\.99, 2\.01\]\*\*")

    def test_equal_times_are_no_speedup(self):
        (line,) = table([(timed(1.0), timed(1.005, 0.02))], rounds=3)
        self.assertRegex(line, r"cannot tell \[0\.9\d, 1\.0\d\]")
        self.assertNotIn("**", line)

    def test_times_that_do_not_rise_conclude_nothing(self):
        """Decode at 2048 and 4096 keys, both a scheduler's slice, made 0.50x of what is 5.27x."""
        case = {"q_len": 1, "h": 32, "d": 128, "bound": "memory"}
        own = [timed(0.02399, kv_len=k, **case) for k in (2048, 4096)]
        theirs = [timed(0.012 * k / 2048, kv_len=k, **case) for k in (2048, 4096)]
        lines = table(list(zip(own, theirs)))
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertIn("cannot tell: times do not rise with the work", line)
        self.assertEqual([r["rises"] for r in own + theirs], [False, False, True, True])

    def test_what_was_disturbed_concludes_nothing(self):
        (line,) = table([(dict(timed(1.0), disturbed=True), timed(2.0))])
        self.assertIn("cannot tell: disturbed", line)

    def test_json_has_the_interval_of_every_ratio(self):
        own, peer = timed(1.0), timed(2.0)
        rows = [("row", [], None)]
        seen = {"row": {"flashbench": [own] * 3, "pytorch": [peer] * 3}}
        (row,) = peers_table.as_json(rows, seen, 3, "heading", {"flashbench": []})["rows"]
        speedup = row["speedup_over"]["pytorch"]
        low, high = speedup["interval"]
        self.assertTrue(1.98 < low < 2 < high < 2.02)
        self.assertEqual(speedup["faster"], "flashbench")


class Merged(unittest.TestCase):
    def test_samples_that_others_disturbed_are_left_out(self):
        quiet, marked, lost_all = timed(1.0), timed(1.0), timed(9.0)
        marked["times"][0], marked["lost"], marked["marked"] = 50.0, [0.5] + [0.0] * 10, 1
        lost_all["disturbed"] = True
        kept, times = peers_table.undisturbed([quiet, marked, lost_all])
        self.assertEqual((len(kept), len(times)), (2, 21))
        self.assertLess(max(times), 2)
        self.assertEqual(len(peers_table.undisturbed([lost_all])[1]), 11)


class Flat(unittest.TestCase):
    def rises(self, *results):
        ratios.mark_flat(results)
        return [r.get("rises") for r in results]

    def test_only_sweeps_are_judged(self):
        self.assertEqual(self.rises(timed(1.0), timed(1.0, d=128)), [None, None])
        self.assertEqual(self.rises(timed(1.0), timed(3.9, q_len=2048, kv_len=2048)), [True] * 2)

    def test_short_times_may_be_fixed_costs(self):
        self.assertEqual(self.rises(timed(1e-5, q_len=64, kv_len=64), timed(1e-5)), [True] * 2)

    def test_a_slice_of_the_scheduler_is_seen_wherever_it_fell(self):
        lengths = [timed(0.02, q_len=64, kv_len=64), timed(0.001, q_len=128, kv_len=128),
                   timed(0.004, q_len=256, kv_len=256)]
        self.assertEqual(self.rises(*lengths), [False] * 3)


class Pictures(pictures.PictureTest):
    def test_a_share_that_cannot_be_is_not_shown(self):
        report = pictures.report([dict(timed(1.0), pct_peak=306.0, bound="compute"),
                                  dict(timed(1.0, d=32), pct_peak=126.0, bound="memory")])
        shares = [r["pct_peak"] for r in reports.results_of(reports.load(self.files(report)))]
        self.assertEqual(shares, [None, 126.0])


if __name__ == "__main__":
    unittest.main()
