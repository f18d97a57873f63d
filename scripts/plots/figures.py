"""What the figures of plot.py share: styles of lines, figures, axes."""

import math
import textwrap

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: it can be searched and is small
import matplotlib.pyplot as plt  # noqa: E402  after the choice of its backend
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # noqa: E402

import reports as rp  # noqa: E402
from colours import COLOURS  # noqa: E402

MARKERS = "os^Dv<>P"
DASHES = ("-", "--", "-.", ":")
GREY = "#777777"
MISSING = "x: not run, or wrong"


class Style:
    """The look of each line, the same in every figure."""

    def __init__(self, lines):
        self.index = {line: i for i, line in enumerate(lines)}

    def of(self, line):
        i = self.index[line]
        return {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
            "label": line,
        }


class Figure:
    """Panels in a grid under one title that names the machine."""

    def __init__(self, titles, heading, caption, width=4.4, height=3.4):
        columns = min(len(titles), 3)
        rows = math.ceil(len(titles) / columns)
        size = (max(width * columns, 6.4), height * rows + 1.3)
        self.figure, grid = plt.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        self.axes = list(grid.flat)
        for axis, title in zip(self.axes, titles):
            axis.set_title(title, fontsize=10)
            axis.grid(True, color="#dddddd", linewidth=0.6)
            axis.set_axisbelow(True)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in self.axes[len(titles) :]:
            axis.set_visible(False)
        self.title = heading if not caption else f"{heading}: {caption}"

    def legend(self):
        found = {}
        for axis in self.axes:
            for handle, text in zip(*axis.get_legend_handles_labels()):
                found.setdefault(text, handle)
        if MISSING in found:
            found[MISSING] = found.pop(MISSING)  # last
        if found:
            self.figure.legend(
                found.values(),
                found.keys(),
                loc="outside lower center",
                frameon=False,
                ncols=columns_for(found),
                fontsize=9,
            )

    def save(self, folder, name, machine, formats):
        inch = 1 / self.figure.get_figheight()
        width = int(self.figure.get_figwidth() * 15)  # characters of this size in a line
        lines = textwrap.wrap(machine, width)
        title = balanced(self.title, int(self.figure.get_figwidth() * 9.5))
        below = 0.08 + 0.24 * len(title)  # inches
        self.figure.get_layout_engine().set(
            h_pad=0.1, rect=(0, 0, 1, 1 - (below + 0.08 + 0.15 * len(lines)) * inch)
        )
        self.figure.text(
            0.5,
            1 - 0.08 * inch,
            "\n".join(title),
            ha="center",
            va="top",
            fontsize=12,
            fontweight="bold",
        )
        self.figure.text(
            0.5, 1 - below * inch, "\n".join(lines), ha="center", va="top", fontsize=8, color=GREY
        )
        paths = [folder / f"{name}.{kind}" for kind in formats]
        for path in paths:
            self.figure.savefig(path, dpi=130)
        plt.close(self.figure)
        return paths


def columns_for(texts):
    """Columns of a legend that fits under a figure."""
    return max(1, min(len(texts), 4, 100 // max(map(len, texts))))


def length_axis(axis, values, title):
    """Sizes on a logarithmic axis, written as the flags take them."""
    values = sorted(set(values))
    if len(values) > 1 and values[-1] > 3 * values[0]:
        axis.set_xscale("log", base=2)
    axis.set_xticks(thin(values), [rp.size_text(v) for v in thin(values)])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(title)


def balanced(text, width):
    """Lines of about one length: none ends in a word alone."""
    lines = textwrap.wrap(text, width)
    return textwrap.wrap(text, min(width, len(text) // len(lines) + 8)) if lines else []


def spans_decades(values):
    """Whether a logarithmic axis has a number beside it."""
    return min(values) > 0 and max(values) >= 10 * min(values)


def plain_numbers(axis):
    """100, not 10 to the 2."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def thin(values, most=9):
    step = math.ceil(len(values) / most)
    return values[::step]


def has(results, field):
    return [r for r in results if r[field] is not None]


def mark_missing(axis, sweep, line, style):
    """What has no number: an x at the bottom, so that it is not taken for zero or forgotten."""
    missing = [sweep.x(r) for r in line if r["median"] is None]
    if not missing:
        return
    axis.plot(
        missing,
        [0.02] * len(missing),
        marker="x",
        color=style["color"],
        linestyle="none",
        clip_on=False,
        transform=axis.get_xaxis_transform(),
    )
    axis.plot([], [], marker="x", color=GREY, linestyle="none", label=MISSING)


def half_widths(results, value):
    """Error bars of `value(median)` from the interval of the median."""
    low = [abs(value(r, r["median"]) - value(r, r["ci95"][1])) for r in results]
    high = [abs(value(r, r["ci95"][0]) - value(r, r["median"])) for r in results]
    return [low, high]
