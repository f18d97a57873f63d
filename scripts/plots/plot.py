#!/usr/bin/env python3
"""Draws flashbench reports: PNG and SVG files of whatever the results support.

    scripts/plot report.json          # installs what is missing; also makes report.html
    python3 -m venv build/plots && build/plots/bin/pip install matplotlib
    build/plots/bin/python scripts/plots/plot.py report.json -o plots
    build/plots/bin/python scripts/plots/plot.py flashbench.json pytorch.json -o plots    # overlaid

    speed     against the swept length; bars where nothing is swept. Error bars: 95 % of the median
    speedup   of flash over normal, and of the first report over each other one
    roofline  speed against arithmetic intensity, under the peaks measured in that run
    memory    peak resident memory of each type
    samples   every sample, relative to its median
    heatmap   share of the peak (or speed) over a two-parameter sweep
    models    share of the peak of all layers of a model, a bar each: of configs that say `layers`

--only speed,roofline draws some. What was not run or failed its check is marked, never drawn as 0.
"""

import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))

import reports as rp  # noqa: E402

try:
    from figures import DASHES, GREY, Figure, Style, has, plain_numbers
    from plot_lines import draw_memory, draw_speed, draw_speedup, split
    from plot_models import draw_models
except ImportError:
    sys.exit(f"{sys.argv[0]}: matplotlib is missing: pip install matplotlib")

MOST_RELATIVE_TIME = 3.0


# ---- the figures: each yields (name, Figure) -----------------------------------------------------


def draw_roofline(sweep, style, reports):
    """Points under the roofs of their own run."""
    roofs = {}
    for report in reports:
        for key, roof in rp.roofs(report).items():
            roofs.setdefault(key, roof)
    known = has(sweep.results, "tflops")
    if not roofs or not known:
        return
    figure = Figure([""], "Roofline", sweep.caption, width=8.5, height=4.8)
    axis = figure.axes[0]
    intensity = [r["flop_visible"] / r["bytes"] for r in known]
    ridge = max(flops / bandwidth for flops, bandwidth in roofs.values())
    low, high = min(*intensity, ridge) / 2.5, max(*intensity, ridge) * 2.5
    for i, (name, (flops, bandwidth)) in enumerate(roofs.items()):
        draw_roof(axis, name, flops, bandwidth, (low, high), DASHES[i % len(DASHES)])
    for line in sweep.lines():
        points = [r for r in known if rp.label(r, sweep.line_traits) == line]
        axis.plot(
            [r["flop_visible"] / r["bytes"] for r in points],
            [1e3 * r["tflops"] for r in points],
            **dict(style.of(line), linestyle="none", markersize=6, alpha=0.75),
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    slowest, roof = min(r["tflops"] for r in known), max(flops for flops, _ in roofs.values())
    axis.set_ylim(1e3 * slowest / 4, max(1e-9 * roof, 1e3 * max(r["tflops"] for r in known)) * 1.6)
    plain_numbers(axis.xaxis)
    plain_numbers(axis.yaxis)
    axis.set_xlabel("arithmetic intensity: FLOP of visible pairs per byte of operands")
    axis.set_ylabel("GFLOP/s")
    figure.legend()
    yield "roofline", figure


def draw_roof(axis, name, flops, bandwidth, ends, dash):
    low, high = ends
    ridge = flops / bandwidth
    text = f"peak {name}: {rp.roof_text(flops, bandwidth)}"
    axis.plot(
        [low, ridge, high],
        [1e-9 * low * bandwidth, 1e-9 * flops, 1e-9 * flops],
        color="black",
        linestyle=dash,
        linewidth=1.2,
        zorder=1,
        label=text,
    )


def draw_samples(sweep, style):
    """A box for each result: quartiles, whiskers of 1.5 quartile distances, every outlier."""
    known = [r for r in sweep.results if r["times"] and len(r["times"]) > 1]
    for start in range(0, len(known), 40):
        chunk = known[start : start + 40]
        figure = Figure(
            [""],
            "Samples, relative to their median",
            sweep.caption,
            width=8.5,
            height=0.22 * len(chunk) + 0.8,
        )
        axis = figure.axes[0]
        for y, r in enumerate(chunk):
            draw_box(axis, y, r, style.of(rp.label(r, sweep.line_traits)))
        axis.set_yticks(range(len(chunk)), [rp.short(r, known) for r in chunk], fontsize=7.5)
        axis.grid(False, axis="y")
        clip_far_outliers(axis, chunk)
        axis.set_xlabel("time of a sample / median")
        part = f"_{start // 40 + 1}" if len(known) > 40 else ""
        yield f"samples{part}", figure


def draw_box(axis, y, result, look):
    relative = [t / result["median"] for t in result["times"]]
    box = axis.boxplot(
        [relative],
        positions=[y],
        orientation="horizontal",
        widths=0.65,
        patch_artist=True,
        manage_ticks=False,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": look["color"]},
        medianprops={"color": "black"},
    )
    box["boxes"][0].set(facecolor=look["color"], alpha=0.6)


def clip_far_outliers(axis, results):
    """A sample seventeen times the median would flatten every box: it is counted at the edge."""
    right = min(1 + 1.6 * max(rp.box_end(r) - 1 for r in results) + 0.01, MOST_RELATIVE_TIME)
    beyond = [sum(t / r["median"] > right for t in r["times"]) for r in results]
    axis.set_ylim(len(results) - 0.4, -0.6)
    if not any(beyond):
        return
    axis.set_xlim(min(r["min"] / r["median"] for r in results) - 0.02, right)
    for y, (count, r) in enumerate(zip(beyond, results)):
        if count:
            worst = max(r["times"]) / r["median"]
            axis.annotate(
                f"{count} beyond, up to {rp.plain(worst, 3)}x",
                (right, y),
                xytext=(3, 0),
                va="center",
                textcoords="offset points",
                fontsize=6.5,
                annotation_clip=False,
            )


def draw_heatmap(sweep, style):
    sizes = rp.two_parameters(sweep.results)
    if sizes is None:
        return
    share = all(r["pct_peak"] is not None for r in has(sweep.results, "median"))
    factor, unit = rp.rate_unit(sweep.results)
    grids = {}

    def given(result):
        return tuple(size.value(result) for size in sizes)

    traits = rp.telling(sweep.results, (*rp.LINE_TRAITS, *rp.PANEL_TRAITS), given)
    for result in sweep.results:
        cells = grids.setdefault(rp.label(result, traits), {})
        value = result["pct_peak"] if share else result["tflops"] and factor * result["tflops"]
        cells[given(result)] = value
    full = {
        t: cells
        for t, cells in grids.items()
        if len({k[1] for k in cells}) > 1 and len({k[0] for k in cells}) > 1
    }
    for part, panels in split(full):
        values = [v for cells in panels.values() for v in cells.values() if v is not None]
        if not values:
            continue
        what = "Share of the peak, %" if share else f"Speed, {unit}"
        figure = Figure(list(panels), what, sweep.caption, width=4.8, height=3.8)
        for axis, cells in zip(figure.axes, panels.values()):
            draw_cells(axis, cells, sizes, (0, 100) if share else (min(values), max(values)))
        yield f"heatmap{part}", figure


def draw_cells(axis, cells, sizes, limits):
    across, up = (sorted({k[i] for k in cells}) for i in (0, 1))
    grid = [[cells.get((x, y)) for x in across] for y in up]
    numbers = [[math.nan if v is None else v for v in row] for row in grid]
    axis.imshow(
        numbers, origin="lower", aspect="auto", cmap="cividis", vmin=limits[0], vmax=limits[1]
    )
    middle = (limits[0] + limits[1]) / 2
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            text = "x" if value is None else f"{value:.0f}"
            colour = GREY if value is None else "black" if value > middle else "white"
            axis.annotate(text, (x, y), ha="center", va="center", fontsize=8, color=colour)
    axis.grid(False)
    axis.set_xticks(range(len(across)), [rp.size_text(v) for v in across])
    axis.set_yticks(range(len(up)), [rp.size_text(v) for v in up])
    axis.set_xlabel(sizes[0].title)
    axis.set_ylabel(sizes[1].title)


KINDS = {
    "speed": draw_speed,
    "speedup": draw_speedup,
    "roofline": draw_roofline,
    "memory": draw_memory,
    "samples": draw_samples,
    "heatmap": draw_heatmap,
    "models": draw_models,
}


def draw(reports, folder, formats, only):
    """Draws what the results support; returns the paths."""
    sweep = rp.Sweep(rp.results_of(reports))
    style = Style(sweep.lines())
    machine = rp.machines(reports)
    paths = []
    for kind, function in KINDS.items():
        if kind not in only:
            continue
        extra = (reports,) if kind in ("roofline", "models") else ()
        for name, figure in function(sweep, style, *extra):
            paths += figure.save(folder, name, machine, formats)
    return paths


def names_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="what --json wrote")
    parser.add_argument(
        "-o", "--output", default="plots", metavar="FOLDER", help="(default: plots)"
    )
    parser.add_argument(
        "--format", type=names_of(("png", "svg")), default=["png", "svg"], help="(default: png,svg)"
    )
    parser.add_argument(
        "--only", type=names_of(tuple(KINDS)), default=list(KINDS), help="(default: all)"
    )
    options = parser.parse_args()
    try:
        reports = rp.load(options.reports)
        folder = pathlib.Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        paths = draw(reports, folder, options.format, options.only)
    except rp.Refused as why:
        print(f"{parser.prog}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"{parser.prog}: {error.filename or options.output}: {error.strerror}", file=sys.stderr
        )
        return 2
    print("\n".join(map(str, paths)))
    return 0 if paths else 3


if __name__ == "__main__":
    sys.exit(main())
