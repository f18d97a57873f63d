"""Figures along the swept length, and bars where nothing is swept: speed, speedup, memory."""

import reports as rp
from ratios import ratio_text
from figures import (
    GREY,
    Figure,
    Style,
    half_widths,
    has,
    length_axis,
    mark_missing,
    plain_numbers,
    spans_decades,
)

PANELS_IN_FIGURE = 12


def split(panels):
    """Panels by the figure, so that none becomes too small to read."""
    items = list(panels.items())
    for start in range(0, len(items), PANELS_IN_FIGURE):
        part = start // PANELS_IN_FIGURE + 1
        yield (
            (f"_{part}" if len(items) > PANELS_IN_FIGURE else ""),
            dict(items[start : start + PANELS_IN_FIGURE]),
        )


def draw_speed(sweep, style):
    if sweep.axis is None or sweep.one_point_each():
        yield from draw_bars(sweep, style)
        return
    factor, unit = rp.rate_unit(sweep.results)

    def rate(result, seconds):
        return factor * result["flop_visible"] / seconds * 1e-12

    for part, panels in split(sweep.panels()):
        figure = Figure(list(panels), "Speed of attention", sweep.caption)
        for axis, lines in zip(figure.axes, panels.values()):
            for name, line in lines.items():
                look = style.of(name)
                known = has(line, "median")
                axis.errorbar(
                    [sweep.x(r) for r in known],
                    [factor * r["tflops"] for r in known],
                    yerr=half_widths(known, rate),
                    capsize=2.5,
                    linewidth=1.6,
                    markersize=5,
                    **look,
                )
                mark_missing(axis, sweep, line, look)
            length_axis(
                axis, [sweep.x(r) for line in lines.values() for r in line], sweep.axis_title()
            )
            axis.set_ylim(bottom=0)
            axis.set_ylabel(f"{unit} of visible pairs")
        figure.legend()
        yield f"speed{part}", figure


def draw_bars(sweep, style):
    """One bar for each result, where there is no length to draw along."""
    factor, unit = rp.rate_unit(sweep.results)
    traits = rp.telling(sweep.results, rp.PANEL_TRAITS)
    groups = {}
    for result in sweep.results:
        groups.setdefault(rp.label(result, traits), []).append(result)
    bars = sum(map(len, groups.values()))
    figure = Figure(
        [""],
        "Speed of attention",
        sweep.caption,
        width=8.5,
        height=0.24 * bars + 0.16 * len(groups) + 0.9,
    )
    axis, y, ticks = figure.axes[0], 0.0, []
    for results in groups.values():
        ticks.append(y + (len(results) - 1) / 2)
        for result in results:
            draw_bar(axis, y, result, factor, style.of(rp.label(result, sweep.line_traits)))
            y += 1
        y += 0.7
    axis.set_yticks(ticks, list(groups), fontsize=9)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set_xlabel(f"{unit} of visible pairs (in brackets: share of the measured peak)")
    axis.margins(x=0.16)
    figure.legend()
    yield "speed", figure


def draw_bar(axis, y, result, factor, look):
    if result["median"] is None:
        axis.annotate(f"  {result['status']}", (0, y), va="center", fontsize=8, color=look["color"])
        return
    value = factor * result["tflops"]
    low, high = (factor * result["flop_visible"] / t * 1e-12 for t in reversed(result["ci95"]))
    axis.barh(
        y,
        value,
        0.9,
        color=look["color"],
        label=look["label"],
        xerr=[[value - low], [high - value]],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    note = f"  {rp.plain(value, 4)}" + (
        f"  ({result['pct_peak']:.0f} %)" if result["pct_peak"] is not None else ""
    )
    axis.annotate(note, (high, y), va="center", fontsize=8)


def draw_speedup(sweep, style):
    pairs = rp.speedups(sweep)
    if sum(len(points) for lines in pairs.values() for points in lines.values()) < 2:
        return  # one ratio is no picture
    names = Style(rp.names_in(pairs))
    if sweep.axis is None or rp.one_ratio_each(pairs):
        yield "speedup", speedup_bars(pairs, names, sweep)
        return
    for part, panels in split(pairs):
        figure = Figure(list(panels), "Speedup", sweep.caption)
        for axis, lines in zip(figure.axes, panels.values()):
            for name, points in lines.items():
                x, ratio, low, high = zip(*sorted(points))
                below = [r - end for r, end in zip(ratio, low)]
                above = [end - r for r, end in zip(ratio, high)]
                axis.errorbar(
                    x,
                    ratio,
                    yerr=[below, above],
                    capsize=2.5,
                    linewidth=1.6,
                    markersize=5,
                    **names.of(name),
                )
            length_axis(
                axis, [p[0] for points in lines.values() for p in points], sweep.axis_title()
            )
            axis.axhline(1, color=GREY, linewidth=1)
            axis.set_ylim(bottom=0)
            axis.set_ylabel("times as fast")
        figure.legend()
        yield f"speedup{part}", figure


def speedup_bars(pairs, names, sweep):
    rows = [
        (panel, name, points[0]) for panel, lines in pairs.items() for name, points in lines.items()
    ]
    figure = Figure([""], "Speedup", sweep.caption, width=8.5, height=0.3 * len(rows) + 0.9)
    axis = figure.axes[0]
    for y, (_, name, (_, ratio, low, high)) in enumerate(rows):
        look = names.of(name)
        axis.barh(
            y,
            ratio,
            0.8,
            color=look["color"],
            label=name,
            xerr=[[ratio - low], [high - ratio]],
            error_kw={"elinewidth": 1, "capsize": 2},
        )
        axis.annotate(f"  {ratio_text((ratio, low, high))}", (high, y), va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [panel for panel, _, _ in rows], fontsize=9)
    axis.axvline(1, color=GREY, linewidth=1)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.margins(x=0.12)
    axis.set_xlabel("times as fast")
    figure.legend()
    return figure


def draw_memory(sweep, style):
    known = has(sweep.results, "memory_bytes")
    if not known or sweep.axis is None or sweep.one_point_each():
        return
    factor, unit = rp.memory_unit([r["memory_bytes"] for r in known])
    for part, panels in split(sweep.panels()):
        figure = Figure(list(panels), "Peak memory", sweep.caption)
        for axis, lines in zip(figure.axes, panels.values()):
            for name, line in lines.items():
                points = has(line, "memory_bytes")
                axis.plot(
                    [sweep.x(r) for r in points],
                    [factor * r["memory_bytes"] for r in points],
                    linewidth=1.6,
                    markersize=5,
                    **style.of(name),
                )
                mark_missing(axis, sweep, line, style.of(name))
            length_axis(
                axis, [sweep.x(r) for line in lines.values() for r in line], sweep.axis_title()
            )
            shown = [
                r["memory_bytes"] for line in lines.values() for r in has(line, "memory_bytes")
            ]
            if shown and spans_decades(shown):
                axis.set_yscale("log")
                plain_numbers(axis.yaxis)
            else:
                axis.set_ylim(bottom=0)
            axis.set_ylabel(f"{unit}, inputs included")
        figure.legend()
        yield f"memory{part}", figure
