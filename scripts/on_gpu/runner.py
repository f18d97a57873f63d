"""Runs a step in its time: what it says is shown and kept, and it is stopped where it hangs."""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 5.0  # to write down what is done, after the interrupt and before the end


def limit_s(seconds, left_s):
    """When a step is stopped: later than its share, since a slow step is worth more than a later
    one, and never later than what is left for all of them."""
    return max(min(1.5 * seconds + 10, left_s - GRACE_S), 1.0)


def signal_group(process, number):
    """All that the step has started, too."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def stop(process):
    """Interrupted as by Ctrl-C, so that it keeps what it has; killed where it does not end."""
    signal_group(process, signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # what it left behind as well
        signal_group(process, signal.SIGKILL)
        process.wait()


def copy_lines(stream, path, seen):
    """To the terminal and to the file; `seen` has the last line that says something."""
    with stream, open(path, "w", encoding="utf-8") as file:
        for line in stream:
            file.write(line)
            file.flush()
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.strip():
                seen[:] = [line.strip()]


def run(words, path, seconds):
    """(state, reason, exit code) of a command whose output goes to `path`. State: ok, failed,
    skipped (nothing of it can run here) or stopped."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a group of its own, which can be ended as a whole
        )
    except OSError as error:
        return "failed", f"{words[0]}: {error.strerror}", None
    last = []
    reader = threading.Thread(target=copy_lines, args=(process.stdout, path, last), daemon=True)
    reader.start()
    try:
        process.wait(seconds)
        stopped = False
    except subprocess.TimeoutExpired:
        stopped = True
    finally:
        stop(process)
        reader.join(GRACE_S)
    code = process.returncode
    if stopped:
        return "stopped", f"did not end within {seconds:.0f} s", code
    if code == 0:
        return "ok", "", code
    words = last[0] if last else "it said nothing"
    return ("skipped" if code == 3 else "failed"), f"exit code {code}: {words}", code


class Watch:
    """How much of a time is left."""

    def __init__(self, seconds):
        self.began = time.monotonic()
        self.seconds = seconds

    def spent_s(self):
        return time.monotonic() - self.began

    def left_s(self):
        return self.seconds - self.spent_s()
