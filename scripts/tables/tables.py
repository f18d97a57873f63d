#!/usr/bin/env python3
"""The tables of measurements in README.md, out of the JSON beside this file.

    python3 scripts/tables/tables.py                        # writes them into README.md
    python3 scripts/tables/tables.py --take peers FILE...   # of what `scripts/peers --json` wrote
    python3 scripts/tables/tables.py --take h200 REPORT COMPARISON   # of `bench --json`, and of it
                                                            # `compare --by type --json`

Taken is what a table needs: no samples, paths or names of machines. Of several files of peers, the
last one that has a row counts.
"""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
sys.path.insert(0, str(HERE.parent / "common"))

from ratios import interval_text, rounded  # noqa: E402

# A row of the table of peers: what it is called, the rows of `scripts/peers` side by side, its
# unit, and what stands behind the shares of the peak.
WIDTHS = ("64", "128", "512")
TENSORS = {"dq": "dQ", "dk": "dK", "dv": "dV", "o": "O", "lse": "LSE"}


def wide(text, row, widths=WIDTHS):
    return text, [row + width for width in widths], "GFLOP/s", ""


PEERS = [
    wide("f32 forward, d = 64 / 128 / 512", "f32 forward d="),
    wide("f32 forward, causal", "f32 forward causal d="),
    wide("f32 backward", "f32 backward d="),
    wide("f32 backward, causal", "f32 backward causal d="),
    wide("bf16 forward", "bf16 forward d="),
    wide("bf16 forward, causal", "bf16 forward causal d="),
    wide("bf16 backward", "bf16 backward d="),
    wide("bf16 backward, causal", "bf16 backward causal d="),
    wide("f16 forward", "f16 forward d="),
    wide("f16 backward", "f16 backward d="),
    wide("f32 forward, padding keeps half, d = 64 / 128", "f32 forward padding 0.5 d=", WIDTHS[:2]),
    wide(
        "f32 backward, padding keeps half, d = 64 / 128", "f32 backward padding 0.5 d=", WIDTHS[:2]
    ),
    ("f32 forward, causal, d = 192, d_v = 128", ["f32 forward d=192, d_v=128"], "GFLOP/s", ""),
    ("f32 backward, causal, d = 192, d_v = 128", ["f32 backward d=192, d_v=128"], "GFLOP/s", ""),
    (
        "decode, 32 heads, 8 of K/V: f32 / bf16",
        ["decode GQA 32/8 f32", "decode GQA 32/8 bf16"],
        "GB/s",
        " of the DRAM rate: bf16 stays in L3 in part",
    ),
    (
        "decode, 32 heads of K/V: f32 / bf16",
        ["decode MHA 32 f32", "decode MHA 32 bf16"],
        "GB/s",
        "",
    ),
    wide("normal, f32 forward, d = 64 / 128 / 512", "normal f32 forward d="),
    (
        "small: N = 128, d = 64, forward / backward",
        ["small N=128 forward", "small N=128 backward"],
        "GFLOP/s",
        "",
    ),
]


# ---- the tables ----------------------------------------------------------------------------------


def line(cells):
    return f"| {' | '.join(cells)} |"


def times_text(ratio, interval):
    return f"{rounded(ratio, ratio, round)}x {interval_text(*interval)}"


def median_of(rounds, field):
    known = [r[field] for r in rounds if r[field] is not None]
    return statistics.median(known) if known else None


def wrong_text(rows):
    """ "theirs wrong: dK 3.2 / 2.9, dV 4.7 / 5.4" of the errors of a peer's first rounds."""
    first = [row["rounds"]["pytorch"][0]["wrong"] for row in rows]
    tensors = [name for name in TENSORS if all(name in errors for errors in first)]
    each = [f"{TENSORS[n]} {' / '.join(f'{e[n]:.1f}' for e in first)}" for n in tensors]
    return "theirs wrong: " + ", ".join(each)


def peer_text(rows):
    ratios = [row["speedup_over"].get("pytorch") for row in rows]
    if any(ratios):
        return " / ".join(
            times_text(r["median"], r["interval"])
            if r["faster"]
            else f"cannot tell {interval_text(*r['interval'])}"
            for r in ratios
        )
    return wrong_text(rows)


def peers(data):
    table = [line(["", "flashbench", "of peak", "as fast as PyTorch"]), line(["---"] * 4)]
    for text, names, unit, note in PEERS:
        rows = [data["rows"][name] for name in names]
        field, factor = ("tflops", 1e3) if unit == "GFLOP/s" else ("gb_s", 1)
        own = [row["rounds"]["flashbench"] for row in rows]
        speeds = " / ".join(f"{factor * median_of(r, field):.0f}" for r in own)
        shares = [median_of(r, "pct_peak") for r in own]
        known = " / ".join("-" if share is None else f"{share:.0f}" for share in shares)
        table.append(line([text, f"{speeds} {unit}", f"{known} %{note}", peer_text(rows)]))
    return table


def h200(data):
    heads = ["d", "pass", "flash", "of peak", "cuDNN", "flash against it", "FlashAttention-2"]
    table = [line([*heads, "flash against it"]), line(["---"] * 8)]

    def speed(case, kind):
        tflops = data["results"][case].get(kind, {}).get("tflops")
        return "-" if tflops is None else f"{tflops:.0f}"

    def against(case, kind):
        found = data["compared"][case].get(kind)
        return times_text(found["ratio"], found["interval"]) if found else "-"

    order = sorted(data["results"], key=lambda c: (int(c.split()[0]), "backward" in c, c))
    for case in order:
        width, name = case.split(" ", 1)
        share = f"{data['results'][case]['flash']['pct_peak']:.0f} %"
        cells = [width, name.replace(" causal", ", causal"), speed(case, "flash"), share]
        for kind in ("plugin", "worker"):
            cells += [speed(case, kind), against(case, kind)]
        table.append(line(cells))
    return table


TABLES = {"peers": peers, "h200": h200}


# ---- what is kept of what was measured -----------------------------------------------------------


def take_peers(paths):
    data = {"runs": [], "rows": {}}
    for path in paths:
        run = json.loads(pathlib.Path(path).read_text())
        cpu = run["context"]["cpu"]
        about = {key: run[key] for key in ("finished_at", "rounds", "tools")}
        data["runs"].append({**about, "cpu": {k: cpu[k] for k in ("model", "threads", "isa")}})
        for row in run["rows"]:
            rounds = {
                program: [take_round(one) for one in row["rounds"][program]]
                for program in ("flashbench", "pytorch")
            }
            over = {
                program: {key: ratio[key] for key in ("median", "interval", "faster")}
                for program, ratio in row["speedup_over"].items()
                if ratio
            }
            kept = {"flags": row["flags"], "rounds": rounds, "speedup_over": over}
            data["rows"][row["name"]] = {"run": len(data["runs"]) - 1, **kept}
    return data


def take_round(one):
    """The numbers of a round, and of a result that is wrong by how much, in units of its limit's
    noise."""
    worst = (one.get("check") or {}).get("worst") or []
    wrong = {
        w["tensor"]: round(w["error_over_noise"], 3)
        for w in worst
        if w["error_over_noise"] and w["error_over_noise"] > w["limit"]
    }
    numbers = ("status", "median", "ci95", "tflops", "gb_s", "pct_peak", "bound")
    kept = {key: one.get(key) for key in numbers}
    return {**kept, "wrong": wrong} if wrong else kept


def case_name(result):
    work = result["workload"]
    return f"{work['d']} {result['pass']}{' causal' if work['causal'] else ''}"


def take_h200(paths):
    report, comparison = (json.loads(pathlib.Path(path).read_text()) for path in paths)
    gpu = report["context"]["gpu"]
    about = ("model", "driver_version", "runtime", "power_limit_w")
    data = {
        "started_at": report["started_at"],
        "tool": report["tool"],
        "gpu": {key: gpu[key] for key in about},
        "peaks": report["peaks"],
        "results": {},
        "compared": {},
    }
    numbers = ("status", "kernel", "median", "ci95", "tflops", "gb_s", "pct_peak", "bound")
    for result in report["results"]:
        kept = {key: result[key] for key in numbers}
        kept["verdict"] = result["check"]["verdict"]
        data["results"].setdefault(case_name(result), {})[result["type"]] = kept
    for case in comparison["cases"]:
        kinds = data["compared"].setdefault(case_name(case), {})
        if case["ratio"] is not None:
            kept = {key: case[key] for key in ("ratio", "interval", "verdict", "rounds")}
            kinds[case["change"].split()[-1]] = kept
    return data


TAKEN = {"peers": take_peers, "h200": take_h200}


# ---- README.md -----------------------------------------------------------------------------------


def with_tables(readme):
    """`readme`, each table between its marks as the JSON says."""
    for name, make in TABLES.items():
        data = json.loads((HERE / f"{name}.json").read_text())
        begin, end = f"<!-- scripts/tables: {name} -->\n", f"<!-- end of {name} -->"
        head, rest = readme.split(begin)
        _, tail = rest.split(end)
        table = "\n".join(make(data))
        readme = f"{head}{begin}\n{table}\n\n{end}{tail}"
    return readme


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", choices=tuple(TAKEN), help="keep what this table needs of FILEs")
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_args()
    if options.take:
        data = TAKEN[options.take](options.files)
        (HERE / f"{options.take}.json").write_text(json.dumps(data, indent=1) + "\n")
    README.write_text(with_tables(README.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
