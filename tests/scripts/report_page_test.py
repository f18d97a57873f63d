"""The HTML page in a real browser: it needs no network, sorts, tells values, fits a telephone."""

import json
import shutil
import unittest

import pictures
from harness import missing, require

require("plotly")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Page(pictures.PictureTest):
    def make(self, *all_of):
        self.run_script("plots/report.py", *self.files(*all_of), "-o", "page.html")
        return self.folder / "page.html"

    def test_everything_is_in_the_file(self):
        page = self.make(
            pictures.report(pictures.sweep() + pictures.sweep(causal=True))
        ).read_text()
        for text in (
            "Example &lt;CPU&gt; &amp; co",
            "12 results, 10 of them measured and verified; 2 skipped.",
            "needs 68.7 GB, 21.0 GB available",
            "flashbench bench --q_len 256 --d 64 --type normal",
            "Speedup of flash over normal",
        ):
            self.assertIn(text, page)
        self.assertNotIn("@PLOTLY@", page)
        self.assertGreater(len(self.plots(self.folder / "page.html")), 4)

    def plots(self, page):
        text = page.read_text().split('id="plots">')[1].split("</script>")[0]
        return json.loads(text.replace("<\\/", "</"))

    # "The best share of the measured peak is 168 % of memory" stood on top of the page.
    def test_a_share_above_the_probe_is_explained_and_not_the_headline(self):
        rows = [pictures.result(q_len=n, kv_len=n) for n in (256, 512)]
        rows[0].update(bound="memory", pct_peak=168.2)
        rows[1].update(bound="compute", pct_peak=71.0)
        page = self.make(pictures.report(rows)).read_text()
        self.assertIn("The best share of a measured peak is 71 % of compute (300 GFLOP/s", page)
        self.assertIn("1 of 2 results are above the peak that was measured, up to 168 %", page)
        self.assertIn("(30 GB/s of memory reads, avx512, 2 threads", page)
        self.assertIn("168 % of memory (caches)", page)

    def test_every_bar_has_its_interval_and_one_ratio_no_chart(self):
        page = self.make(
            pictures.report([pictures.result(type=kind) for kind in ("flash", "normal")])
        )
        bars = [t for plot in self.plots(page) for t in plot["data"] if t.get("type") == "bar"]
        self.assertEqual(len(bars), 2)
        for trace in bars:
            self.assertGreater(trace["error_x"]["array"][0], 0)
            self.assertGreater(trace["error_x"]["arrayminus"][0], 0)
        self.assertNotIn("id='speedup'", page.read_text())
        self.assertIn("Speedup of flash over normal", page.read_text(), "it is in words")

    def test_ratios_without_a_length_are_bars(self):
        rows = [
            pictures.result(dtype=dtype, type=kind)
            for dtype in ("f32", "bf16")
            for kind in ("flash", "normal")
        ]
        page = self.make(pictures.report(rows))
        titles = [p["layout"]["xaxis"]["title"]["text"] for p in self.plots(page)]
        self.assertIn("times as fast", titles)

    def test_bad_input_gets_one_line(self):
        self.assertEqual(
            len(self.run_script("plots/report.py", "none.json", code=2).stderr.splitlines()), 1
        )

    @unittest.skipIf(
        BROWSER is None or missing("playwright"), "no chromium, or no playwright to drive it"
    )
    def test_in_a_browser(self):
        from playwright.sync_api import sync_playwright

        page = self.make(
            pictures.report(pictures.sweep()), pictures.report(pictures.sweep(), "pytorch")
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            for width in (1280, 400):
                with self.subTest(width=width):
                    self.drive(
                        browser.new_page(viewport={"width": width, "height": 900}), page, width
                    )
            browser.close()

    def drive(self, tab, page, width):
        trouble = []
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on(
            "console",
            lambda message: trouble.append(message.text) if message.type == "error" else None,
        )
        tab.on(
            "request",
            lambda r: (
                trouble.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None
            ),
        )
        tab.goto(page.as_uri())
        tab.wait_for_selector("#plot0 .scatterlayer .point")
        self.assertEqual(tab.locator(".js-plotly-plot").count(), tab.locator(".plot").count())
        self.assertEqual(tab.evaluate("document.documentElement.scrollWidth"), width)
        self.sorts(tab)
        tab.locator("#plot0").scroll_into_view_if_needed()
        box = tab.locator("#plot0 .scatterlayer .point").first.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tab.wait_for_selector("#plot0 .hoverlayer .hovertext")
        self.assertIn("GFLOP/s", tab.locator("#plot0 .hoverlayer").text_content())
        self.assertEqual(trouble, [])

    def sorts(self, tab):
        """By time, both ways; what has no time stays last."""
        button = tab.locator("#results th button", has_text="time")
        column = button.evaluate("b => b.parentElement.cellIndex")
        rows = "[...document.querySelectorAll('#results tbody tr')]"
        values = f"{rows}.map(row => row.cells[{column}].dataset.value)"
        button.click()
        up = tab.evaluate(values)
        button.click()
        down = tab.evaluate(values)
        known = sorted((v for v in up if v), key=float)
        self.assertEqual(len(known), 10)
        self.assertEqual(up, known + ["", ""])
        self.assertEqual(down, known[::-1] + ["", ""])


if __name__ == "__main__":
    unittest.main()
