"""What the peer scripts share: cases, inputs, sampling, verification and the report.

A peer measures another library as flashbench measures itself. flashbench expands the flags, writes
the inputs, counts the FLOPs and judges the outputs; only the calls belong to the library. A peer is
a subclass of Library; main() below makes a program of it.

Needs flashbench (--flashbench PATH, or $FLASHBENCH, or build/release/flashbench).
"""

import argparse
import copy
import datetime
import hashlib
import json
import os
import pathlib
import shlex
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))

from flashbench_program import (  # noqa: E402
    Flashbench,
    Refused,
    own_work,
    problem_flags,
    tensor_bytes,
)
from reports import flop_rate, write_text  # noqa: E402
from sampling import Unsupported, noise, peak_rss_growth, sample  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMING_DEFAULTS = {"max_noise": 0.01, "min_samples": 10, "min_time": 0.5, "timeout": 20.0}
MEASURED = (
    "times iterations_per_sample min max median mean stddev mad p25 p75 ci95 user system tflops "
    "gb_s pct_peak bound peak_rss_bytes device_bytes energy_j speedup_over phases workspace_bytes "
    "flop_executed"
).split()


class Job:
    """A case ready to run. Subclasses launch it and hand out what it computed."""

    kernel = ""  # what computes it, as the report names it

    def call(self):
        """One launch of what is timed."""
        raise NotImplementedError

    def timed(self, iterations):
        """Seconds that `iterations` launches take, all work finished."""
        start = time.perf_counter()
        for _ in range(iterations):
            self.call()
        return time.perf_counter() - start

    def save(self, path):
        """Writes o and, for a backward pass, dq, dk and dv of the last launch as .safetensors."""
        raise NotImplementedError

    def peak_bytes(self):
        """Resident memory that one launch adds, or None where the system does not tell."""
        return peak_rss_growth(self.call)


class Library:
    """A library to be measured. `kernels` maps the names that --kernel takes to their types."""

    name = version = ""
    git_sha = None
    compiler = flags = ""
    isa = None
    kernels = {}
    backends = ("cpu",)

    def set_up(self, backend, device, threads):
        """Before the first case and whenever these change; the name of the GPU, if it is one."""
        raise NotImplementedError

    def prepare(self, case, path):
        """The Job of a case whose inputs are in the .safetensors file, or raises Unsupported."""
        raise NotImplementedError


# ---- measuring -----------------------------------------------------------------------------------


class Peer:
    """Measures cases with one library."""

    def __init__(self, library, options, folder):
        self.library = library
        self.options = options
        self.folder = pathlib.Path(folder)
        self.flashbench = Flashbench(options.flashbench)
        self.posed = {}  # case's flags -> (inputs' path, report)
        self.wrong = None  # median of the last case, if its outputs were judged wrong
        self.peaks = {}  # inputs' path, pass and kernel -> bytes
        self.verdicts = {}  # digest of inputs' name and outputs -> (check, reason)

    def measure(self, case):
        """A report with the one result of this case."""
        self.wrong = None
        flags = problem_flags(case)
        key = shlex.join(flags)
        if key not in self.posed:
            path = str(self.folder / f"inputs{len(self.posed)}.safetensors")
            self.posed[key] = path, self.flashbench.pose(flags, case["pass"] != "forward", path)
        path, report = self.posed[key][0], copy.deepcopy(self.posed[key][1])
        (result,) = report["results"]
        own_work(result, case["pass"])
        result.update(dict.fromkeys(MEASURED), type=case["type"], backend=self.options.backend)
        result.update({"pass": case["pass"], "parameters": case["parameters"], "warnings": []})
        on_cpu = self.options.backend == "cpu"
        result.update(
            isa=self.library.isa if on_cpu else None,
            threads=self.options.threads if on_cpu else None,
            kernel_request=self.options.kernel,
        )
        result["kernel"], result["device"] = None, self.options.device_name
        result["command"] = self.command(flags, case["type"])
        report["argv"], report["tool"] = sys.argv, self.tool()
        report["context"].update(compiler=self.library.compiler, flags=self.library.flags)
        try:
            job = self.library.prepare(
                dict(
                    result["workload"],
                    **{"pass": case["pass"], "type": case["type"], "kernel": self.options.kernel},
                ),
                path,
            )
            result["kernel"] = job.kernel
            self.fill(result, job, path)
        except Unsupported as reason:
            result.update(status="skipped", reason=str(reason), refusal=reason.refusal)
        except MemoryError:
            result.update(status="skipped", reason="out of memory", refusal="memory")
        except RuntimeError as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            result.update(dict.fromkeys(MEASURED), status="failed", reason=text)
        return report

    def fill(self, result, job, path):
        case = (path, result["pass"], result["kernel"])
        if case not in self.peaks:
            self.peaks[case] = job.peak_bytes()
        peak = self.peaks[case]
        fields, warnings = sample(job, self.options.limits)
        outputs = str(self.folder / "outputs.safetensors")
        job.save(outputs)
        result["check"], reason = self.judge(path, outputs, result["workload"])
        if result["check"]["verdict"] != "pass":
            if reason is not None:
                reason = reason.split("; reproduce:")[0] + f"; reproduce: {result['command']}"
                result.update(status="failed", reason=reason)
                self.wrong = fields["median"]
            return
        result.update(fields, warnings=warnings)
        add_rates(result)
        if peak is not None:
            where = "peak_rss_bytes" if self.options.backend == "cpu" else "device_bytes"
            result[where] = peak + tensor_bytes(path)

    def judge(self, inputs, outputs, workload):
        """Outputs with the very bits of ones that were judged before need no second look."""
        digest = hashlib.blake2b(inputs.encode())
        with open(outputs, "rb") as file:
            for block in iter(lambda: file.read(1 << 22), b""):
                digest.update(block)
        key = digest.digest()
        if key not in self.verdicts:
            self.verdicts[key] = self.flashbench.judge(
                inputs, outputs, workload, self.options.verify
            )
        return self.verdicts[key]

    def tool(self):
        library = self.library
        return {
            "name": library.name,
            "version": library.version,
            "git_sha": library.git_sha,
            "dirty": None,
        }

    def command(self, flags, attention):
        script = os.path.relpath(sys.argv[0], ROOT)
        words = [
            script if not script.startswith("..") else sys.argv[0],
            *flags,
            "--type",
            attention,
        ]
        if self.options.kernel:
            words += ["--kernel", self.options.kernel]
        if self.options.backend != "cpu":
            words += ["--backend", self.options.backend]
        return shlex.join([*words, "--threads", str(self.options.threads)])

    def add_peaks(self, report):
        """Peaks read now, and the share of them that each result reached."""
        if self.options.backend != "cpu":
            return
        every = self.flashbench.peaks(self.library.isa, self.options.threads)
        peaks = [peak for peak in every if not peak.get("device")]
        report["peaks"] = peaks
        rates = {peak["dtype"]: (peak["gflops"] or peak["read_gb_s"]) * 1e9 for peak in peaks}
        for result in report["results"]:
            dtype = result["workload"]["dtype"]
            if result["median"] is None or dtype not in rates or None not in rates:
                continue
            compute, memory = result["flop_visible"] / rates[dtype], result["bytes"] / rates[None]
            result["bound"] = "compute" if compute >= memory else "memory"
            result["pct_peak"] = 100 * max(compute, memory) / result["median"]


def add_rates(result):
    """tflops and gb_s of a result that has a median."""
    result["tflops"] = result["flop_visible"] / result["median"] * 1e-12
    result["gb_s"] = result["bytes"] / result["median"] * 1e-9


def add_speedups(results):
    """speedup_over of every result that has a `normal` twin."""

    def key(result):
        same = ("workload", "pass", "backend", "isa", "threads", "device", "cache")
        return json.dumps([result[name] for name in same], sort_keys=True)

    normal = {key(r): r["median"] for r in results if r["type"] == "normal" and r["median"]}
    for result in results:
        if result["type"] != "normal" and result["median"] and key(result) in normal:
            result["speedup_over"] = {"normal": normal[key(result)] / result["median"]}


def join(reports):
    """One report out of several of the same program; the first one's context."""
    whole = copy.deepcopy(reports[0])
    whole["results"] = [result for report in reports for result in report["results"]]
    whole["peaks"] = next((r["peaks"] for r in reports if r["peaks"]), [])
    add_speedups(whole["results"])
    known = [r["times"] for r in whole["results"] if r["times"] and len(r["times"]) > 1]
    whole["summary"] = {
        "crossover": None,
        "noise": max(map(noise, known), default=None),
        "between_run_spread": None,
    }
    return whole


# ---- the program ---------------------------------------------------------------------------------


def seconds(text):
    """`500ms`, `2s` or `1m` as flashbench writes durations."""
    for unit, size in (("ms", 1e-3), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * size
    raise argparse.ArgumentTypeError(f"{text!r} is no time; write 500ms, 2s or 1m")


def default_binary():
    return os.environ.get("FLASHBENCH", str(ROOT / "build/release/flashbench"))


def make_parser(library, documentation):
    parser = argparse.ArgumentParser(
        description=documentation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="Every other flag is a workload flag of `flashbench bench` and means the same here.",
    )
    parser.add_argument(
        "--type", default="flash,normal", help="flash, normal or both (default: both)"
    )
    parser.add_argument(
        "--kernel", choices=sorted(library.kernels), help="force one kernel; it decides the type"
    )
    parser.add_argument("--backend", default="cpu", choices=library.backends)
    parser.add_argument("--device", type=int, default=0, help="which GPU (default: 0)")
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="(default: the cores that this process may use)",
    )
    parser.add_argument(
        "--max_noise", type=float, default=TIMING_DEFAULTS["max_noise"], metavar="X"
    )
    parser.add_argument(
        "--min_samples", type=int, default=TIMING_DEFAULTS["min_samples"], metavar="N"
    )
    parser.add_argument(
        "--min_time", type=seconds, default=TIMING_DEFAULTS["min_time"], metavar="TIME"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=TIMING_DEFAULTS["timeout"], metavar="TIME"
    )
    parser.add_argument("--verify", default="auto", choices=("auto", "full", "sample", "none"))
    parser.add_argument("--json", metavar="FILE", help="report; - for stdout")
    parser.add_argument(
        "--flashbench", default=default_binary(), metavar="PATH", help="the program"
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="read lines of flags (a JSON list each) and answer each with a report on one line",
    )
    return parser


def complete(options, library):
    """Fills in what follows from the options."""
    options.limits = {name: getattr(options, name) for name in TIMING_DEFAULTS}
    if options.kernel:
        options.type = library.kernels[options.kernel]
    options.device_name = library.set_up(options.backend, options.device, options.threads)
    return options


def measure_all(library, options, flags, folder, announce):
    """The report of every case that the flags name."""
    peer = Peer(library, options, folder)
    reports = []
    for case in peer.flashbench.problems([*flags, "--type", options.type]):
        reports.append(peer.measure(case))
        announce(reports[-1]["results"][0])
    report = join(reports)
    peer.add_peaks(report)
    return report


def result_line(result):
    """A result in one line, for people."""
    w = result["workload"]
    heads = f"{w['h']}" if w["h"] == w["h_kv"] else f"{w['h']}/{w['h_kv']}"
    mask = "+".join(["causal"] * w["causal"] + [w["mask"]] * (w["mask"] != "none")) or "no mask"
    what = (
        f"{result['type']:6} {result['pass']:8} {w['dtype']:4} b{w['b']} h{heads} "
        f"{w['q_len']}x{w['kv_len']} d{w['d']} {mask}"
    )
    if result["median"] is None:
        return f"{what}: {result['status']}: {result['reason'] or result['check']['verdict']}"
    half = (result["ci95"][1] - result["ci95"][0]) / 2
    worst = max((t["error_over_noise"] for t in result["check"]["worst"]), default=0)
    return (
        f"{what}: {1e3 * result['median']:.4g} ms +- {1e3 * half:.2g}, "
        f"{flop_rate(result['tflops'])}, "
        f"{result['kernel']}, pass {worst:.2g}x"
    )


def serve(library, parser, folder):
    """Answers requests until stdin ends. Inputs and verdicts are kept between them. An answer holds
    a report and, when the last case was wrong, its median beside it: never in the report."""
    peer = None
    for line in sys.stdin:
        try:
            options, flags = parser.parse_known_args(json.loads(line))
            complete(options, library)
            peer = peer or Peer(library, options, folder)
            peer.options = options
            cases = peer.flashbench.problems([*flags, "--type", options.type])
            reports = [peer.measure(c) for c in cases]
            answer = {"report": join(reports), "wrong": peer.wrong}
        except Refused as why:
            answer = {"refused": str(why)}
        print(json.dumps(answer, allow_nan=False), flush=True)


def main(library, documentation):
    parser = make_parser(library, documentation)
    options, flags = parser.parse_known_args()
    complete(options, library)
    with tempfile.TemporaryDirectory(prefix="flashbench_peer_") as folder:
        try:
            if options.serve:
                return serve(library, parser, folder)
            to_stderr = options.json == "-"
            out = sys.stderr if to_stderr else sys.stdout
            report = measure_all(
                library,
                options,
                flags,
                folder,
                lambda result: print(result_line(result), file=out, flush=True),
            )
        except Refused as why:
            print(f"{parser.prog}: {why}", file=sys.stderr)
            return 2
    if options.json:
        write_json(report, options.json)
    return exit_code(report["results"])


def exit_code(results):
    """As flashbench: 1 when a case failed, 0 when one is ok, 3 when all were skipped."""
    states = {result["status"] for result in results}
    return 1 if "failed" in states else 0 if "ok" in states else 3


def write_json(value, path):
    write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", path)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
