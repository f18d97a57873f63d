"""A round of scripts/peers: one `flashbench bench` of all rows, in which other libraries are workers (peer_worker.py).
They are sampled in turns with flashbench, sample by sample, on the same inputs, and judged alike."""

import json
import pathlib
import shlex
import subprocess
import tempfile

from flashbench_program import Refused
from programs import KERNELS, SCRIPTS

INTERRUPTED = 130  # its exit code
FAREWELL_S = 3.0  # for it to end after Ctrl-C; scripts/gpu kills everybody after 5


class Peer:
    """A library, or one kernel of it: LIBRARY:KERNEL."""

    def __init__(self, name, python):
        self.name = name
        self.library, _, self.kernel = name.partition(":")
        self.only = None  # the type of rows that it stands in; None: all
        self.start = [python, str(SCRIPTS[self.library])]

    def command(self, kind):
        """What computes attention of a type; a kernel decides that itself."""
        return shlex.join([*self.start, *(["--kernel", self.kernel] if self.kernel else ["--type", kind])])


def peers_of(names, python, asked):
    """`asked`: by the user, who has his reasons for a kernel in rows of another type."""
    peers = [Peer(name, python) for name in names]
    for peer in peers:
        peer.only = None if asked else KERNELS.get(peer.name)
    return peers


def as_point(flags, peers):
    """The flags of a row as a point of a config, with what stands beside flashbench there."""
    point, name = {}, None
    for word in flags:
        if word.startswith("--"):
            name = word[2:]
            point[name] = True
        else:
            point[name] = word
    kind = point["type"]
    commands = {peer.command(kind): peer for peer in peers if peer.only in (None, kind)}
    if commands:
        point |= {"type": f"{kind},worker", "worker": list(commands)}
    return point, kind, commands


class Round:
    """What a bench of all rows gives: of each row and program a report with one result."""

    def __init__(self, binary, timing, peers):
        self.binary, self.timing, self.peers = binary, timing, peers

    def measure(self, rows):
        """({row's name: {program: (report, reason)}}, whether it was interrupted: then of the rows that were done)"""
        of_kinds = {}  # a bench each: it measures no case twice, and a kernel is the same one in rows of both types
        for name, flags, _ in rows:
            point = as_point(flags, self.peers)
            of_kinds.setdefault(point[1], {})[name] = point
        measured, interrupted = {}, False
        for points in of_kinds.values():
            if not interrupted:
                found, interrupted = self.measure_alike(points)
                measured |= found
        return measured, interrupted

    def measure_alike(self, points):
        """Rows of one type, {name: what as_point() gives}; the same of these."""
        report, interrupted = self.bench([point for point, _, _ in points.values()])
        results = [r for r in report["results"] if not interrupted or r["status"] != "interrupted"]
        measured = {}
        for name, (_, kind, commands) in points.items():
            own, results = results[: 1 + len(commands)], results[1 + len(commands) :]
            if interrupted and len(own) < 1 + len(commands):
                break
            measured[name] = self.of_row(report, own, kind, commands)
        return measured, interrupted

    def bench(self, points):
        """(its report, whether it was interrupted)"""
        with tempfile.TemporaryDirectory(prefix="flashbench_peers_") as folder:
            config, path, partial = (
                pathlib.Path(folder, name) for name in ("rows.json", "report.json", "report.json.partial")
            )
            config.write_text(json.dumps({"zip": points}))
            command = [self.binary, "bench", "--config", str(config), *self.timing, "--json", str(path)]
            code, interrupted = run_through(command)
            written = partial if interrupted and not path.exists() else path
            if written.exists():
                return json.loads(written.read_text()), interrupted
        if interrupted:
            return {"results": []}, True
        raise Refused(f"flashbench bench ended with code {code}")

    def of_row(self, report, results, kind, commands):
        """`results`: flashbench's own, then each worker's."""
        workers = [result["worker"] for result in results]
        if workers != [None, *commands]:
            raise Refused(f"flashbench bench measured {workers} where {[None, *commands]} was asked for")
        found = {"flashbench": (alone(report, results[0]), None)}
        for peer, result in zip(commands.values(), results[1:]):
            found[peer.name] = (as_library(report, result, peer, kind), None)
        for peer in self.peers:
            found.setdefault(peer.name, (None, f"only where the type is {peer.only}"))
        return found


def run_through(command):
    """(exit code, whether it was interrupted). Ctrl-C is for the command, too, which ends with what it has, unless it
    judges something for long."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait(), True
    return code, code == INTERRUPTED


def alone(report, result):
    return dict(report, results=[result])


def as_library(report, result, peer, kind):
    """The report of a worker as one of the library: its type is that of the row."""
    guest = result["guest"] or {"build": ""}
    version = guest["build"].partition(",")[0].removeprefix(peer.library).strip()
    tool = {"name": peer.library, "version": version or "unknown", "git_sha": None, "dirty": None}
    kernel = peer.kernel or None
    result = dict(result, type=kind, kernel=kernel or result["kernel"], kernel_request=kernel, worker=None, guest=None)
    return dict(report, tool=tool, results=[result])
