"""Whole models: what all their layers of attention reach together, a bar each."""

import reports as rp
from colours import COLOURS
from figures import GREY, Figure


def lengths(time):
    return time.get("ragged") or f"{time['q_len']}x{time['kv_len']}"


def dtypes(time):
    own = time.get("kv_dtype")  # of K and V
    return f"{time['dtype']}, kv {own}" if own else time["dtype"]


def draw_models(sweep, style, reports):
    """A panel for each pass, a bar for each model, type and pair of lengths."""
    times = [t for report in reports for t in report.data["summary"].get("models", [])]
    passes = {}
    for time in times:
        passes.setdefault(time["pass"], []).append(time)
    if not passes:
        return
    bars = max(map(len, passes.values()))
    figure = Figure(
        list(passes), "Attention of whole models", "", width=8.5, height=0.24 * bars + 0.9
    )
    types = sorted({t["type"] for t in times})
    for axis, own in zip(figure.axes, passes.values()):
        for y, time in enumerate(own):
            draw_bar(axis, y, time, COLOURS[types.index(time["type"]) % len(COLOURS)])
        same = len({(dtypes(t), lengths(t)) for t in own}) == 1
        names = [t["model"] if same else f"{t['model']}, {dtypes(t)} {lengths(t)}" for t in own]
        axis.set_yticks(range(len(own)), names, fontsize=8)
        axis.set_ylim(len(own) - 0.4, -0.6)
        axis.set_xlim(0, 110)  # room for the words at the ends of bars
        axis.grid(False, axis="y")
        axis.set_xlabel(
            "share of the peak, % (of arithmetic, or of memory where that is the limit)"
        )
    figure.legend()
    yield "models", figure


def draw_bar(axis, y, time, colour):
    seconds = time["seconds"]
    taken = rp.plain(seconds, 3) + " s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
    text = f"  {taken}, {time['layers']} layers"
    share = time["pct_peak"]
    if share is None or not time["conclusive"]:
        why = "no peak known" if time["conclusive"] else "x: disturbed"
        axis.annotate(why + text, (0, y), va="center", fontsize=7, color=GREY)
        return
    slow, fast = (share * seconds / end for end in reversed(time["ci95"]))
    axis.barh(
        y,
        share,
        height=0.7,
        color=colour,
        label=time["type"],
        xerr=[[share - slow], [fast - share]],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    axis.annotate(
        f"{share:.0f} %" + text,
        (fast, y),
        xytext=(3, 0),
        va="center",
        textcoords="offset points",
        fontsize=7.5,
    )
