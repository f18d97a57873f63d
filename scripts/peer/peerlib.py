"""What the peer scripts share: cases, inputs, sampling, verification and the report.

A peer measures another library as flashbench measures itself. flashbench expands the flags, writes
the inputs, counts the FLOPs and judges the outputs; only the calls belong to the library. A peer is
a subclass of Library; main() below makes a program of it.

Needs flashbench (--flashbench PATH, or $FLASHBENCH, or build/release/flashbench).
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))

import peer_worker  # noqa: E402
from durations import seconds  # noqa: E402
from fields import case_text  # noqa: E402
from flashbench_program import Refused  # noqa: E402
from measuring import ROOT, Peer, join  # noqa: E402
from reports import flop_rate, write_text  # noqa: E402

from flashbench import worker  # noqa: E402

TIMING_DEFAULTS = {"max_noise": 0.01, "min_samples": 10, "min_time": 0.5, "timeout": 20.0}


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
    what = case_text(result)
    if result["median"] is None:
        return f"{what}: {result['status']}: {result['reason'] or result['check']['verdict']}"
    half = (result["ci95"][1] - result["ci95"][0]) / 2
    worst = max((t["error_over_noise"] for t in result["check"]["worst"]), default=0)
    return (
        f"{what}: {1e3 * result['median']:.4g} ms +- {1e3 * half:.2g}, "
        f"{flop_rate(result['tflops'])}, "
        f"{result['kernel']}, pass {worst:.2g}x"
    )


def ignored(parser, options, flags):
    """What a worker is given beside a type or a kernel, in words: the case says everything else."""
    given = [
        f"--{name}"
        for name, value in vars(options).items()
        if name not in ("type", "kernel") and value != parser.get_default(name)
    ]
    return [*given, *flags]


def main(library, documentation):
    parser = make_parser(library, documentation)
    options, flags = parser.parse_known_args()
    if worker.SOCKET in os.environ:
        return peer_worker.serve(library, options, ignored(parser, options, flags))
    complete(options, library)
    with tempfile.TemporaryDirectory(prefix="flashbench_peer_") as folder:
        try:
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
