"""plot.py draws every kind of report: nothing is lost, nothing without a number becomes 0."""

import unittest

import pictures
from harness import require

require("matplotlib")

KINDS = {"speed", "speedup", "roofline", "memory", "samples"}


class Plots(pictures.PictureTest):
    def plot(self, *all_of, args=(), code=0):
        return self.run_script("plots/plot.py", *self.files(*all_of), "-o", "out", *args, code=code)

    def drawn(self):
        """Stems of the pictures, each of which must be a whole PNG and a whole SVG."""
        stems = set()
        for path in (self.folder / "out").iterdir():
            data = path.read_bytes()
            self.assertTrue(
                data.startswith(b"\x89PNG")
                if path.suffix == ".png"
                else data.rstrip().endswith(b"</svg>")
            )
            stems.add(path.stem)
        return stems

    def test_a_sweep(self):
        self.plot(pictures.report(pictures.sweep()))
        self.assertEqual(self.drawn(), KINDS)
        svg = (self.folder / "out/speed.svg").read_text()
        for text in (
            "Example &lt;CPU&gt; &amp; co, 2 threads",
            "GFLOP/s of visible pairs",
            "x: not run, or wrong",
            "sequence length (queries)",
            ">1k</text>",
        ):
            self.assertIn(text, svg)

    def test_single_results_become_bars(self):
        rows = [
            pictures.result(dtype=dtype, type=kind)
            for dtype in ("f32", "bf16")
            for kind in ("flash", "normal")
        ]
        self.plot(pictures.report(rows))
        self.assertEqual(self.drawn(), KINDS - {"memory"})

    def test_one_ratio_is_no_picture(self):
        self.plot(pictures.report([pictures.result(type=kind) for kind in ("flash", "normal")]))
        self.assertEqual(self.drawn(), KINDS - {"memory", "speedup"})

    def test_two_parameters_and_two_reports(self):
        grid = [pictures.result(q_len=n, kv_len=n, d=d) for n in (256, 512) for d in (32, 64)]
        self.plot(pictures.report(grid), pictures.report(grid, "pytorch"))
        self.assertEqual(self.drawn(), KINDS | {"heatmap"})

    def test_a_report_without_any_number(self):
        rows = [pictures.without_numbers(r, "failed", "wrong") for r in pictures.sweep()]
        self.plot(pictures.report(rows))
        self.assertEqual(self.drawn(), {"speed"})

    def test_whole_models_are_bars(self):
        model = {
            "model": "Gemma & co",
            "pass": "forward",
            "type": "flash",
            "dtype": "bf16",
            "b": 1,
            "q_len": 4096,
            "kv_len": 4096,
            "layers": 42,
            "seconds": 1.5,
            "ci95": [1.4, 1.6],
            "pct_peak": 81.0,
            "conclusive": True,
        }
        report = pictures.report(pictures.sweep())
        report["summary"]["models"] = [model, {**model, "model": "Phi", "conclusive": False}]
        self.plot(report, args=["--only", "models"])
        self.assertEqual(self.drawn(), {"models"})
        svg = (self.folder / "out/models.svg").read_text()
        for text in ("Gemma &amp; co", "81 %", "1.5 s, 42 layers", "x: disturbed"):
            self.assertIn(text, svg)

    def test_formats_and_kinds(self):
        done = self.plot(
            pictures.report(pictures.sweep()), args=["--format", "svg", "--only", "roofline"]
        )
        self.assertEqual(done.stdout.split(), ["out/roofline.svg"])
        self.assertIn(
            "speed",
            self.plot(pictures.report(pictures.sweep()), args=["--only", "sped"], code=2).stderr,
        )

    def test_bad_input_gets_one_line(self):
        done = self.run_script("plots/plot.py", "none.json", code=2)
        self.assertEqual(done.stderr, "plot.py: none.json: No such file or directory\n")


if __name__ == "__main__":
    unittest.main()
