"""Runs a step in its time: what it says is shown and kept, and it is stopped where it hangs."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 5.0  # to write down what is done, after the interrupt and before the end
KILLED_S = 1.0  # to end when killed, which what hangs in a driver does not
GLANCE_S = 0.05  # how often it is looked at


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


def ended(process, seconds):
    """Whether it ends in that time. It is not reaped: until then nobody else gets its number, by
    which its group is signalled."""
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(GLANCE_S)
    return True


def stop(process):
    """Interrupted as by Ctrl-C, so that it keeps what it has; killed where it does not end."""
    if process.returncode is not None:
        return
    signal_group(process, signal.SIGINT)
    try:
        ended(process, GRACE_S)
    finally:  # what it left behind as well
        signal_group(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILLED_S)


@contextlib.contextmanager
def interrupts_later():
    """SIGINT and SIGTERM of meanwhile come at its end: within Popen they would lose a process that
    has begun."""
    came = []
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


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


def start(words):
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a group of its own, which can be ended as a whole
    )


def run(words, path, seconds):
    """(state, reason, exit code) of a command whose output goes to `path`. State: ok, failed,
    skipped (nothing of it can run here) or stopped."""
    process, reader, last = None, None, []
    try:
        with interrupts_later():
            process = start(words)
        copied = (process.stdout, path, last)
        reader = threading.Thread(target=copy_lines, args=copied, daemon=True)
        reader.start()
        stopped = not ended(process, seconds)
    except OSError as error:
        if process:
            raise
        return "failed", f"{words[0]}: {error.strerror}", None
    finally:
        if process:
            stop(process)
        if reader and reader.is_alive():
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
