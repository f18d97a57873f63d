"""What plots and peers share: reading reports, what varies among their results, labels.

Standard library only. A result keeps the fields of lib/report/schema (fields.py); four are added:
`report` (its number), `program` (flashbench, pytorch, ...), `source` (the file's stem) and
`memory_bytes` (on a GPU what it takes there, else the process's peak).
"""

import json
import os
import pathlib
import sys

import fields
from naming import name_apart, name_guests
from ratios import time_ratio
from refused import Refused

MOST_SHARE = 105  # per cent of the peak; more than the error of two measured rates
(SCHEMA_VERSION,) = fields.schema()["properties"]["schema_version"]["enum"]


class Report:
    """One report and where it came from."""

    def __init__(self, path, number):
        try:
            self.data = json.loads(pathlib.Path(path).read_text())
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise Refused(f"{path}: not JSON: {error}") from error
        if not isinstance(self.data, dict) or self.data.get("schema_version") != SCHEMA_VERSION:
            raise Refused(
                f"{path}: no report of schema version {SCHEMA_VERSION}; "
                "flashbench --json writes one"
            )
        self.path = str(path)
        self.program = self.data["tool"]["name"]
        self.source = pathlib.Path(path).stem
        self.name = self.program  # in legends; name_apart() gives another one
        for result in self.data["results"]:
            result.update(report=number, program=self.program, source=self.source)
            if result["bound"] == "compute" and (result["pct_peak"] or 0) > MOST_SHARE:
                result["pct_peak"] = None  # flashbench withholds what cannot be; it did not always
            on_gpu = result.get("device_bytes")  # later than the first reports
            result["memory_bytes"] = on_gpu if on_gpu is not None else result["peak_rss_bytes"]

    @property
    def results(self):
        return self.data["results"]

    def build(self):
        """The program, its version and what it was built from."""
        tool = self.data["tool"]
        sha = (
            f" ({tool['git_sha'][:8]}{', modified' if tool['dirty'] else ''})"
            if tool["git_sha"]
            else ""
        )
        return f"{tool['name']} {tool['version']}{sha}"

    def machine(self):
        """The processor, or the GPU, that was measured."""
        context = self.data["context"]
        on_gpu = any(r["backend"] == "cuda" for r in self.results)
        if on_gpu and context["gpu"]:
            return context["gpu"]["model"]
        threads = sorted({r["threads"] for r in self.results if r["threads"]})
        used = f", {'/'.join(map(str, threads))} thread{'s' * (threads != [1])}" if threads else ""
        return context["cpu"]["model"] + used


def load(paths):
    """The reports; programs of the same name are told apart by what differs between them."""
    reports = [Report(path, number) for number, path in enumerate(paths)]
    by_program = {}
    for report in reports:
        by_program.setdefault(report.program, []).append(report)
    for same in by_program.values():
        if len(same) > 1:
            name_apart(same)
    name_guests(results_of(reports))
    if not any(report.results for report in reports):
        raise Refused(f"{', '.join(map(str, paths))}: no results in there")
    return reports


def results_of(reports):
    return [result for report in reports for result in report.results]


def machines(reports):
    """One line that names every machine and build."""
    names = list(dict.fromkeys(report.machine() for report in reports))
    builds = list(dict.fromkeys(report.build() for report in reports))
    return f"{'; '.join(names)} · {', '.join(builds)}"


# ---- what a result is called ---------------------------------------------------------------------


class Program:
    """The trait that no field has: which program computed a result."""

    name, of = "program", "execution"

    @staticmethod
    def text(result):
        return result["program"]

    sort_key = cell = text

    @staticmethod
    def is_usual(result):
        return False


class Guest:
    """A plug-in or worker by its kernel: a file or command is no name."""

    name, of = "guest", "execution"

    def text(self, result):
        return result.get("guest_name", result["kernel"]) if not self.is_usual(result) else ""

    sort_key = cell = text

    def is_usual(self, result):
        return not (result.get("plugin") or result.get("worker"))


# What may tell results apart, beside the swept length, by name: lines by what computes, panels by
# what is computed.
TRAITS = {"program": Program, **fields.TRAITS, "guest": Guest()}
LINE_TRAITS = tuple(name for name, trait in TRAITS.items() if trait.of != "problem")
PANEL_TRAITS = tuple(name for name in TRAITS if name not in LINE_TRAITS)


def telling(results, names, given=lambda r: None):
    """Those traits, in order, that tell results apart where `given` and those before do not."""
    kept, groups = [], len({given(r) for r in results})
    if any(map(fields.is_ragged, results)):  # whose sequences say more than lengths they have not
        names = sorted(names, key=lambda name: name in fields.LENGTHS)
    for name in names:
        finer = len({(given(r), *(TRAITS[n].text(r) for n in (*kept, name))) for r in results})
        if finer > groups:
            kept.append(name)
            groups = finer
    return kept


def label(result, names):
    return ", ".join(text for name in names if (text := TRAITS[name].text(result)))


def shared(results, names):
    """What all results have in common, in words; what goes without saying is left out."""
    if not results:
        return ""
    kept = [name for name in names if len({TRAITS[name].text(r) for r in results}) == 1]
    return label(results[0], [name for name in kept if not TRAITS[name].is_usual(results[0])])


def axes_of(results):
    """The sizes along which results may be drawn: sequences of their own lengths have no one."""
    ragged = any(map(fields.is_ragged, results))
    return [f for f in fields.AXES if not (ragged and f.name in fields.LENGTHS)]


def swept(results):
    """The size along which results are drawn: the first that varies; None where none does."""
    return next((f for f in axes_of(results) if len({f.value(r) for r in results}) > 1), None)


class Sweep:
    """Results arranged for drawing: panels by what is computed, lines by what computes it."""

    def __init__(self, results):
        self.results = results
        self.axis = swept(results)
        self.panel_traits = telling(results, PANEL_TRAITS, self.x)
        self.line_traits = telling(results, LINE_TRAITS) or ["type"]
        self.caption = shared(results, PANEL_TRAITS)

    def x(self, result):
        return self.axis.value(result) if self.axis else 0

    def panels(self):
        """{panel's title: {line's label: [results by x]}}, both in the order of the reports."""
        out = {}
        for result in self.results:
            lines = out.setdefault(label(result, self.panel_traits), {})
            lines.setdefault(label(result, self.line_traits), []).append(result)
        for lines in out.values():
            for line in lines.values():
                line.sort(key=self.x)
        return out

    def lines(self):
        return list(dict.fromkeys(label(r, self.line_traits) for r in self.results))

    def one_point_each(self):
        return all(len(line) == 1 for lines in self.panels().values() for line in lines.values())

    def axis_title(self):
        return self.axis.title if self.axis else ""


def short(result, results):
    """A result's name among all of them: only what tells it apart."""
    names = telling(results, (*PANEL_TRAITS, *LINE_TRAITS))
    return label(result, names) or label(result, ("pass", "type"))


def has_median(results):
    return [r for r in results if r["median"] is not None]


def roofs(report):
    """{"f32 avx512, 2 threads": (FLOP/s, bytes/s)} of the peaks measured in that run."""

    def where(peak):
        device = peak.get("device")
        return ("GPU", device) if device else (peak["backend"], peak["isa"], peak["threads"])

    peaks = report.data["peaks"]
    bandwidths = {where(p): p["read_gb_s"] for p in peaks if p["read_gb_s"]}
    out = {}
    for peak in peaks:
        bandwidth = bandwidths.get(where(peak))
        if peak["gflops"] and bandwidth:
            on = f"GPU {peak['device']}" if peak.get("device") else f"{peak['threads']} threads"
            out[f"{peak['dtype']} {peak['isa']}, {on}"] = peak["gflops"] * 1e9, bandwidth * 1e9
    return out


def box_end(result):
    """Where the upper whisker of a box plot ends, relative to the median."""
    fence = result["p75"] + 1.5 * (result["p75"] - result["p25"])
    return max(t for t in result["times"] if t <= max(fence, result["median"])) / result["median"]


def case_of(result):
    """What makes results of different programs or builds the same case."""
    same = fields.key_fields("isa", "kernel_request")  # which every program has its own words for
    return json.dumps([result.get(name) for name in same], sort_keys=True)


def speedups(sweep):
    """{panel: {line: [(x, ratio, low, high)]}}: flash over normal, the first report over others;
    what nothing can be concluded from is left out.

    The interval of a ratio is that of the two intervals' ends: wider than 95 %, never narrower."""
    known = has_median(sweep.results)
    twins = {
        (r["report"], r["isa"], case_of(dict(r, type="flash"))): r
        for r in known
        if r["type"] == "normal"
    }
    several = len({r["program"] for r in known}) > 1
    by_case, out = {}, {}

    def add(result, other, name):
        if ratio := time_ratio(other, result):
            panel = out.setdefault(label(result, sweep.panel_traits), {})
            panel.setdefault(name, []).append((sweep.x(result), *ratio))

    for result in known:
        by_case.setdefault(case_of(result), []).append(result)
        twin = twins.get((result["report"], result["isa"], case_of(result)))
        if result["type"] == "flash" and twin:
            name = f"{result['program']}: flash over normal" if several else "flash over normal"
            add(result, twin, f"{name}, {result['isa']}" if "isa" in sweep.line_traits else name)
    for first, *others in by_case.values():
        for other in others:
            if other["report"] != first["report"]:
                add(first, other, f"{first['type']}: {first['program']} over {other['program']}")
    return out


def one_ratio_each(panels):
    return all(len(points) == 1 for lines in panels.values() for points in lines.values())


def names_in(panels):
    """The lines of all panels, in order."""
    return list(dict.fromkeys(name for lines in panels.values() for name in lines))


def two_parameters(results):
    """The two sizes of a two-parameter sweep, or None. A size that follows another is none."""
    axis = swept(results)
    if axis is None:
        return None
    values = len({axis.value(r) for r in results})
    for size in axes_of(results):
        pairs = len({(axis.value(r), size.value(r)) for r in results})
        if size is not axis and pairs > values and len({size.value(r) for r in results}) > 1:
            return axis, size
    return None


# ---- numbers for people --------------------------------------------------------------------------


def in_units(value, units, digits=4):
    """`units`: [(size, name)], largest first."""
    size, name = next((u for u in units if abs(value) >= u[0]), units[-1])
    return f"{plain(value / size, digits)} {name}"


def plain(value, digits):
    """So many digits, the whole part at least: 1020, not 1.02e+03."""
    whole = 10**digits - 0.5 <= abs(value) < 1e6
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"


def roof_text(flops, bandwidth):
    """`551.0 GFLOP/s, 41.3 GB/s` of roofs()."""
    return f"{flop_rate(flops * 1e-12)}, {byte_count(bandwidth)}/s"


def seconds(value):
    return in_units(value, [(1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])


def byte_count(value):
    return in_units(value, [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")], 3)


def flop_rate(tflops):
    return in_units(
        tflops * 1e12,
        [(1e15, "PFLOP/s"), (1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1, "FLOP/s")],
    )


def size_text(value):
    """1024 -> 1k, as the flags take it."""
    if value >= 1 << 20 and value % (1 << 20) == 0:
        return f"{value >> 20}m"
    return f"{value >> 10}k" if value >= 1024 and value % 1024 == 0 else str(value)


def rate_unit(results):
    """(factor on `tflops`, name) that suits the fastest of them."""
    fastest = max((r["tflops"] for r in results if r["tflops"]), default=0)
    return (1, "TFLOP/s") if fastest >= 2 else (1e3, "GFLOP/s")


def memory_unit(values):
    largest = max(values, default=0)
    return next(
        u for u in ((1e-9, "GB"), (1e-6, "MB"), (1e-3, "kB")) if largest * u[0] >= 2 or u[1] == "kB"
    )


def share_of_peak(result):
    """`84 % of compute`, `168 % of memory (caches)`, or ''."""
    if result["pct_peak"] is None:
        return ""
    caches = " (caches)" if above_the_probe(result) else ""
    return f"{result['pct_peak']:.0f} % of {result['bound']}{caches}"


def above_the_probe(result):
    """Whether its share is more than the error of two rates: where caches hold operands, that can
    be, since the probe reads main memory."""
    return (result["pct_peak"] or 0) > MOST_SHARE


def peak_text(report, result):
    """The peak that a share is of: `41.3 GB/s of memory reads, 2 threads`, or ''."""
    for name, (flops, bandwidth) in roofs(report).items():
        dtype, where = name.split(" ", 1)
        ours = result["device"] or f"{result['isa']}, {result['threads']} threads"
        if dtype == result["workload"]["dtype"] and where.endswith(str(ours)):
            if result["bound"] == "memory":
                return f"{byte_count(bandwidth)}/s of memory reads, {where}"
            return f"{flop_rate(flops * 1e-12)} of multiply-adds, {name}"
    return ""


def write_text(text, path):
    """Whole or not at all; - is stdout."""
    if path == "-":
        sys.stdout.write(text)
        return
    partial = path + ".partial"
    pathlib.Path(partial).write_text(text)
    os.replace(partial, path)
