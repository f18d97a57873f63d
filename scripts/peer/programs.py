"""What scripts/peers measures: libraries, of which these are the scripts, and kernels of flashbench."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = {"pytorch:flex_attention": "flash"}  # measured unasked, in rows of their type
SCRIPTS = {name: HERE / f"peer_{name}.py" for name in ("pytorch", "onnxruntime", "openvino")}


class FlashbenchProgram:
    """flashbench with a kernel that is forced, by the name of a peer."""

    def __init__(self, binary, timing, name):
        self.name = name
        kernel = name.partition(":")[2]
        self.binary, self.timing = binary, [*timing, "--kernel", kernel]

    def measure(self, flags):
        """The report of one row, or None and a reason."""
        command = [self.binary, "bench", *flags, *self.timing, "--json", "-"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not done.stdout:
            lines = done.stderr.strip().splitlines()
            return None, lines[-1] if lines else f"exit code {done.returncode}"
        return json.loads(done.stdout), None


def installed(python, name):
    """Whether the peer's script starts there; it says what it misses otherwise."""
    done = subprocess.run([python, str(SCRIPTS[name]), "--help"], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"peers: without {name}: {lines[-1] if lines else done.returncode}", file=sys.stderr)
    return done.returncode == 0
