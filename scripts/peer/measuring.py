"""Measures cases with a library as flashbench measures itself, and makes its report of them."""

import copy
import json
import math
import os
import pathlib
import shlex
import sys

import fields
from flashbench_program import Flashbench, own_work, problem_flags, tensor_bytes
from ratios import mark_flat, time_ratio
from reports import MOST_SHARE
from sampling import Unsupported, noise, sample

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEASURED = (
    "stopped_by times iterations_per_sample min max median mean stddev mad p25 p75 ci95 user "
    "system tflops gb_s pct_peak bound peak_rss_bytes device_bytes energy_j speedup_over "
    "speedup_ci95 phases workspace_bytes flop_executed"
).split()


class Peer:
    """Measures cases with one library."""

    def __init__(self, library, options, folder):
        self.library = library
        self.options = options
        self.folder = pathlib.Path(folder)
        self.flashbench = Flashbench(options.flashbench)
        self.posed = {}  # case's flags -> (inputs' path, report)

    def measure(self, case):
        """A report with the one result of this case."""
        flags = problem_flags(case)
        key = shlex.join(flags)
        if key not in self.posed:
            path = str(self.folder / f"inputs{len(self.posed)}.safetensors")
            self.posed[key] = path, self.flashbench.pose(flags, case["pass"] != "forward", path)
        path, report = self.posed[key][0], copy.deepcopy(self.posed[key][1])
        (result,) = report["results"]
        own_work(result, case["pass"], path)
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
            refuse_unknown(result, self.library)
            asked = dict(
                result["workload"],
                **{"pass": case["pass"], "type": case["type"], "kernel": self.options.kernel},
            )
            job = self.library.prepare(asked, self.library.load(asked, path))
            result["kernel"] = job.kernel
            self.fill(result, job, path)
        except Unsupported as reason:
            result.update(status="skipped", reason=str(reason), refusal=reason.refusal)
        except self.library.no_memory:
            result.update(status="skipped", reason="out of memory", refusal="memory")
        except RuntimeError as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            result.update(dict.fromkeys(MEASURED), status="failed", reason=text)
        return report

    def fill(self, result, job, path):
        peak = job.peak_bytes()
        fields, warnings = sample(job, self.options.limits)
        outputs = str(self.folder / "outputs.safetensors")
        results = job.results()
        if job.gives_lse:
            results["lse"] = job.log_sum_exp()
        self.library.save(results, outputs)
        result["check"], reason = self.flashbench.judge(
            path, outputs, result["workload"], self.options.verify
        )
        if result["check"]["verdict"] != "pass":
            if reason is not None:
                reason = reason.split("; reproduce:")[0] + f"; reproduce: {result['command']}"
                result.update(status="failed", reason=reason)
            return
        result.update(fields, warnings=warnings)
        add_rates(result)
        if peak is not None:
            where = "peak_rss_bytes" if self.options.backend == "cpu" else "device_bytes"
            result[where] = peak + tensor_bytes(path)

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
            withhold_share(result, report["context"]["cpu"]["caches"])


def withhold_share(result, caches):
    """As lib/report's shares.cc: over 105 % of the arithmetic cannot be, over 105 % of the memory's
    speed only where caches explain it."""
    if result["pct_peak"] <= MOST_SHARE:
        return
    levels = sorted((c for c in caches if c["type"] != "instruction"), key=lambda c: c["level"])
    cached = 0
    if levels:
        cached = levels[-1]["bytes"] * math.ceil(result["threads"] / levels[-1]["shared_by"])
    moved = result["bytes"]
    if result["bound"] == "memory" and result["cache"] != "cold":
        if moved <= cached or result["pct_peak"] <= MOST_SHARE * moved / (moved - cached):
            return
    what = "memory's speed" if result["bound"] == "memory" else "arithmetic"
    result["warnings"].append(
        f"no share of the peak: {result['pct_peak']:.0f} % of the {what} was measured, which "
        "cannot be: something else slowed the probe of the peak, or the peak changed meanwhile; "
        "stop other programs, or try --threads 1"
    )
    result["pct_peak"] = None


def refuse_unknown(result, library):
    """Raises Unsupported where a case asks for what the library's script has never heard of."""
    for field in fields.FIELDS:
        asked = field.of == "problem" and not field.is_usual(result)
        if asked and field.name not in library.computes:
            raise Unsupported(f"{library.name} here takes no --{field.flag}")


def add_rates(result):
    """tflops and gb_s of a result that has a median."""
    result["tflops"] = result["flop_visible"] / result["median"] * 1e-12
    result["gb_s"] = result["bytes"] / result["median"] * 1e-9


def add_speedups(results):
    """speedup_over and its interval of every result that has a `normal` twin."""

    def key(result):
        same = fields.key_fields("type", "kernel_request")
        return json.dumps([result.get(name) for name in same], sort_keys=True)

    normal = {key(r): r for r in results if r["type"] == "normal" and r["median"]}
    for result in results:
        result["speedup_over"] = result["speedup_ci95"] = None
        if result["type"] != "normal" and result["median"] and key(result) in normal:
            if ratio := time_ratio(normal[key(result)], result):
                result["speedup_over"] = {"normal": ratio[0]}
                result["speedup_ci95"] = {"normal": list(ratio[1:])}


def join(reports):
    """One report out of several of the same program; the first one's context."""
    whole = copy.deepcopy(reports[0])
    whole["results"] = [result for report in reports for result in report["results"]]
    whole["peaks"] = next((r["peaks"] for r in reports if r["peaks"]), [])
    mark_flat(whole["results"])
    add_speedups(whole["results"])
    known = [r["times"] for r in whole["results"] if r["times"] and len(r["times"]) > 1]
    whole["summary"] = {
        "crossover": None,
        "noise": max(map(noise, known), default=None),
        "between_run_spread": None,
    }
    return whole
