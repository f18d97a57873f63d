"""The plots of report.py's page, as the dictionaries that Plotly takes."""

import html

import fields
import reports as rp
from colours import COLOURS
from ratios import ratio_text

SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "triangle-left",
    "triangle-right",
    "x",
)
MOST_BOXES = 60


def text(value):
    return html.escape(str(value))


def look(index):
    colour = COLOURS[index % len(COLOURS)]
    return {
        "marker": {"color": colour, "symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
        "line": {"color": colour},
    }


def plot(title, traces, x_title, y_title, **axes):
    """One plot; `axes` adds to xaxis and yaxis."""
    layout = {
        # At the left: the bar of buttons, which a touch screen always shows, covers the right.
        "title": {"text": title, "font": {"size": 14}, "x": 0.01, "xanchor": "left"},
        "xaxis": {"title": {"text": x_title}, "automargin": True, **axes.get("xaxis", {})},
        "yaxis": {"title": {"text": y_title}, "automargin": True, **axes.get("yaxis", {})},
        "margin": {"l": 50, "r": 12, "t": 42, "b": 44},
        "legend": {"orientation": "h", "y": -0.28},
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": 11}, "align": "left"},
        "modebar": {"bgcolor": "rgba(255,255,255,0.9)"},
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def lengths(values):
    """A logarithmic axis whose ticks read as the flags do."""
    values = sorted(set(values))
    wide = len(values) > 1 and values[-1] > 3 * values[0]
    return {
        "type": "log" if wide else "linear",
        "tickvals": values,
        "ticktext": [rp.size_text(v) for v in values],
    }


def hover(result):
    """What the pointer shows of a result."""
    parts = [f"{result['program']}: {fields.case_text(result)}"]
    parts.append(
        f"{rp.seconds(result['median'])} "
        f"[{rp.seconds(result['ci95'][0])}, {rp.seconds(result['ci95'][1])}]"
    )
    parts.append(rp.flop_rate(result["tflops"]))
    parts += [share] if (share := rp.share_of_peak(result)) else []
    return "<br>".join(map(text, parts))


def error_bars(results, factor):
    """Of speeds, from the interval of the median."""

    def speed(result, seconds):
        return factor * 1e-12 * result["flop_visible"] / seconds

    known = [(speed(r, r["median"]), *(speed(r, t) for t in r["ci95"])) for r in results]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for middle, high, _ in known],
        "arrayminus": [middle - low for middle, _, low in known],
    }


def speed_plots(sweep):
    factor, unit = rp.rate_unit(sweep.results)
    if sweep.axis is None or sweep.one_point_each():
        return [bars(sweep, factor, unit)]
    order = sweep.lines()
    plots = []
    for title, lines in sweep.panels().items():
        traces = []
        for name, line in lines.items():
            known = rp.has_median(line)
            traces.append(
                {
                    "name": name,
                    "x": [sweep.x(r) for r in known],
                    "y": [factor * r["tflops"] for r in known],
                    "error_y": error_bars(known, factor),
                    "text": [hover(r) for r in known],
                    "hoverinfo": "text",
                    "mode": "lines+markers",
                    **look(order.index(name)),
                }
            )
        ticks = lengths(sweep.x(r) for line in lines.values() for r in line)
        plots.append(
            plot(
                title or sweep.caption,
                traces,
                sweep.axis_title(),
                unit,
                xaxis=ticks,
                yaxis={"rangemode": "tozero"},
            )
        )
    return plots


def bars(sweep, factor, unit):
    """A bar for each result, where there is no length to draw along."""
    traits = rp.telling(sweep.results, rp.PANEL_TRAITS)
    traces = []
    for i, name in enumerate(sweep.lines()):
        known = [r for r in rp.has_median(sweep.results) if rp.label(r, sweep.line_traits) == name]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "marker": {"color": COLOURS[i % len(COLOURS)]},
                "y": [rp.label(r, traits) or "this case" for r in known],
                "x": [factor * r["tflops"] for r in known],
                "error_x": error_bars(known, factor),
                "text": [rp.plain(factor * r["tflops"], 4) for r in known],
                "textposition": "auto",
                "hovertext": [hover(r) for r in known],
                "hoverinfo": "text",
            }
        )
    made = plot(sweep.caption, traces, unit, "", yaxis={"autorange": "reversed"})
    bars_layout(made, traces)
    return made


def bars_layout(made, traces):
    made["layout"]["height"] = 160 + 26 * sum(len(t["y"]) for t in traces)
    made["layout"]["legend"] = {"orientation": "h", "y": 1.0, "yanchor": "bottom"}
    made["layout"]["margin"]["t"] = 80


def speedup_plots(sweep):
    panels = rp.speedups(sweep)
    count = sum(len(points) for lines in panels.values() for points in lines.values())
    if count < 2:  # one ratio is a number, which the sentences on top have
        return []
    order = rp.names_in(panels)
    if sweep.axis is None or rp.one_ratio_each(panels):
        return [ratio_bars(panels, order, sweep)]
    plots = []
    for title, lines in panels.items():
        traces = []
        for name, points in lines.items():
            x, ratio, low, high = zip(*sorted(points))
            traces.append(
                {
                    "name": name,
                    "x": x,
                    "y": ratio,
                    "mode": "lines+markers",
                    **look(order.index(name)),
                    "error_y": {
                        "type": "data",
                        "symmetric": False,
                        "array": [above - r for above, r in zip(high, ratio)],
                        "arrayminus": [r - below for r, below in zip(ratio, low)],
                    },
                    "text": [
                        f"{text(name)}<br>{r:.3g}x [{below:.3g}, {above:.3g}]"
                        for r, below, above in zip(ratio, low, high)
                    ],
                    "hoverinfo": "text",
                }
            )
        ticks = lengths(point[0] for points in lines.values() for point in points)
        plots.append(
            plot(
                title or sweep.caption,
                traces,
                sweep.axis_title(),
                "times as fast",
                xaxis=ticks,
                yaxis={"rangemode": "tozero"},
            )
        )
    return plots


def ratio_bars(panels, order, sweep):
    """A bar for each ratio, where there is no length to draw along."""
    traces = []
    for name in order:
        known = [(panel, p) for panel, lines in panels.items() for p in lines.get(name, ())]
        ratios = [p[1:] for _, p in known]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "marker": {"color": COLOURS[order.index(name) % len(COLOURS)]},
                "y": [panel or "this case" for panel, _ in known],
                "x": [ratio for ratio, _, _ in ratios],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - ratio for ratio, _, high in ratios],
                    "arrayminus": [ratio - low for ratio, low, _ in ratios],
                },
                "text": [ratio_text(r) for r in ratios],
                "textposition": "auto",
                "hoverinfo": "text",
            }
        )
    made = plot(sweep.caption, traces, "times as fast", "", yaxis={"autorange": "reversed"})
    bars_layout(made, traces)
    return made


def roofline_plot(sweep, loaded):
    roofs = {name: roof for report in reversed(loaded) for name, roof in rp.roofs(report).items()}
    known = rp.has_median(sweep.results)
    if not roofs or not known:
        return []
    intensity = [r["flop_visible"] / r["bytes"] for r in known]
    ridge = [flops / bandwidth for flops, bandwidth in roofs.values()]
    low, high = min(*intensity, *ridge) / 2.5, max(*intensity, *ridge) * 2.5
    traces = []
    for i, (name, (flops, bandwidth)) in enumerate(roofs.items()):
        shown = f"peak {name}: {rp.roof_text(flops, bandwidth)}"
        traces.append(
            {
                "name": shown,
                "x": [low, flops / bandwidth, high],
                "mode": "lines",
                "y": [1e-9 * low * bandwidth, 1e-9 * flops, 1e-9 * flops],
                "hoverinfo": "name",
                "line": {"color": "black", "width": 1.5, "dash": ("solid", "dash", "dot")[i % 3]},
            }
        )
    for i, name in enumerate(sweep.lines()):
        points = [r for r in known if rp.label(r, sweep.line_traits) == name]
        traces.append(
            {
                "name": name,
                "x": [r["flop_visible"] / r["bytes"] for r in points],
                "mode": "markers",
                "y": [1e3 * r["tflops"] for r in points],
                "text": [hover(r) for r in points],
                "hoverinfo": "text",
                **look(i),
            }
        )
    logarithmic = {"type": "log", "dtick": 1}
    made = plot(
        sweep.caption,
        traces,
        "FLOP of visible pairs per byte of operands",
        "GFLOP/s",
        xaxis=logarithmic,
        yaxis=logarithmic,
    )
    made["layout"]["legend"] = {"orientation": "h", "y": -0.2, "yanchor": "top"}
    made["layout"]["height"] = 460
    return [made]


def memory_plots(sweep):
    known = [r for r in sweep.results if r["memory_bytes"] is not None]
    if not known or sweep.axis is None or sweep.one_point_each():
        return []
    factor, unit = rp.memory_unit([r["memory_bytes"] for r in known])
    order = sweep.lines()
    plots = []
    for title, lines in sweep.panels().items():
        traces = []
        for name, line in lines.items():
            points = [r for r in line if r["memory_bytes"] is not None]
            traces.append(
                {
                    "name": name,
                    "x": [sweep.x(r) for r in points],
                    "mode": "lines+markers",
                    "y": [factor * r["memory_bytes"] for r in points],
                    **look(order.index(name)),
                    "text": [f"{text(name)}<br>{rp.byte_count(r['memory_bytes'])}" for r in points],
                    "hoverinfo": "text",
                }
            )
        ticks = lengths(sweep.x(r) for line in lines.values() for r in line)
        sizes = [y for trace in traces for y in trace["y"]]
        wide = bool(sizes) and 0 < 10 * min(sizes) <= max(sizes)
        plots.append(
            plot(
                title or sweep.caption,
                traces,
                sweep.axis_title(),
                unit,
                xaxis=ticks,
                yaxis={"type": "log", "dtick": 1} if wide else {"rangemode": "tozero"},
            )
        )
    return plots


def sample_plot(sweep):
    """Box plots; only a thousand samples of each result go into the page."""
    known = [r for r in sweep.results if r["times"] and len(r["times"]) > 1]
    if not known:
        return []
    title = "time of a sample / median; zoom out for what lies beyond"
    if len(known) > MOST_BOXES:
        title += f"; the {MOST_BOXES} of {len(known)} results that spread most"
        widest = sorted(known, key=lambda r: (r["p75"] - r["p25"]) / r["median"])[-MOST_BOXES:]
        known = [r for r in known if any(r is w for w in widest)]
    traces = []
    for r in known:
        step = max(1, len(r["times"]) // 1000)
        colour = COLOURS[sweep.lines().index(rp.label(r, sweep.line_traits)) % len(COLOURS)]
        traces.append(
            {
                "type": "box",
                "name": rp.short(r, known),
                "orientation": "h",
                "boxpoints": "outliers",
                "x": [round(t / r["median"], 4) for t in r["times"][::step]],
                "marker": {"color": colour, "size": 3},
            }
        )
    right = min(max(rp.box_end(r) for r in known) * 1.1, 3)
    left = max(min(r["min"] / r["median"] for r in known) - 0.02, 0)
    made = plot(
        title,
        traces,
        "",
        "",
        xaxis={"range": [left, right]},
        yaxis={"autorange": "reversed", "tickfont": {"size": 10}},
    )
    made["layout"].update(showlegend=False, height=120 + 22 * len(known))
    return [made]
