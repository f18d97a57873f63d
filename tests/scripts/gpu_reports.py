"""Reports of a GPU for the tests of scripts/gpu: kernels with known times, clocks and watts."""

import pictures
import sampling

GPU = {
    "model": "Example GPU",
    "compute_capability": "9.0",
    "multiprocessors": 132,
    "memory_bytes": 150000000000,
    "driver": "13.0",
    "runtime": "13.0",
    "driver_version": "580.1",
    "max_sm_clock_hz": 1.98e9,
    "power_limit_w": 700.0,
    "nvml_missing": None,
}
POWER = (
    "throttled: the GPU's power limit held its clocks down in 5 of 9 readings, SM clock 1.60 to "
    "1.70 GHz; fix clocks that it sustains (nvidia-smi -lgc)"
)


def kernel(name, times, **changes):
    """A verified result of a kernel on the GPU, with these samples."""
    shape = {"b": 4, "h": 16, "q_len": 4096, "kv_len": 4096, "d": 128, "dtype": "bf16"}
    shape |= {"h_kv": 16, "d_v": 128}
    out = pictures.result(**{**shape, "backend": "cuda", "device": "0", "kernel": name, **changes})
    out.update(kernel_request=name, isa=None, threads=None, marked=0, **sampling.summarize(times))
    out["tflops"] = out["flop_visible"] / out["median"] * 1e-12
    out["gb_s"] = out["bytes"] / out["median"] * 1e-9
    return out


def report(*results):
    whole = pictures.report(list(results))
    whole["context"]["gpu"] = dict(GPU)
    peak = {"backend": "cuda", "isa": "wgmma", "threads": 256, "device": "0", "read_gb_s": None}
    memory = dict(peak, dtype=None, gflops=None, read_gb_s=4200.0)
    whole["peaks"] = [dict(peak, dtype="bf16", gflops=960e3), memory]
    return whole


def peers(name, **medians):
    """What scripts/peers writes of one row: {program: [median of each round]}."""
    import peers_table  # after harness has put its folder on the path

    seen = {
        program.replace("__", ":"): [kernel(program, [t] * 8) for t in times]
        for program, times in medians.items()
    }
    return peers_table.as_json([(name, [], None)], {name: seen}, 2, "", {"flashbench": []})
