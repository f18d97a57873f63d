"""What reports of one program, and kernels of guests, are called beside one another."""

import pathlib


def name_apart(reports):
    """Names reports of one program by the first of these that no two of them share."""
    ways = (
        lambda r: r.build(),
        lambda r: r.machine(),
        lambda r: f"{r.build()}, {r.machine()}",
        lambda r: f"{r.program}, {r.data['started_at'][:16].replace('T', ' ')}",
        lambda r: r.source,
        lambda r: r.path,
    )
    for way in ways:
        names = [way(report) for report in reports]
        if len(set(names)) == len(names):
            break
    for report, name in zip(reports, names):
        report.name = name
        for result in report.results:
            result["program"] = name


def name_guests(results):
    """Gives those of plug-ins and workers a `guest_name`: that of the kernel, and where kernels of
    two guests have the same one, the guest's before it."""
    guests = {}
    for result in results:
        if guest := result.get("plugin") or result.get("worker"):
            guests.setdefault(result["kernel"], set()).add(guest)
    for kernel, owners in guests.items():
        stems = {guest: pathlib.PurePath(guest.split()[-1].split(":")[0]).stem for guest in owners}
        clear = len(set(stems.values())) == len(owners)
        for result in results:
            guest = result.get("plugin") or result.get("worker")
            if guest and result["kernel"] == kernel:
                owner = "" if len(owners) == 1 else f"{stems[guest] if clear else guest}: "
                result["guest_name"] = f"{owner}{kernel or guest}"
