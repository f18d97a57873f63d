"""Times as the flags of flashbench have them. Standard library only."""

import argparse


def seconds(text):
    """`500ms`, `2s` or `1m` as flashbench writes durations."""
    for unit, size in (("ms", 1e-3), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            try:
                return float(text[: -len(unit)]) * size
            except ValueError:
                break
    raise argparse.ArgumentTypeError(f"{text!r} is no time; write 500ms, 2s or 1m")
