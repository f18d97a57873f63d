"""The rounds of scripts/peers: each measures every row once with every program."""

import copy

from ratios import mark_flat


def measure_rounds(rows, together, others, rounds, finished_round):
    """{row: {program: [one result or reason a round]}}. `together`: a bench of all rows and
    libraries (together.Round); `others`: programs that are measured row by row, after it. Of a
    round that is interrupted the rows that are done count; KeyboardInterrupt goes on after it."""
    names = ["flashbench", *(peer.name for peer in together.peers), *(p.name for p in others)]
    seen = {name: {p: [] for p in names} for name, _, _ in rows}
    reports = {name: [] for name in names}
    for number in range(rounds):
        measured, interrupted = together.measure(rows)
        if not interrupted:
            interrupted = add_others(rows, measured, others)
        for name, found in measured.items():
            for program, (report, reason) in found.items():
                add_result(seen[name][program], reports[program], report, reason)
        for program in names:
            mark_flat([seen[row][program][-1] for row in seen if seen[row][program]])
        if measured:
            finished_round(number + 1, seen, reports)
        if interrupted:
            raise KeyboardInterrupt
    return seen


def add_others(rows, measured, others):
    """Whether it was interrupted."""
    try:
        for name, flags, _ in rows:
            for program in others:
                measured[name][program.name] = program.measure(flags)
    except KeyboardInterrupt:
        return True
    return False


def add_result(results, reports, report, reason):
    """A row of a program in a round: its result, or why there is none."""
    results.append(
        report["results"][0] if report else {"status": "failed", "reason": reason, "median": None}
    )
    if report:
        reports.append(copy.deepcopy(report))
