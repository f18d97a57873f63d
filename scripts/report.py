#!/usr/bin/env python3
"""Makes one self-contained HTML page of flashbench reports; it needs no network to be read.

    python3 -m venv build/plots && build/plots/bin/pip install plotly
    build/plots/bin/python scripts/report.py report.json -o report.html
    build/plots/bin/python scripts/report.py flashbench.json pytorch.json -o report.html

On it: a sentence that sums it up, plots that show their values under the pointer, a table that
sorts by any column and tells how to reproduce each row, the warnings and the machine.
"""

import argparse
import html
import json
import pathlib
import statistics
import sys

import peerlib
import reports as rp

try:
    from plotly.offline import get_plotlyjs
except ImportError:
    sys.exit(f"{sys.argv[0]}: plotly is missing: pip install plotly")

# As in plot.py: told apart with every kind of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7F00")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-left", "triangle-right", "x")
WARNING_KINDS = ("noisy", "outliers", "load from others", "slow first run", "clocks", "threads")
MOST_BOXES = 60
PAGE = pathlib.Path(__file__).with_name("report_page.html")


def text(value):
    return html.escape(str(value))


# ---- plots: dictionaries as Plotly takes them ---------------------------------------------------------


def look(index):
    colour = COLOURS[index % len(COLOURS)]
    return {"marker": {"color": colour, "symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8}, "line": {"color": colour}}


def plot(title, traces, x_title, y_title, **axes):
    """One plot; `axes` adds to xaxis and yaxis."""
    layout = {
        "title": {"text": title, "font": {"size": 14}},
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
    return {"type": "log" if wide else "linear", "tickvals": values, "ticktext": [rp.size_text(v) for v in values]}


def hover(result):
    """What the pointer shows of a result."""
    parts = [rp.label(result, ("program", "type", "pass", "dtype", "mask", "d", "heads"))]
    parts.append(f"{result['workload']['q_len']} x {result['workload']['kv_len']}")
    parts.append(f"{rp.seconds(result['median'])} [{rp.seconds(result['ci95'][0])}, {rp.seconds(result['ci95'][1])}]")
    parts.append(rp.flop_rate(result["tflops"]))
    parts += [share] if (share := rp.share_of_peak(result)) else []
    return "<br>".join(map(text, parts))


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
            low = [factor * 1e-12 * r["flop_visible"] * (1 / r["median"] - 1 / r["ci95"][1]) for r in known]
            high = [factor * 1e-12 * r["flop_visible"] * (1 / r["ci95"][0] - 1 / r["median"]) for r in known]
            traces.append({"name": name, "x": [sweep.x(r) for r in known], "y": [factor * r["tflops"] for r in known],
                           "error_y": {"type": "data", "symmetric": False, "array": high, "arrayminus": low},
                           "text": [hover(r) for r in known], "hoverinfo": "text", "mode": "lines+markers",
                           **look(order.index(name))})
        ticks = lengths(sweep.x(r) for line in lines.values() for r in line)
        plots.append(plot(title or sweep.caption, traces, sweep.axis_title(), unit, xaxis=ticks,
                          yaxis={"rangemode": "tozero"}))
    return plots


def bars(sweep, factor, unit):
    """A bar for each result, where there is no length to draw along."""
    traits = rp.telling(sweep.results, rp.PANEL_TRAITS)
    traces = []
    for i, name in enumerate(sweep.lines()):
        known = [r for r in rp.has_median(sweep.results) if rp.label(r, sweep.line_traits) == name]
        traces.append({"type": "bar", "orientation": "h", "name": name, "marker": {"color": COLOURS[i % len(COLOURS)]},
                       "y": [rp.label(r, traits) or "this case" for r in known],
                       "x": [factor * r["tflops"] for r in known],
                       "text": [f"{factor * r['tflops']:.4g}" for r in known], "textposition": "auto",
                       "hovertext": [hover(r) for r in known], "hoverinfo": "text"})
    made = plot(sweep.caption, traces, unit, "", yaxis={"autorange": "reversed"})
    made["layout"]["height"] = 160 + 26 * sum(len(t["y"]) for t in traces)
    made["layout"]["legend"] = {"orientation": "h", "y": 1.0, "yanchor": "bottom"}
    made["layout"]["margin"]["t"] = 80
    return made


def speedup_plots(sweep):
    panels = rp.speedups(sweep)
    order = rp.names_in(panels)
    plots = []
    for title, lines in panels.items():
        traces = []
        for name, points in lines.items():
            x, ratio, low, high = zip(*sorted(points))
            traces.append({"name": name, "x": x, "y": ratio, "mode": "lines+markers", **look(order.index(name)),
                           "error_y": {"type": "data", "symmetric": False,
                                       "array": [h - r for h, r in zip(high, ratio)],
                                       "arrayminus": [r - l for r, l in zip(ratio, low)]},
                           "text": [f"{text(name)}<br>{r:.3g}x [{l:.3g}, {h:.3g}]" for r, l, h in zip(ratio, low, high)],
                           "hoverinfo": "text"})
        ticks = lengths(point[0] for points in lines.values() for point in points)
        plots.append(plot(title or sweep.caption, traces, sweep.axis_title(), "times as fast", xaxis=ticks,
                          yaxis={"rangemode": "tozero"}))
    return plots if sweep.axis else []


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
        shown = f"peak {name}: {1e-9 * flops:.4g} GFLOP/s, {1e-9 * bandwidth:.3g} GB/s"
        traces.append({"name": shown, "x": [low, flops / bandwidth, high], "mode": "lines",
                       "y": [1e-9 * low * bandwidth, 1e-9 * flops, 1e-9 * flops], "hoverinfo": "name",
                       "line": {"color": "black", "width": 1.5, "dash": ("solid", "dash", "dot")[i % 3]}})
    for i, name in enumerate(sweep.lines()):
        points = [r for r in known if rp.label(r, sweep.line_traits) == name]
        traces.append({"name": name, "x": [r["flop_visible"] / r["bytes"] for r in points], "mode": "markers",
                       "y": [1e3 * r["tflops"] for r in points], "text": [hover(r) for r in points],
                       "hoverinfo": "text", **look(i)})
    logarithmic = {"type": "log", "dtick": 1}
    made = plot(sweep.caption, traces, "FLOP of visible pairs per byte of operands", "GFLOP/s", xaxis=logarithmic,
                yaxis=logarithmic)
    made["layout"]["legend"] = {"orientation": "h", "y": -0.2, "yanchor": "top"}
    made["layout"]["height"] = 460
    return [made]


def memory_plots(sweep):
    known = [r for r in sweep.results if r["peak_rss_bytes"] is not None]
    if not known or sweep.axis is None or sweep.one_point_each():
        return []
    factor, unit = rp.memory_unit([r["peak_rss_bytes"] for r in known])
    order = sweep.lines()
    plots = []
    for title, lines in sweep.panels().items():
        traces = []
        for name, line in lines.items():
            points = [r for r in line if r["peak_rss_bytes"] is not None]
            traces.append({"name": name, "x": [sweep.x(r) for r in points], "mode": "lines+markers",
                           "y": [factor * r["peak_rss_bytes"] for r in points], **look(order.index(name)),
                           "text": [f"{text(name)}<br>{rp.byte_count(r['peak_rss_bytes'])}" for r in points],
                           "hoverinfo": "text"})
        ticks = lengths(sweep.x(r) for line in lines.values() for r in line)
        plots.append(plot(title or sweep.caption, traces, sweep.axis_title(), unit, xaxis=ticks,
                          yaxis={"type": "log", "dtick": 1}))
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
        traces.append({"type": "box", "name": rp.short(r, known), "orientation": "h", "boxpoints": "outliers",
                       "x": [round(t / r["median"], 4) for t in r["times"][::step]], "marker": {"color": colour, "size": 3}})
    right = min(max(rp.box_end(r) for r in known) * 1.1, 3)
    left = max(min(r["min"] / r["median"] for r in known) - 0.02, 0)
    made = plot(title, traces, "", "",
                xaxis={"range": [left, right]}, yaxis={"autorange": "reversed", "tickfont": {"size": 10}})
    made["layout"].update(showlegend=False, height=120 + 22 * len(known))
    return [made]


# ---- words and tables ---------------------------------------------------------------------------------


def summary(loaded):
    """What the reports say, in a few sentences."""
    results = rp.results_of(loaded)
    sweep = rp.Sweep(results)
    known = rp.has_median(results)
    lines = [f"{len(results)} results, {len(known)} of them measured and verified."]
    others = {s: sum(r["status"] == s for r in results) for s in ("failed", "skipped", "interrupted")}
    if any(others.values()):
        lines[0] = lines[0][:-1] + "; " + ", ".join(f"{n} {s}" for s, n in others.items() if n) + "."
    panels = rp.speedups(sweep)
    for name in rp.names_in(panels):
        ratios = [point[1] for lines_of in panels.values() for point in lines_of.get(name, ())]
        shown = f"{min(ratios):.2f}x to {max(ratios):.2f}x" if len(ratios) > 1 else f"{ratios[0]:.2f}x"
        middle = f", {statistics.median(ratios):.2f}x in the median of {len(ratios)} pairs" if len(ratios) > 2 else ""
        lines.append(f"Speedup of {name}: {shown}{middle}.")
    shares = [r for r in known if r["pct_peak"] is not None]
    if shares:
        best = max(shares, key=lambda r: r["pct_peak"])
        lines.append(f"The best share of the measured peak is {rp.share_of_peak(best)}: "
                     f"{rp.label(best, ('program', 'type', 'pass', 'dtype', 'mask', 'd', 'q_len'))}.")
    crossings = [f"{c['pass']} {c['dtype']}: {c['above']} overtakes {c['below']} at {c['parameter']} {c['at']:.0f}"
                 for report in loaded for c in report.data["summary"]["crossover"] or []]
    if crossings:
        lines.append("; ".join(crossings) + ".")
    warned = sum(bool(r["warnings"]) for r in results)
    if warned:
        lines.append(f"{warned} results carry warnings; they are listed below.")
    return lines


COLUMNS = [  # heading, what sorts, what is shown
    ("program", lambda r: r["program"], lambda r: r["program"]),
    ("type", lambda r: r["type"], lambda r: r["type"]),
    ("pass", lambda r: r["pass"], lambda r: r["pass"]),
    ("dtype", lambda r: r["workload"]["dtype"], lambda r: r["workload"]["dtype"]),
    ("mask", lambda r: rp.mask_text(r["workload"]), lambda r: rp.mask_text(r["workload"])),
    ("b", lambda r: r["workload"]["b"], lambda r: r["workload"]["b"]),
    ("heads", lambda r: r["workload"]["h"], lambda r: rp.heads_text(r["workload"])),
    ("queries", lambda r: r["workload"]["q_len"], lambda r: r["workload"]["q_len"]),
    ("keys", lambda r: r["workload"]["kv_len"], lambda r: r["workload"]["kv_len"]),
    ("d", lambda r: r["workload"]["d"], lambda r: r["workload"]["d"]),
    ("kernel", lambda r: r["kernel"] or "", lambda r: r["kernel"] or ""),
    ("isa", lambda r: r["isa"] or "", lambda r: r["isa"] or ""),
    ("threads", lambda r: r["threads"] or 0, lambda r: r["threads"] or ""),
    ("time", lambda r: r["median"], lambda r: time_cell(r)),
    ("speed", lambda r: r["tflops"], lambda r: rp.flop_rate(r["tflops"]) if r["tflops"] is not None else ""),
    ("of peak", lambda r: r["pct_peak"], lambda r: rp.share_of_peak(r)),
    ("memory", lambda r: r["peak_rss_bytes"],
     lambda r: rp.byte_count(r["peak_rss_bytes"]) if r["peak_rss_bytes"] is not None else ""),
    ("over normal", lambda r: (r["speedup_over"] or {}).get("normal"),
     lambda r: f"{r['speedup_over']['normal']:.2f}x" if r["speedup_over"] else ""),
    ("check", lambda r: r["check"]["verdict"], lambda r: check_cell(r)),
]


NAMING = next(i for i, column in enumerate(COLUMNS) if column[0] == "time")  # columns before it name a case


def time_cell(result):
    if result["median"] is None:
        return ""
    half = (result["ci95"][1] - result["ci95"][0]) / 2
    return f"{rp.seconds(result['median'])} ± {100 * half / result['median']:.1f} %"


def check_cell(result):
    if result["status"] != "ok":
        return f"{result['status']}: {result['reason']}"
    worst = max((w["error_over_noise"] or 0 for w in result["check"]["worst"]), default=None)
    return result["check"]["verdict"] + (f" {worst:.2g}x of 2x" if worst is not None else "")


def table(results):
    """Rows with what sorts them in data-value; columns that say nothing new are left out."""
    shown, groups = [], 1
    for column in COLUMNS[:NAMING]:  # those that tell rows apart
        finer = len({tuple(str(c[1](r)) for c in (*shown, column)) for r in results})
        if finer > groups:
            shown.append(column)
            groups = finer
    shown += [c for c in COLUMNS[NAMING:] if any(c[2](r) for r in results)]
    heads = "".join(f'<th aria-sort="none"><button>{text(name)}</button></th>' for name, _, _ in shown)
    rows = []
    for result in results:
        cells = "".join(f'<td data-value="{text("" if key(result) is None else key(result))}">{text(show(result))}</td>'
                        for _, key, show in shown)
        command = f"<details><summary>command</summary><code>{text(result['command'])}</code></details>"
        kind = "" if result["status"] == "ok" else f' class="{text(result["status"])}"'
        rows.append(f"<tr{kind}>{cells}<td>{command}</td></tr>")
    return (f'<table id="results"><thead><tr>{heads}<th>reproduce</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>")


def common(results):
    """What the table leaves out because all rows share it."""
    names = ("program", "type", "pass", "dtype", "mask", "b", "heads", "q_len", "kv_len", "d", "isa", "threads")
    return rp.shared(results, names)


def warnings_list(results):
    """Warnings by their kind; each kind opens to the results that it is about."""
    kinds = {}
    for result in results:
        for warning in result["warnings"]:
            kind = next((k for k in WARNING_KINDS if k in warning), "others")
            kinds.setdefault(kind, []).append(f"<b>{text(rp.short(result, results))}</b>: {text(warning)}")
    parts = [f"<details><summary>{text(kind)}: {len(lines)}</summary><ul><li>{'<li>'.join(lines)}</ul></details>"
             for kind, lines in kinds.items()]
    return "".join(parts) or "<p>None.</p>"


def environment(report):
    """The machine and build of one report, as a list of terms."""
    data = report.data
    context, cpu = data["context"], data["context"]["cpu"]
    caches = ", ".join(f"L{c['level']} {c['type']} {rp.byte_count(c['bytes'])}" for c in cpu["caches"])
    entries = {
        "file": report.path,
        "command": " ".join(data["argv"]),
        "started": data["started_at"],
        "program": report.build(),
        "compiler": f"{context['compiler']}; {context['flags']}",
        "processor": f"{cpu['model']}: {cpu['cores']} cores, {cpu['threads']} threads, {cpu['usable_threads']} usable",
        "caches": caches,
        "best ISA": cpu["isa"],
        "clocks": cpu["governor"] or "the system does not say",
        "load at start": cpu["load"],
        "memory": rp.byte_count(context["memory_bytes"]),
        "system": f"{context['os']} on {context['host']}",
        "GPU": context["gpu"]["model"] if context["gpu"] else "none",
        "FLOPs": data["results"][0]["flop_convention"] if data["results"] else "",
    }
    for name, (flops, bandwidth) in rp.roofs(report).items():
        entries[f"measured peak, {name}"] = f"{1e-9 * flops:.4g} GFLOP/s, reads {1e-9 * bandwidth:.3g} GB/s"
    return "<dl>" + "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in entries.items()) + "</dl>"


def page(loaded):
    results = rp.results_of(loaded)
    sweep = rp.Sweep(results)
    groups = {"Speed": speed_plots(sweep), "Speedup": speedup_plots(sweep), "Roofline": roofline_plot(sweep, loaded),
              "Memory": memory_plots(sweep), "Samples": sample_plot(sweep)}
    plots, sections = [], []
    for heading, made in groups.items():
        if not made:
            continue
        wide = " wide" if len(made) == 1 else ""
        boxes = "".join(f'<div class="plot{wide}" id="plot{len(plots) + i}"></div>' for i in range(len(made)))
        sections.append(f"<section><h2 id='{heading.lower()}'>{heading}</h2><div class='plots'>{boxes}</div></section>")
        plots += made
    values = {
        "TITLE": text(f"Attention on {rp.machines(loaded)}"),
        "MACHINE": text(rp.machines(loaded)),
        "SUMMARY": "".join(f"<p>{text(line)}</p>" for line in summary(loaded)),
        "LINKS": " · ".join(f"<a href='#{name.lower()}'>{name}</a>" for name in
                            [*(h for h, made in groups.items() if made), "Table", "Warnings", "Environment"]),
        "PLOTS": "".join(sections),
        "COMMON": text(common(results)),
        "TABLE": table(results),
        "WARNINGS": warnings_list(results),
        "ENVIRONMENT": "".join(map(environment, loaded)),
        "DATA": json.dumps(plots, allow_nan=False).replace("</", "<\\/"),
        "PLOTLY": get_plotlyjs(),
    }
    whole = PAGE.read_text()
    for name, value in values.items():
        whole = whole.replace(f"@{name}@", value, 1)
    return whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="what --json wrote")
    parser.add_argument("-o", "--output", default="report.html", metavar="FILE", help="(default: report.html)")
    options = parser.parse_args()
    try:
        peerlib.write_text(page(rp.load(options.reports)), options.output)
    except rp.Refused as why:
        print(f"{parser.prog}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{parser.prog}: {options.output}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
