"""How results are arranged and named for pictures. No package needed."""

import json
import unittest

import pictures
import reports


class Arranged(pictures.PictureTest):
    def load(self, *all_of):
        return reports.load(self.files(*all_of))

    def arranged(self, results):
        return reports.Sweep(reports.results_of(self.load(pictures.report(results))))

    def test_the_fixture_is_a_report(self):
        self.validated(json.dumps(pictures.report(pictures.sweep())))

    def test_keys_that_follow_queries_are_no_panels(self):
        arranged = self.arranged(pictures.sweep() + pictures.sweep(causal=True))
        self.assertEqual(arranged.axis.name, "q_len")
        self.assertEqual(list(arranged.panels()), ["no mask", "causal"])
        self.assertEqual(list(arranged.panels()["causal"]), ["flash", "normal"])
        self.assertEqual(arranged.caption, "forward, f32, 4 heads, d = 64")

    def test_keys_of_their_own_are_panels(self):
        results = [pictures.result(q_len=q, kv_len=k) for q in (64, 128) for k in (256, 512)]
        self.assertEqual(list(self.arranged(results).panels()), ["256 keys", "512 keys"])
        sizes = [size.name for size in reports.two_parameters(results)]
        self.assertEqual(sizes, ["q_len", "kv_len"])
        self.assertIsNone(reports.two_parameters(pictures.sweep()))

    def test_speedups_over_normal_and_over_another_report(self):
        slow = [
            dict(r, **{k: 2 * r[k] for k in ("median",)}, ci95=[2 * x for x in r["ci95"]])
            for r in pictures.sweep()
            if r["median"]
        ]
        loaded = self.load(pictures.report(pictures.sweep()), pictures.report(slow, "pytorch"))
        ratios = reports.speedups(reports.Sweep(reports.results_of(loaded)))[""]
        self.assertEqual(
            set(ratios),
            {
                "flashbench: flash over normal",
                "pytorch: flash over normal",
                "flash: flashbench over pytorch",
                "normal: flashbench over pytorch",
            },
        )
        for x, ratio, low, high in ratios["flash: flashbench over pytorch"]:
            self.assertAlmostEqual(ratio, 2)
            self.assertTrue(low < 2 < high)
        for x, ratio, low, high in ratios["pytorch: flash over normal"]:
            self.assertNotEqual(x, 1024)  # normal has no number there

    def test_same_programs_are_told_apart_by_file(self):
        loaded = self.load(pictures.report(pictures.sweep()), pictures.report(pictures.sweep()))
        self.assertEqual({r["program"] for r in reports.results_of(loaded)}, {"r0", "r1"})

    # "old" and "r1" said nothing of what was compared.
    def test_same_programs_are_told_apart_by_build_or_machine_before_file(self):
        def names(old, new):
            loaded = self.load(old, new)
            return list(dict.fromkeys(r["program"] for r in reports.results_of(loaded)))

        old, new = (pictures.report(pictures.sweep()) for _ in range(2))
        new["tool"].update(git_sha="7fff051abcdef", dirty=False)
        self.assertEqual(names(old, new), ["flashbench 1.0", "flashbench 1.0 (7fff051a)"])
        new = pictures.report(pictures.sweep())
        new["context"]["cpu"]["model"] = "Other"
        self.assertEqual(names(old, new), ["Example <CPU> & co, 2 threads", "Other, 2 threads"])
        new = pictures.report(pictures.sweep())
        new["started_at"] = "2026-01-02T05:06:07Z"
        self.assertEqual(
            names(old, new), ["flashbench, 2026-01-02 03:04", "flashbench, 2026-01-02 05:06"]
        )

    # "./mine.so" was what the legend said of a kernel.
    def test_guests_are_called_as_their_kernels(self):
        def guest(kernel, plugin):
            own = {"description": "", "build": "", "abi": "a", "sha256": None, "isolated": True}
            own["rounds"] = []
            return pictures.result(type="plugin", kernel=kernel, plugin=plugin, guest=own)

        rows = [pictures.result(), guest("tiled", "./mine.so"), guest("online", "./b.so")]
        loaded = self.load(pictures.report(rows))
        sweep = reports.Sweep(reports.results_of(loaded))
        self.assertEqual(sweep.lines(), ["flash", "plugin, tiled", "plugin, online"])
        rows = [guest("same", "./mine.so"), guest("same", "./b.so")]
        sweep = reports.Sweep(reports.results_of(self.load(pictures.report(rows))))
        self.assertEqual(sweep.lines(), ["mine: same", "b: same"])

    def test_numbers_of_a_thousand_and_more_have_no_exponent(self):
        self.assertEqual(reports.roof_text(963e12, 4.02e12), "963 TFLOP/s, 4.02 TB/s")
        self.assertEqual(reports.plain(1020.3, 3), "1020")
        self.assertEqual(reports.plain(999.7, 3), "1000")
        self.assertEqual(reports.plain(41.32, 3), "41.3")

    def test_roofs_of_a_gpu_pair_its_instructions_with_its_own_bandwidth(self):
        def peak(isa, dtype, value, device):
            key = "gflops" if dtype else "read_gb_s"
            rates = {"gflops": None, "read_gb_s": None, key: value}
            return dict(backend="cuda", isa=isa, threads=1024, dtype=dtype, device=device, **rates)

        report = pictures.report(pictures.sweep())
        report["peaks"] = [
            peak("mma.sync", "bf16", 600e3, "0"),
            peak("ld.global", None, 3000, "0"),
            peak("fma.f32", "f32", 60e3, "1"),
            peak("ld.global", None, 2000, "1"),
        ]
        (loaded,) = self.load(report)
        self.assertEqual(
            reports.roofs(loaded),
            {"bf16 mma.sync, GPU 0": (600e12, 3000e9), "f32 fma.f32, GPU 1": (60e12, 2000e9)},
        )

    def test_what_is_no_report_is_refused_by_name(self):
        for text in ("", "[]", "{}", '{"schema_version": 2}'):
            path = self.folder / "bad.json"
            path.write_text(text)
            with self.assertRaisesRegex(reports.Refused, "bad.json"):
                reports.load([path])
        with self.assertRaisesRegex(reports.Refused, "none.json"):
            reports.load([self.folder / "none.json"])


if __name__ == "__main__":
    unittest.main()
