"""The programs that scripts/peers measures in turns: flashbench, and libraries behind a server."""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = {"pytorch:flex_attention": "flash"}  # measured unasked, in rows of their type
SCRIPTS = {name: HERE / f"peer_{name}.py" for name in ("pytorch", "onnxruntime", "openvino")}


class Program:
    """A program under measurement; `measure` gives the report of one row, or None and a reason.
    `wrong` has the median, its interval and the samples of that row if it was judged wrong."""

    wrong = None

    def __init__(self, name):
        self.name = name

    def measure(self, flags):
        raise NotImplementedError

    def close(self):
        pass


class FlashbenchProgram(Program):
    """flashbench with the kernel that it chooses; by another name, with the one that is forced."""

    def __init__(self, binary, timing, name="flashbench"):
        super().__init__(name)
        self.binary, self.timing = binary, timing

    def measure(self, flags):
        command = [self.binary, "bench", *flags, *self.timing, "--json", "-"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not done.stdout:
            lines = done.stderr.strip().splitlines()
            return None, lines[-1] if lines else f"exit code {done.returncode}"
        return json.loads(done.stdout), None


class Server:
    """A peer script that keeps its library loaded and answers on its standard output."""

    def __init__(self, name, python, binary):
        self.name = name
        self.command = [python, str(SCRIPTS[name]), "--serve", "--flashbench", binary]
        self.process = self.errors = None

    def start(self):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, flags):
        """Its answer: {"report", "wrong"}, or {"refused"} with its last words if it ended."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        try:
            self.process.stdin.write(json.dumps(flags) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"refused": self.last_words()}

    def last_words(self):
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"{self.name} ended with code {code}"

    def close(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Served(Program):
    """A library, or one kernel of it: LIBRARY:KERNEL. Kernels of a library share its server.
    `only`: the type of rows that it stands in; None: a kernel decides the type."""

    def __init__(self, name, server, flags, only=None):
        super().__init__(name)
        self.only = only
        self.server = server
        kernel = name.partition(":")[2]
        self.flags = [*flags, *(["--kernel", kernel] if kernel else [])]

    def measure(self, flags):
        if self.only and flags[flags.index("--type") + 1] != self.only:
            return None, f"only where the type is {self.only}"
        answer = self.server.ask([*flags, *self.flags])
        self.wrong = answer.get("wrong")
        return answer.get("report"), answer.get("refused")

    def close(self):
        self.server.close()


def installed(python, name):
    """Whether the peer's script starts there; it says what it misses otherwise."""
    done = subprocess.run([python, str(SCRIPTS[name]), "--help"], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"peers: without {name}: {lines[-1] if lines else done.returncode}", file=sys.stderr)
    return done.returncode == 0
