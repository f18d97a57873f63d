"""What the steps' JSON files say, as rows: one for each kernel and case that was measured."""

import json
import pathlib
import statistics

import bound
import fields
from ratios import doubt, faster, time_ratio


def read(folder, name):
    """A step's JSON, or what it had finished when it was stopped; None where there is none.
    ValueError where it is no report."""
    path = pathlib.Path(folder, f"{name}.json")
    for file in (path, path.with_name(path.name + ".partial")):
        try:
            report = json.loads(file.read_text())
        except OSError:
            continue
        if not isinstance(report, dict):
            raise ValueError("it is no object")
        return report
    return None


def spread(quartiles, median):
    """Half of what holds the middle half of the rounds, as a share of the median."""
    return (quartiles[1] - quartiles[0]) / 2 / median


def number_of_rounds(result):
    """Of which the statistics are: where others disturbed too many, they are of all."""
    return len(result["times"]) - (0 if result.get("disturbed") else result.get("marked") or 0)


def measured(result):
    """The members of a row that come from one result with numbers."""
    return {
        "case": fields.case_text(dict(result, type="flash")).removeprefix("flash "),
        "kernel": result["kernel"],
        "status": result["status"],
        "reason": result["reason"],
        "check": result["check"]["verdict"],
        "median_s": result["median"],
        "tflops": result["tflops"],
        "gb_s": result["gb_s"],
        "pct_peak": result["pct_peak"],
        "bound": result["bound"],
        "rounds": number_of_rounds(result) if result["median"] else 0,
        "spread": spread((result["p25"], result["p75"]), result["median"])
        if result["median"]
        else None,
        "least_s": result["min"],
        "most_s": result["max"],
        "doubt": doubt(result),
        "command": result["command"],
    }


def same_problem(result):
    """What results of kernels that were sampled in turns share."""
    same = fields.key_fields("isa", "kernel_request", "type")
    return json.dumps([result.get(name) for name in same], sort_keys=True)


def as_fast(ratio):
    """A ratio as summary.json has it; None where nothing can be concluded."""
    if ratio is None:
        return None
    return {"median": ratio[0], "interval": list(ratio[1:]), "faster": faster(ratio)}


def bench_rows(report):
    """A row for each result; beside the first kernel of its problem, which is the one that is
    chosen where none is named, how many times as fast."""
    today, rows = {}, []
    for result in report["results"]:
        row = measured(result)
        if result["median"]:
            first = today.setdefault(same_problem(result), result)
            row["beside"] = first["kernel"] if first is not result else None
            row["as_fast"] = as_fast(time_ratio(first, result)) if first is not result else None
        rows.append(row)
    return rows


def utilisation_rows(report):
    gpu = report["context"]["gpu"]
    return [
        dict(measured(result), **bound.utilisation(result, gpu))
        for result in report["results"]
        if result["median"] and gpu
    ]


def peer_rows(report):
    """A row for each program and case: medians over the rounds of scripts/peers."""
    rows = []
    for case in report["rows"]:
        for program, results in case["rounds"].items():
            known = [r for r in results if r["median"]]
            times = sorted(r["median"] for r in known)
            row = {
                "case": case["name"].removeprefix("flash "),
                "program": program,
                "kernel": next((r["kernel"] for r in known), None),
                "status": results[0]["status"] if results else "not run",
                "reason": results[0]["reason"] if results else None,
                "check": known[0]["check"]["verdict"] if known else None,
                "rounds": len(times),
                "median_s": statistics.median(times) if times else None,
                "tflops": statistics.median(r["tflops"] for r in known) if known else None,
                "gb_s": statistics.median(r["gb_s"] for r in known) if known else None,
                "spread": None,
                "flashbench_as_fast": case["speedup_over"].get(program),
            }
            if len(times) > 1:
                quartiles = statistics.quantiles(times, n=4, method="inclusive")
                row["spread"] = spread((quartiles[0], quartiles[2]), row["median_s"])
            rows.append(row)
    return rows


def check_counts(report):
    """How many cases of a check ended how."""
    states = [result["status"] for result in report["results"]]
    return {state: states.count(state) for state in dict.fromkeys(states)}


def card(info):
    """The GPU, as `flashbench info` describes it, None where it has none; and who describes it."""
    return {
        "card": info["context"]["gpu"],
        "tool": info["tool"],
        "started_at": info["started_at"],
    }


def unusable(info):
    """Why no kernel can run on it; "" where one can."""
    cuda = info["backends"]["cuda"]
    return "" if cuda["available"] else str(cuda["reason"] or "it does not say why")


def cuda_kernels(info):
    """{name: type}, in order."""
    return {k["name"]: k["type"] for k in info["kernels"] if k["backend"] == "cuda"}
