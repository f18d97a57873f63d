"""Reports for the tests of the pictures: shapes of results that real ones take, without a run."""

import copy
import json
import random

import harness  # puts the scripts' folder on the path

import measuring
import sampling

RATES = {"flash": 200e9, "normal": 80e9}  # FLOP/s


def result(**changes):
    """A verified result of 20 samples about a rate; `changes` go to the workload or the result."""
    work = {
        "b": 1,
        "h": 4,
        "h_kv": 4,
        "q_len": 1024,
        "kv_len": 1024,
        "d": 64,
        "d_v": 64,
        "dtype": "f32",
        "causal": False,
        "mask": "none",
        "mask_keep": None,
        "scale": 0.125,
        "seed": 0,
        "input": "random",
    }
    out = {
        "status": "ok",
        "reason": None,
        "parameters": {},
        "workload": work,
        "pass": "forward",
        "type": "flash",
        "plugin": None,
        "worker": None,
        "guest": None,
        "backend": "cpu",
        "kernel": "cpu_flash",
        "kernel_request": None,
        "isa": "avx512",
        "threads": 2,
        "device": None,
        "cache": "warm",
        "deterministic": False,
        "warnings": [],
        "flop_convention": "4*b*h*q*k*d forward, 10 backward, visible pairs",
        "energy_j": None,
        "speedup_over": None,
        "calibration": None,
        "phases": None,
        "bound": "compute",
        "workspace_bytes": 4096,
    }
    for name, value in changes.items():
        (work if name in work else out)[name] = value
    pairs = work["b"] * work["h"] * work["q_len"] * work["kv_len"]
    flop = 4.0 * pairs * work["d"]
    noise = random.Random(pairs + len(out["type"]))
    seconds = flop / RATES.get(out["type"], 50e9)
    out.update(sampling.summarize([seconds * noise.uniform(0.97, 1.1) for _ in range(20)]))
    out.update(
        flop_dense=flop,
        flop_visible=flop,
        flop_executed=flop,
        iterations_per_sample=1,
        user=0.1,
        system=0.0,
    )
    out["bytes"] = 8 * work["h"] * (work["q_len"] + work["kv_len"]) * work["d"]
    out["pct_peak"] = 100 * flop / out["median"] / 300e9
    out["peak_rss_bytes"] = out["bytes"] + (4 * pairs if out["type"] == "normal" else 65536)
    measuring.add_rates(out)
    out["check"] = {
        "verdict": "pass",
        "level": "full",
        "worst": [
            {
                "tensor": "o",
                "error_over_noise": 0.3,
                "limit": 2.0,
                "index": [0, 0, 1, 2],
                "scope": "element",
                "rms_over_noise": 0.2,
                "got": None,
                "expected": None,
                "hint": None,
            }
        ],
    }
    out["command"] = (
        f"flashbench bench --q_len {work['q_len']} --d {work['d']} --type {out['type']}"
    )
    return out


def without_numbers(one, status, reason):
    """The result of a case that has none."""
    one.update(dict.fromkeys(measuring.MEASURED), status=status, reason=reason)
    one["check"] = {"verdict": "not verified", "level": "none", "worst": []}
    return one


def report(results, name="flashbench"):
    """A report of these results; the machine's words hold what HTML must escape."""
    cpu = {
        "model": "Example <CPU> & co",
        "cores": 2,
        "threads": 2,
        "usable_threads": 2,
        "caches": [],
        "isa": "avx512",
        "governor": None,
        "load": 0.1,
        "cgroup": {"cpus": None, "memory_bytes": None},
    }
    omp = {
        "version": 201511,
        "max_threads": 2,
        "proc_bind": "false",
        "places": None,
        "wait_policy": None,
        "dynamic": False,
    }
    peak = {
        "backend": "cpu",
        "isa": "avx512",
        "threads": 2,
        "dtype": "f32",
        "gflops": 300.0,
        "read_gb_s": None,
    }
    results = copy.deepcopy(results)
    measuring.add_speedups(results)
    return {
        "schema_version": 1,
        "tool": {"name": name, "version": "1.0", "git_sha": None, "dirty": None},
        "argv": ["flashbench", "bench"],
        "started_at": "2026-01-02T03:04:05Z",
        "context": {
            "host": "h",
            "os": "o",
            "compiler": "c",
            "flags": "f",
            "cpu": cpu,
            "omp": omp,
            "gpu": None,
            "memory_bytes": 8000000000,
            "memory_available_bytes": None,
        },
        "peaks": [peak, dict(peak, dtype=None, gflops=None, read_gb_s=30.0)],
        "results": results,
        "summary": {"crossover": None, "noise": 0.02, "between_run_spread": None},
    }


def sweep(**changes):
    """Three lengths, both types; the longest `normal` did not fit."""
    results = [
        result(type=kind, q_len=n, kv_len=n, **changes) for n in (256, 512, 1024) for kind in RATES
    ]
    without_numbers(results[-1], "skipped", "needs 68.7 GB, 21.0 GB available")
    return results


class PictureTest(harness.ScriptTest):
    def files(self, *reports):
        """The reports as files r0.json, r1.json, ..."""
        paths = [self.folder / f"r{i}.json" for i in range(len(reports))]
        for path, value in zip(paths, reports):
            path.write_text(json.dumps(value))
        return paths
