"""The rows of scripts/peers and what it prints and writes of them."""

import math
import statistics

import measuring
import peerlib
from disturbance import unmarked
from ratios import doubt, faster, mark_flat, over_rounds, ratio_text, time_ratio
from reports import MOST_SHARE, flop_rate
from sampling import quantile, summarize

HEADS = {64: 8, 128: 4, 512: 2}  # b*h by d: the same number of FLOPs at d = 64 and 128


def table_rows(length=4096):
    """[(name, flags of bench, name of the row to compare its time with or None)]; `length`: of
    queries and keys, where the row names no other."""
    rows = []

    def add(name, flags, against=None):
        rows.append((name, flags.split(), against))

    def each_d(label, flags, widths=tuple(HEADS), against=None):
        for d in widths:
            what = f"--b 1 --h {HEADS[d]} --q_len {length} --d {d} --type flash {flags}"
            add(f"{label} d={d}", what, against and f"{against} d={d}")

    for dtype in ("f32", "bf16"):
        for which in ("forward", "backward"):
            flags = f"--dtype {dtype} --pass {which}"
            each_d(f"{dtype} {which}", flags)
            each_d(f"{dtype} {which} causal", f"{flags} --causal")
    for which in ("forward", "backward"):
        each_d(f"f16 {which}", f"--dtype f16 --pass {which}")
    padding = "--mask random --mask_keep 0.5"
    each_d("f32 forward padding 0.5", f"--pass forward {padding}", (64, 128), "f32 forward")
    each_d("f32 backward padding 0.5", f"--pass backward {padding}", (64, 128), "f32 backward")
    window = "--causal --window_left 511"
    each_d("f32 forward window 512", f"--pass forward {window}", (64, 128), "f32 forward causal")
    each_d("f32 backward window 512", f"--pass backward {window}", (64, 128), "f32 backward causal")
    for batch in ("2q2k_8q1s1k", "q257_7q1s1057_3q4s2051_2q129s4093"):  # of vLLM's own benchmarks
        flags = f"--ragged {batch} --h 32 --h_kv 8 --d 128 --causal --pass forward --type flash"
        for dtype in ("f32", "bf16"):
            add(f"batch {batch} {dtype}", f"--dtype {dtype} {flags}")
    for heads, label in ((8, "GQA 32/8"), (32, "MHA 32")):
        for dtype in ("f32", "bf16"):
            add(
                f"decode {label} {dtype}",
                f"--b 1 --h 32 --h_kv {heads} --q_len 1 --kv_len 8192 --d 128 "
                f"--dtype {dtype} --pass forward --type flash",
            )
    for d in HEADS:
        add(
            f"normal f32 forward d={d}",
            f"--b 1 --h {HEADS[d]} --q_len {length} --d {d} --pass forward --type normal",
        )
    for which in ("forward", "backward"):
        add(f"small N=128 {which}", f"--b 1 --h 8 --q_len 128 --d 64 --pass {which} --type flash")
    return rows + variant_rows(length)


def variant_rows(length):
    """What today's models add: a row for each that a library has, in f32 and as one of them has it.
    No library here multiplies K and V of 8 bits."""
    added = {  # by name: flags, and what of it a library has besides flash forward
        "ALiBi d=128": ("--d 128 --causal --alibi standard", ("flash backward",)),
        "bias d=128": ("--d 128 --bias random", ("flash backward",)),
        "d=192, d_v=128": ("--d 192 --d_v 128 --causal", ("flash backward",)),
        "softcap 50 d=128": ("--d 128 --causal --softcap 50", ("normal forward",)),
        "sinks window 128 d=64": (
            "--d 64 --causal --window_left 127 --sinks random",
            ("normal forward",),
        ),
    }
    rows = []
    for name, (flags, more) in added.items():
        for kind, which in map(str.split, ("flash forward", *more)):
            label = f"{'normal ' * (kind == 'normal')}f32 {which} {name}"
            what = f"--b 1 --h 4 --q_len {length} {flags} --pass {which} --type {kind}"
            rows.append((label, what.split(), None))
    decode = "--b 1 --h 32 --h_kv 8 --q_len 1 --kv_len 8192 --d 128 --page_size 16 --pass forward"
    rows.append(("decode GQA 32/8 pages of 16 f32", [*decode.split(), "--type", "flash"], None))
    absorbed = "--b 1 --h 128 --h_kv 1 --q_len 1 --kv_len 4096 --d 576 --d_v 512 --v_in_k --pass forward"
    rows.append(("decode absorbed MLA 128/1 f32", [*absorbed.split(), "--type", "flash"], None))
    return rows


def ratios(theirs, own):
    """[(ratio, low, high)] of their times to the own ones, round by round, where both conclude."""
    pairs = zip(theirs, own)
    each = [time_ratio(a, b) for a, b in pairs if a["median"] and b["median"]]
    return [ratio for ratio in each if ratio]


def spread(values):
    """Median and quartiles."""
    ordered = sorted(values)
    return [quantile(ordered, q) for q in (0.5, 0.25, 0.75)]


# ---- output --------------------------------------------------------------------------------------


def share_text(results):
    """Median over the rounds and the interval of that, in per cent; "cached" where part of the
    operands stays in a cache that is faster than the memory."""
    shares = [r["pct_peak"] for r in results if r["median"] and r["pct_peak"] is not None]
    if not shares:
        return "-"
    middle, low, high = over_rounds([(share, share, share) for share in shares])
    text = f"{middle:.0f} %"
    if len(shares) > 1:
        text += f" [{math.floor(low)}, {math.ceil(high)}]"
    return text + " (cached)" * (middle > MOST_SHARE)


def speed(results):
    """Median over the rounds, in what binds the row; or why there is none."""
    known = [r for r in results if r["median"]]
    if not known:
        reason = results[0]["reason"] if results else "not run"
        return reason or results[0]["check"]["verdict"]
    if memory_bound(known[0]):
        return f"{statistics.median(r['gb_s'] for r in known):.1f} GB/s"
    return flop_rate(statistics.median(r["tflops"] for r in known))


def memory_bound(result):
    """Fewer than 4 FLOP a byte: decoding. No processor's ratio of peaks is lower."""
    return result["flop_visible"] < 4 * result["bytes"]


def peer_cell(peer, own):
    timed = [(a, b) for a, b in zip(peer, own) if a["median"] and b["median"]]
    if not timed:
        return shorten(speed(peer))
    values = ratios(peer, own)
    if not values:
        return f"{speed(peer)}, cannot tell: {why_unknown(timed)}"
    ratio = over_rounds(values)
    text = ratio_text(ratio)
    return f"{speed(peer)}, {f'**{text}**' if faster(ratio) else text}"


def why_unknown(timed):
    """What keeps pairs of results from a ratio."""
    doubts = {doubt(result) for pair in timed for result in pair} - {""}
    return ", ".join(sorted(doubts)) or "too few samples"


def shorten(text, width=60):
    return (text if len(text) <= width else text[: width - 3] + "...").replace("|", "/")


def markdown(rows, seen, programs, heading):
    peers = [p.name for p in programs]
    lines = [
        heading,
        "",
        "| | flashbench | of peak | " + " | ".join(peers) + " |",
        "| --- " * (3 + len(peers)) + "|",
    ]
    for name, _, _ in rows:
        own = seen[name]["flashbench"]
        cells = [name, shorten(speed(own)), share_text(own)]
        cells += [peer_cell(seen[name][peer], own) for peer in peers]
        lines.append("| " + " | ".join(cells) + " |")
    for name, _, against in rows:
        if against in seen and (
            values := ratios(seen[name]["flashbench"], seen[against]["flashbench"])
        ):
            lines += [""] if lines[-1].startswith("|") else []
            text = ratio_text(over_rounds(values))
            lines.append(f"flashbench: {name} takes {text} the time of {against}  ")
    return "\n".join(lines) + "\n"


def heading(reports, rounds, threads):
    """`threads`: of the processor; None where a GPU computed."""
    context = next((r["context"] for r in reports.get("flashbench", [])), None)
    tools = {
        r["tool"]["name"]: r["tool"]["version"] for all_of in reports.values() for r in all_of[:1]
    }
    machine = context["cpu"]["model"] if context else "unknown processor"
    if threads is not None:
        machine += f", {threads} threads"
    elif context and context["gpu"]:
        machine = context["gpu"]["model"]
    return (
        f"{machine}; {', '.join(f'{n} {v}' for n, v in tools.items())}; "
        f"median of {rounds} round{'s' * (rounds != 1)} [95 % interval]; "
        "a peer's x: flashbench is so many times as fast; cannot tell: the interval holds 1"
    )


def as_json(rows, seen, rounds, text, reports):
    """What --json writes: every round of every row, and the ratios."""
    keep = (
        "status",
        "reason",
        "command",
        "kernel",
        "median",
        "ci95",
        "tflops",
        "gb_s",
        "pct_peak",
        "bound",
        "rises",
        "check",
    )
    out = []
    for name, flags, _ in rows:
        own = seen[name]["flashbench"]
        ratio = {
            peer: ratios(results, own)
            for peer, results in seen[name].items()
            if peer != "flashbench"
        }
        out.append(
            {
                "name": name,
                "flags": flags,
                "rounds": {
                    p: [{k: r.get(k) for k in keep} for r in rs] for p, rs in seen[name].items()
                },
                "speedup_over": {p: speedup(v) for p, v in ratio.items() if v},
            }
        )
    context = reports["flashbench"][0]["context"] if reports["flashbench"] else None
    tools = {name: all_of[0]["tool"] for name, all_of in reports.items() if all_of}
    return {
        "heading": text,
        "finished_at": peerlib.now(),
        "rounds": rounds,
        "context": context,
        "tools": tools,
        "rows": out,
    }


def speedup(rounds):
    """One ratio of several rounds, for --json."""
    values = [value for value, _, _ in rounds]
    out = dict(zip(("median", "p25", "p75"), spread(values)), rounds=values)
    out["interval"] = list(over_rounds(rounds)[1:])
    out["faster"] = {1: "flashbench", -1: "peer", 0: None}[faster(over_rounds(rounds))]
    return out


def undisturbed(results):
    """Those of them that others did not disturb, and their samples but for the marked ones; all
    results and samples where none is left."""
    kept = [r for r in results if not r.get("disturbed")]
    times = [t for r in kept for t in unmarked(r["times"], r.get("lost"))[0]]
    return (kept, times) if kept else (results, [t for r in results for t in r["times"]])


def merged(reports):
    """One report of a program over all rounds: the samples of a case together."""
    cases = {}
    for report in reports:
        (result,) = report["results"]
        if result["times"]:
            cases.setdefault(result["command"], []).append(result)
    whole = measuring.join(reports)
    whole["results"] = []
    for results in cases.values():
        kept, times = undisturbed(results)
        result = dict(kept[0], lost=[], marked=0, **summarize(times))
        measuring.add_rates(result)
        shares = [r["pct_peak"] for r in results if r["pct_peak"] is not None]
        result["pct_peak"] = statistics.median(shares) if shares else None
        whole["results"].append(result)
    mark_flat(whole["results"])
    measuring.add_speedups(whole["results"])
    return whole
