"""What a command answers, in a time. Standard library only."""

import subprocess

from refused import Refused


class NoAnswer(Refused):
    """It did not end in its time."""


def answer(words, timeout_s=None):
    """(exit code, stdout, stderr). What hangs in a driver may not end when it is killed, either: it
    is not waited for."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{' '.join(words[:2])}: no answer within {timeout_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            process.stdout.close()
            process.stderr.close()
    return process.returncode, out, err
