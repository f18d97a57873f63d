"""The rounds of scripts/peers: each measures every row once with every program."""

import copy
import sys

from measuring import add_rates
from ratios import mark_flat


def rounds_together(rows, together, others, rounds, finished_round):
    """The same as run_rounds for libraries beside flashbench on the processor; `others`: programs
    that are measured row by row, after them."""
    names = ["flashbench", *(peer.name for peer in together.peers), *(p.name for p in others)]
    seen = {name: {p: [] for p in names} for name, _, _ in rows}
    reports = {name: [] for name in names}
    for number in range(rounds):
        measured = together.measure(rows)
        for i, (name, flags, _) in enumerate(rows):
            found = measured[name]
            for program in others:
                progress(number, rounds, i, len(rows), f"{name}, {program.name}")
                found[program.name] = program.measure(flags)
            for program, (report, reason) in found.items():
                add_result(seen[name][program], reports[program], report, reason)
        for program in names:
            mark_flat([seen[name][program][-1] for name, _, _ in rows])
        finished_round(number + 1, seen, reports)
    return seen


def add_result(results, reports, report, reason):
    """A row of a program in a round: its result, or why there is none."""
    results.append(
        report["results"][0] if report else {"status": "failed", "reason": reason, "median": None}
    )
    if report:
        reports.append(copy.deepcopy(report))


def run_rounds(rows, programs, rounds, finished_round):
    """{row: {program: [one result or reason a round]}}"""
    seen = {name: {p.name: [] for p in programs} for name, _, _ in rows}
    reports = {p.name: [] for p in programs}
    gave_up = set()  # what a library cannot do, it cannot do in the next round either
    for number in range(rounds):
        for i, (name, flags, _) in enumerate(rows):
            turn = (number + i) % len(programs)
            order = programs[turn:] + programs[:turn]
            for program in order if number % 2 == 0 else order[::-1]:
                if (name, program.name) in gave_up:
                    continue
                progress(number, rounds, i, len(rows), f"{name}, {program.name}")
                report, reason = program.measure(flags)
                add_result(seen[name][program.name], reports[program.name], report, reason)
                result = seen[name][program.name][-1]
                if program.wrong:
                    result.update(program.wrong)
                    add_rates(result)
                elif result["median"] is None:
                    gave_up.add((name, program.name))
        for p in programs:
            mark_flat([seen[name][p.name][-1] for name, _, _ in rows if seen[name][p.name]])
        finished_round(number + 1, seen, reports)
    return seen


def progress(number, rounds, row, rows, what):
    if sys.stderr.isatty():
        print(
            f"\r\033[Kround {number + 1}/{rounds}, row {row + 1}/{rows}: {what}",
            end="",
            file=sys.stderr,
        )
