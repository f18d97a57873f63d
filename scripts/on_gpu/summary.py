"""summary.md and summary.json: what is known so far, written after every step."""

import json
import pathlib

import bound
import results
from ratios import ratio_text
from reports import byte_count, flop_rate, seconds, write_text

MEMORY = "memory"  # the `bound` of a result
PIPE_LEGEND = (
    "Pipe: the share of the FLOP that tensor cores (f32: FMA) can do in these cycles. Power: the "
    f"clock is held below {100 * bound.HARDLY_HELD:.0f} % of the highest. Cycles: less than "
    f"{100 * bound.FULL_PIPE:.0f} % of the pipe executes something. Spread: half of what holds "
    "the middle half of the rounds."
)
PARTS = {
    "utilisation": ("utilisation", results.utilisation_rows),
    "bench": ("in_turns", results.bench_rows),
    "peers": ("peers", results.peer_rows),
}
FAILED = ("failed", "stopped", "interrupted")  # what a step keeps, whatever its report is like
NOT_UNDERSTOOD = "not understood"


def collect(folder, outcomes, budget_s, spent_s, dropped):
    """All that is known of these outcomes: [{name, kind, state, command, ...}]. The reports of
    those that ran; the folder may have others, of an earlier run."""
    whole = nothing()
    whole.update(budget_s=budget_s, spent_s=round(spent_s, 1), dropped=list(dropped))
    whole["steps"] = [dict(outcome) for outcome in outcomes]
    for step in whole["steps"]:
        if step["kind"] and step["command"]:
            add_step(whole, folder, step)
    return whole


def nothing():
    return {
        "card": None,
        "peaks": [],
        "tool": None,
        "started_at": None,
        "budget_s": 0,
        "spent_s": 0,
        "steps": [],
        "dropped": [],
        "checks": {},
        "utilisation": [],
        "in_turns": [],
        "peers": [],
    }


def add_step(whole, folder, step):
    """Its report; where there is none that is understood, its outcome says so."""
    why = "it wrote no report" if step["state"] == "ok" else ""
    try:
        report = results.read(folder, step["name"])
        if report is not None:
            add(whole, understood(step, report))
            why = ""
    except Exception as error:  # whichever it is, it must not cost what other steps have measured
        why = f"its report is not understood: {type(error).__name__}: {error}"
    if why:
        step["reason"] = "; ".join(filter(None, (step["reason"], why)))
        step["state"] = step["state"] if step["state"] in FAILED else NOT_UNDERSTOOD


def understood(step, report):
    """What one report adds, which can be written down as well."""
    part = nothing()
    name, kind = step["name"], step["kind"]
    if kind == "info":
        results.unusable(report)  # the plan needs that
        results.cuda_kernels(report)
        part.update(results.card(report))
    else:
        add_peaks(part["peaks"], report.get("peaks") or ())
    if kind == "check":
        part["checks"][name] = results.check_counts(report)
    elif kind in PARTS:
        into, rows = PARTS[kind]
        part[into] = [dict(row, step=name) for row in rows(report)]
    as_written(part)
    return part


def as_written(whole):
    """All the texts; what has none is an error."""
    peaks = [peak_text(peak) for peak in whole["peaks"]]  # which no card line has without a card
    return json.dumps(whole, indent=1, allow_nan=False) + "\n", markdown(whole), peaks


def add(whole, part):
    add_peaks(whole["peaks"], part["peaks"])
    whole["checks"].update(part["checks"])
    for rows in ("utilisation", "in_turns", "peers"):
        whole[rows] += part[rows]
    for name in ("card", "tool", "started_at"):
        whole[name] = part[name] or whole[name]


def add_peaks(known, peaks):
    """Of the GPU, of each dtype and of reading, as the first report has them."""
    dtypes = {peak["dtype"] for peak in known}
    for peak in peaks:
        if peak.get("device") and peak["dtype"] not in dtypes:
            known.append(peak)


def peak_text(peak):
    if peak["dtype"] is None:
        return f"read {peak['read_gb_s']:.0f} GB/s"
    return f"{peak['dtype']} {flop_rate(peak['gflops'] * 1e-3)} ({peak['isa']})"


# ---- for people ----------------------------------------------------------------------------------


def table(heads, rows):
    """Markdown; a | in a cell would end it."""
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |")
    return lines


def per_cent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def spread_text(row):
    return "-" if row["spread"] is None else f"±{100 * row['spread']:.1f} % of {row['rounds']}"


def speed(row):
    """In what binds it; or why there is none."""
    if not row["median_s"]:
        return (row["reason"] or row["status"]).split("; reproduce")[0]
    if row.get("bound") == MEMORY:
        return f"{row['gb_s']:.0f} GB/s"
    return flop_rate(row["tflops"])


def card_lines(whole):
    gpu = whole["card"]
    if not gpu:
        return ["No card is known: `info` has told of none."]
    parts = [
        f"compute capability {gpu['compute_capability']}",
        f"{gpu['multiprocessors']} multiprocessors",
        byte_count(gpu["memory_bytes"]),
        f"driver {gpu.get('driver_version') or 'unknown'} for CUDA {gpu['driver']}",
    ]
    if gpu.get("max_sm_clock_hz"):
        parts.append(f"SM clock up to {gpu['max_sm_clock_hz'] * 1e-9:.2f} GHz")
    if gpu.get("power_limit_w"):
        parts.append(f"{gpu['power_limit_w']:.0f} W at most")
    if gpu.get("nvml_missing"):
        parts.append(f"clocks and watts unknown: {gpu['nvml_missing']}")
    tool = whole["tool"]
    sha = f" ({tool['git_sha'][:8]}{', modified' * bool(tool['dirty'])})" if tool["git_sha"] else ""
    if whole["peaks"]:
        parts.append(f"peaks measured: {', '.join(map(peak_text, whole['peaks']))}")
    spent = f"{whole['spent_s']:.0f} of {whole['budget_s']:.0f} s"
    return [
        f"{gpu['model']}: {', '.join(parts)}  ",
        f"flashbench {tool['version']}{sha}, {whole['started_at']}, {spent}",
    ]


def bound_lines(whole):
    rows = []
    for row in whole["utilisation"]:
        clock = row["sm_clock_hz"]
        watts = f"{row['power_w']:.0f}" if row["power_w"] else "-"
        rows.append(
            (
                row["case"],
                row["kernel"],
                flop_rate(row["tflops"]),
                spread_text(row),
                f"{clock[0] * 1e-9:.2f} to {clock[1] * 1e-9:.2f} GHz" if clock else "-",
                watts,
                per_cent(row["pipe_visible"]),
                per_cent(row["pipe_executed"]),
                row["verdict"],
            )
        )
    heads = ("case", "kernel", "speed", "spread over rounds", "SM clock", "watts")
    heads += ("pipe, visible FLOP", "pipe, executed", "so it is")
    return [*table(heads, rows), "", PIPE_LEGEND]


def as_fast_text(row):
    if not row.get("beside"):
        return ""
    fast = row["as_fast"]
    if not fast:
        return f"cannot tell: {row['doubt'] or 'too few samples'}"
    return f"{ratio_text((fast['median'], *fast['interval']))} of {row['beside']}"


def turns_lines(whole):
    rows = [
        (
            row["step"],
            row["case"],
            row["kernel"] or "-",
            seconds(row["median_s"]) if row["median_s"] else "-",
            speed(row),
            spread_text(row),
            "-" if row["pct_peak"] is None else f"{row['pct_peak']:.0f} % of {row['bound']}",
            as_fast_text(row),
        )
        for row in whole["in_turns"]
    ]
    heads = ("step", "case", "kernel", "median", "speed", "spread over rounds", "of peak")
    return table((*heads, "as fast as the one that is chosen"), rows)


def peers_lines(whole):
    rows = []
    for row in whole["peers"]:
        fast = row["flashbench_as_fast"]
        text = ratio_text((fast["median"], *fast["interval"])) if fast else "-"
        own = row["program"] == "flashbench"
        rows.append(
            (row["case"], row["program"], speed(row), spread_text(row), "" if own else text)
        )
    return table(("case", "program", "speed", "spread over rounds", "flashbench is as fast"), rows)


def steps_lines(whole):
    rows = [
        (
            step["name"],
            step["state"],
            f"{step['seconds']:.0f}" if step["seconds"] is not None else "-",
            step["reason"] or cases_text(whole["checks"].get(step["name"])) or step["answers"],
        )
        for step in whole["steps"]
    ]
    return table(("step", "state", "seconds", ""), rows)


def cases_text(counts):
    return ", ".join(f"{n} {state}" for state, n in (counts or {}).items())


def markdown(whole):
    lines = ["# On a GPU", "", *card_lines(whole), ""]
    for title, part, text in (
        ("Cycles or power", "utilisation", bound_lines),
        ("Kernels in turns", "in_turns", turns_lines),
        ("Beside PyTorch, in turns", "peers", peers_lines),
        ("Steps", "steps", steps_lines),
    ):
        if whole[part]:
            lines += [f"## {title}", "", *text(whole), ""]
    if whole["dropped"]:
        lines += [f"Dropped for want of time: {', '.join(whole['dropped'])}.", ""]
    return "\n".join(lines)


def write(folder, whole):
    """Both files, each whole or not at all."""
    text, markdown_text, _ = as_written(whole)
    write_text(text, str(pathlib.Path(folder, "summary.json")))
    write_text(markdown_text, str(pathlib.Path(folder, "summary.md")))
