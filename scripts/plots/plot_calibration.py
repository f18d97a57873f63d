#!/usr/bin/env python3
"""Draws how far correct and wrong results are from the oracle, in units of the accept limit.

    build/release/tests/flashbench_calibrate > calibration.csv
    scripts/plots/plot_calibration.py calibration.csv lib/oracle/calibration.png

Needs matplotlib: `build/venv/bin/pip install matplotlib`, then build/venv/bin/python.
"""

import argparse
import collections
import csv
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LIMIT = 2.0  # kNoiseLimit of lib/oracle/compare.h
RIGHT = ("none", "double rounding")  # rounding twice is not an error
OF_A_TENSOR = ("tensor", "error_over_noise", "scope", "error")  # every other column says which run it is
FLOOR, CEILING = 1e-4, 1e8  # exact results and infinities are drawn at the edges


def read(path):
    """Rows of the CSV with the error as a float in units of the limit."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        error = float(row["error_over_noise"]) / LIMIT
        row["error"] = CEILING if math.isnan(error) else min(max(error, FLOOR), CEILING)
    return rows


def worst_of_runs(rows):
    """Worst tensor of each run with a planted error: {(defect, level): [error, ...]}."""
    runs = collections.defaultdict(float)
    for row in rows:
        if row["defect"] not in RIGHT:
            case = tuple(text for name, text in row.items() if name not in OF_A_TENSOR)
            key = (row["defect"], row["level"], case)
            runs[key] = max(runs[key], row["error"])
    worst = collections.defaultdict(list)
    for (defect, level, _), error in runs.items():
        worst[defect, level].append(error)
    return worst


def draw_correct(axis, rows):
    """Histogram of every judged tensor of every correct kernel, by dtype."""
    edges = [10 ** (-4 + i / 10) for i in range(41)]
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        errors = [r["error"] for r in rows if r["dtype"] == dtype and r["defect"] in RIGHT]
        label = f"{dtype}: {len(errors)} tensors, largest {max(errors):.2f}"
        axis.hist(errors, bins=edges, histtype="step", linewidth=1.4, label=label)
    axis.set_ylabel("judged tensors")
    axis.set_title("correct kernels (every type, dtype, ISA level; all kinds of inputs; logits x1-x30)")
    axis.legend(loc="upper right", fontsize=8)


def draw_planted(axis, rows):
    """One line of points a planted error: the worst tensor of each run."""
    worst = worst_of_runs(rows)
    defects = sorted({defect for defect, _ in worst})
    for y, defect in enumerate(defects):
        for level, shift, colour in (("full", 0.15, "tab:red"), ("sample", -0.15, "tab:orange")):
            errors = worst[(defect, level)]
            axis.plot(
                errors,
                [y + shift] * len(errors),
                "|",
                color=colour,
                alpha=0.5,
                markersize=7,
                label=f"level {level}" if y == 0 else None,
            )
            missed = sum(e <= 1 for e in errors)
            axis.text(
                CEILING * 1.6,
                y + shift,
                f"{len(errors) - missed}/{len(errors)}",
                fontsize=7,
                va="center",
                color=colour,
            )
    axis.set_yticks(range(len(defects)), defects, fontsize=8)
    axis.set_title("planted errors, worst tensor of each run (caught/runs)")
    axis.set_xlabel("worst error / accept limit (2 x expected rounding noise)")
    axis.legend(loc="lower right", fontsize=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", help="what flashbench_calibrate wrote")
    parser.add_argument("png", help="where to draw")
    arguments = parser.parse_args()
    rows = read(arguments.csv)
    figure, axes = plt.subplots(2, 1, figsize=(8.5, 7), sharex=True, height_ratios=(2, 3))
    draw_correct(axes[0], rows)
    draw_planted(axes[1], rows)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlim(FLOOR, CEILING * 1.3)
        axis.axvline(1, color="black", linewidth=1)
    figure.tight_layout()
    figure.savefig(arguments.png, dpi=90)


if __name__ == "__main__":
    main()
