#!/usr/bin/env python3
"""Makes one self-contained HTML page of flashbench reports; it needs no network to be read.

    python3 -m venv build/plots && build/plots/bin/pip install plotly
    build/plots/bin/python scripts/plots/report.py report.json -o report.html
    build/plots/bin/python scripts/plots/report.py flashbench.json pytorch.json -o report.html

On it: a sentence that sums it up, plots that show their values under the pointer, a table that
sorts by any column and tells how to reproduce each row, the warnings and the machine.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))

import fields  # noqa: E402
import report_plots  # noqa: E402
import reports as rp  # noqa: E402
from ratios import faster, interval_text, ratio_text  # noqa: E402
from report_plots import text  # noqa: E402

try:
    from plotly.offline import get_plotlyjs
except ImportError:
    sys.exit(f"{sys.argv[0]}: plotly is missing: pip install plotly")

WARNING_KINDS = ("noisy", "outliers", "load from others", "slow first run", "clocks", "threads")
PAGE = pathlib.Path(__file__).with_name("report_page.html")


# ---- words and tables ----------------------------------------------------------------------------


def length_lines(loaded):
    """Where one type overtakes another, or never does, and where memory ends."""

    def entries(name):
        return [e for report in loaded for e in report.data["summary"].get(name) or []]

    def series(entry):
        return entry.get("series") or f"{entry['pass']} {entry['dtype']}"

    crossings = [
        f"{c['above']} overtakes {c['below']} between {c['parameter']} {c['between'][0]:.0f} and "
        f"{c['between'][1]:.0f} ({series(c)})."
        for c in entries("crossover")
        if c.get("between")  # earlier reports have none, nor do they say how surely
    ]
    leads = [
        f"{lead['faster']} is faster than {lead['slower']} at every length measured, "
        f"{lead['parameter']} {lead['from']:.0f} to {lead['to']:.0f}: "
        f"{lead['ratio'][0]:.2f}x to {lead['ratio'][1]:.2f}x, all within "
        f"{interval_text(*lead['interval'])} ({series(lead)})."
        for lead in entries("lead")
        if lead.get("interval")
    ]
    limits = [
        f"{m['type']} {'would no longer fit' if m.get('predicted') else 'no longer fits'} "
        f"into memory at {m['parameter']} {m['exceeds']:.0f} ({series(m)}: {m['reason']})."
        for m in entries("memory_limit")
    ]
    return crossings + leads + limits


def speedup_text(points):
    """What (ratio, low, high) of one kind say together."""
    known = sorted(p for p in points if faster(p))
    parts = []
    if known:
        parts = [" to ".join(dict.fromkeys(ratio_text(p) for p in (known[0], known[-1])))]
    if len(known) > 2:
        parts.append(f"{len(known)} pairs")
    if len(known) < len(points):
        parts.append(f"cannot tell which is faster in {len(points) - len(known)} of {len(points)}")
    return ", ".join(parts)


def over_normal(result):
    """The ratio to `normal` with its interval, or ''."""
    ends = (result.get("speedup_ci95") or {}).get("normal")
    return ratio_text((result["speedup_over"]["normal"], *ends)) if ends else ""


def share_lines(loaded, known):
    """The best share of a measured peak, and apart from it those that only caches explain."""

    def sentence(result):
        peak = rp.peak_text(loaded[result["report"]], result)
        return f"{peak + ': ' if peak else ''}{result['program']}: {fields.case_text(result)}"

    def best(results):
        return max(results, key=lambda r: r["pct_peak"])

    shares = [r for r in known if r["pct_peak"] is not None]
    above = [r for r in shares if rp.above_the_probe(r)]
    within = [r for r in shares if not rp.above_the_probe(r)]
    lines = []
    if within:
        top = best(within)
        lines.append(
            f"The best share of a measured peak is {rp.share_of_peak(top)} ({sentence(top)})."
        )
    if above:
        top = best(above)
        lines.append(
            f"{len(above)} of {len(known)} results are above the peak that was measured, up to "
            f"{top['pct_peak']:.0f} % ({sentence(top)}): the probe reads main memory, and caches "
            "hold part of their operands."
        )
    return lines


def summary(loaded):
    """What the reports say, in a few sentences."""
    results = rp.results_of(loaded)
    sweep = rp.Sweep(results)
    known = rp.has_median(results)
    lines = [f"{len(results)} results, {len(known)} of them measured and verified."]
    others = {
        s: sum(r["status"] == s for r in results) for s in ("failed", "skipped", "interrupted")
    }
    if any(others.values()):
        lines[0] = (
            lines[0][:-1] + "; " + ", ".join(f"{n} {s}" for s, n in others.items() if n) + "."
        )
    panels = rp.speedups(sweep)
    for name in rp.names_in(panels):
        points = [p[1:] for lines_of in panels.values() for p in lines_of.get(name, ())]
        lines.append(f"Speedup of {name}: {speedup_text(points)}.")
    lines += share_lines(loaded, known)
    lines += length_lines(loaded)
    warned = sum(bool(r["warnings"]) for r in results)
    if warned:
        lines.append(f"{warned} results carry warnings; they are listed below.")
    return lines


# Each: heading, what sorts, what is shown.
NAMING = [  # a case
    *((name, trait.sort_key, trait.cell) for name, trait in rp.TRAITS.items()),
    ("ran", lambda r: r["kernel"], lambda r: r["kernel"] or ""),
]
MEASURED = [
    ("time", lambda r: r["median"], lambda r: time_cell(r)),
    (
        "speed",
        lambda r: r["tflops"],
        lambda r: rp.flop_rate(r["tflops"]) if r["tflops"] is not None else "",
    ),
    ("of peak", lambda r: r["pct_peak"], lambda r: rp.share_of_peak(r)),
    (
        "memory",
        lambda r: r["memory_bytes"],
        lambda r: rp.byte_count(r["memory_bytes"]) if r["memory_bytes"] is not None else "",
    ),
    (
        "over normal",
        lambda r: (r["speedup_over"] or {}).get("normal"),
        over_normal,
    ),
    ("check", lambda r: r["check"]["verdict"], lambda r: check_cell(r)),
]


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
    for column in NAMING:  # those that tell rows apart
        finer = len({tuple(str(c[1](r)) for c in (*shown, column)) for r in results})
        if finer > groups:
            shown.append(column)
            groups = finer
    shown += [c for c in MEASURED if any(c[2](r) for r in results)]
    heads = "".join(
        f'<th aria-sort="none"><button>{text(name)}</button></th>' for name, _, _ in shown
    )
    rows = []
    for result in results:
        cells = "".join(
            f'<td data-value="{text("" if key(result) is None else key(result))}">'
            f"{text(show(result))}</td>"
            for _, key, show in shown
        )
        command = (
            f"<details><summary>command</summary><code>{text(result['command'])}</code></details>"
        )
        kind = "" if result["status"] == "ok" else f' class="{text(result["status"])}"'
        rows.append(f"<tr{kind}>{cells}<td>{command}</td></tr>")
    return (
        f'<table id="results"><thead><tr>{heads}<th>reproduce</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def common(results):
    """What the table leaves out because all rows share it."""
    return rp.shared(results, rp.TRAITS)


def warnings_list(results):
    """Warnings by their kind; each kind opens to the results that it is about."""
    kinds = {}
    for result in results:
        for warning in result["warnings"]:
            kind = next((k for k in WARNING_KINDS if k in warning), "others")
            kinds.setdefault(kind, []).append(
                f"<b>{text(rp.short(result, results))}</b>: {text(warning)}"
            )
    parts = [
        f"<details><summary>{text(kind)}: {len(lines)}</summary>"
        f"<ul><li>{'<li>'.join(lines)}</ul></details>"
        for kind, lines in kinds.items()
    ]
    return "".join(parts) or "<p>None.</p>"


def environment(report):
    """The machine and build of one report, as a list of terms."""
    data = report.data
    context, cpu = data["context"], data["context"]["cpu"]
    caches = ", ".join(
        f"L{c['level']} {c['type']} {rp.byte_count(c['bytes'])}" for c in cpu["caches"]
    )
    entries = {
        "in the plots": report.name,
        "file": report.path,
        "command": " ".join(data["argv"]),
        "started": data["started_at"],
        "program": report.build(),
        "compiler": f"{context['compiler']}; {context['flags']}",
        "processor": f"{cpu['model']}: {cpu['cores']} cores, {cpu['threads']} threads, "
        f"{cpu['usable_threads']} usable",
        "caches": caches,
        "best ISA": cpu["isa"],
        "clocks": cpu["governor"] or "the system does not say",
        "load at start": cpu["load"],
        "memory": "the system does not say"
        if context["memory_bytes"] is None
        else rp.byte_count(context["memory_bytes"]),
        "system": f"{context['os']} on {context['host']}",
        "GPU": context["gpu"]["model"] if context["gpu"] else "none",
        "FLOPs": data["results"][0]["flop_convention"] if data["results"] else "",
    }
    for name, (flops, bandwidth) in rp.roofs(report).items():
        entries[f"measured peak, {name}"] = rp.roof_text(flops, bandwidth)
    return (
        "<dl>"
        + "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in entries.items())
        + "</dl>"
    )


def page(loaded):
    results = rp.results_of(loaded)
    sweep = rp.Sweep(results)
    groups = {
        "Speed": report_plots.speed_plots(sweep),
        "Speedup": report_plots.speedup_plots(sweep),
        "Roofline": report_plots.roofline_plot(sweep, loaded),
        "Memory": report_plots.memory_plots(sweep),
        "Samples": report_plots.sample_plot(sweep),
    }
    plots, sections = [], []
    for heading, made in groups.items():
        if not made:
            continue
        wide = " wide" if len(made) == 1 else ""
        boxes = "".join(
            f'<div class="plot{wide}" id="plot{len(plots) + i}"></div>' for i in range(len(made))
        )
        sections.append(
            f"<section><h2 id='{heading.lower()}'>{heading}</h2>"
            f"<div class='plots'>{boxes}</div></section>"
        )
        plots += made
    values = {
        "TITLE": text(f"Attention on {rp.machines(loaded)}"),
        "MACHINE": text(rp.machines(loaded)),
        "SUMMARY": "".join(f"<p>{text(line)}</p>" for line in summary(loaded)),
        "LINKS": " · ".join(
            f"<a href='#{name.lower()}'>{name}</a>"
            for name in [
                *(h for h, made in groups.items() if made),
                "Table",
                "Warnings",
                "Environment",
            ]
        ),
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="what --json wrote")
    parser.add_argument(
        "-o", "--output", default="report.html", metavar="FILE", help="(default: report.html)"
    )
    options = parser.parse_args()
    try:
        rp.write_text(page(rp.load(options.reports)), options.output)
    except rp.Refused as why:
        print(f"{parser.prog}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{parser.prog}: {options.output}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
