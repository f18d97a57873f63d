"""A round of scripts/peers on the processor: one `flashbench bench` of all rows, in which other libraries are workers
(peer_worker.py). They are sampled in turns with flashbench, sample by sample, on the same inputs, and judged alike."""

import json
import shlex
import subprocess
import tempfile

from flashbench_program import Refused
from programs import KERNELS, SCRIPTS


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
        """{row's name: {program: (report, reason)}}"""
        points = {name: as_point(flags, self.peers) for name, flags, _ in rows}
        report = self.bench([point for point, _, _ in points.values()])
        results = iter(report["results"])
        return {name: self.of_row(report, results, *points[name][1:]) for name, _, _ in rows}

    def bench(self, points):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
            json.dump({"zip": points}, config)
            config.flush()
            command = [self.binary, "bench", "--config", config.name, *self.timing, "--json", "-"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if not done.stdout:
            raise Refused(f"flashbench bench ended with code {done.returncode}")
        return json.loads(done.stdout)

    def of_row(self, report, results, kind, commands):
        """The results of a row are the next of the report: flashbench's own, then each worker's."""
        found = {"flashbench": (alone(report, next(results)), None)}
        for command, peer in commands.items():
            result = next(results)
            if result["worker"] != command:
                raise Refused(f"flashbench bench measured {result['worker']!r} where {command!r} was asked for")
            found[peer.name] = (as_library(report, result, peer, kind), None)
        for peer in self.peers:
            found.setdefault(peer.name, (None, f"only where the type is {peer.only}"))
        return found


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
