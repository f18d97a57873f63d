"""Serves a Python function as an attention kernel to flashbench.

    flashbench check --worker 'python3 -m flashbench.worker mine:attention'
    flashbench bench --worker 'python3 -m flashbench.worker ./mine.py:attention'

The function is called as `attention(q, k, v, *, causal, scale, ...)` with q [b, h, q_len, d] and k, v
[b, h_kv, kv_len, d], and returns o, or (o, lse) with the natural log-sum-exp [b, h, q_len]. Whatever else a problem uses
is a keyword of its own (key_mask, window, softcap, alibi_slopes, bias, sinks, k_scale, v_scale, cu_seqlens_q,
cu_seqlens_k, block_table, page_size): a function without that keyword is not asked such problems. NotImplementedError
skips a problem, with its text.

Gradients: a function `attention_backward(q, k, v, o, lse, do, *, causal, scale, ...)` beside it returns (dq, dk, dv); with
PyTorch autograd is used where there is none. Tensors are NumPy arrays, or PyTorch's where the module imports torch
(`--as numpy|torch` says it). They must not be written. Their memory is that of [b, h, rows, d]; with
`attention.layout = "bshd"` behind the function, that of [b, rows, h, d], of which the same shape is a view.
`attention.rounds = ["gradients_of_query_heads"]` says that dK and dV of each query head are rounded before a group's are
added, as by PyTorch's enable_gqa.

With `--backend cuda` PyTorch's tensors are on that GPU, which is the current device, and its events tell the time. What
the function queues on the current stream is timed and waited for.
"""

import argparse
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import pathlib
import socket
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
if not __package__:  # started as a file
    sys.path[:] = [str(HERE.parent), *(folder for folder in sys.path if folder != str(HERE))]

from flashbench.arrays import Failed, Numpy, Torch, Unsupported  # noqa: E402
from flashbench.shared import operands  # noqa: E402

PROTOCOL = 1
SOCKET = "FLASHBENCH_WORKER_SOCKET"
MOST_BYTES = 1 << 20

# What a feature needs, as keywords of the function.
KEYWORDS = {
    "causal": ["causal"],
    "key_mask": ["key_mask"],
    "window": ["window"],
    "softcap": ["softcap"],
    "alibi": ["alibi_slopes"],
    "bias": ["bias"],
    "sinks": ["sinks"],
    "value_dim": [],
    "kv_dtype": ["k_scale", "v_scale"],
    "ragged": ["cu_seqlens_q", "cu_seqlens_k"],
    "pages": ["block_table", "page_size"],
    "deterministic": ["deterministic"],
    "gpu": [],
}
TENSORS = ["key_mask", "alibi_slopes", "bias", "sinks", "k_scale", "v_scale", "cu_seqlens_q", "cu_seqlens_k",
           "block_table"]


def load(name):
    """'package.module:function' or './file.py:function': the module, the function, and its backward or None."""
    module_name, _, function = name.rpartition(":")
    if not module_name:
        raise SystemExit(f"say MODULE:FUNCTION or FILE.py:FUNCTION, not {name!r}")
    if module_name.endswith(".py"):
        sys.path.insert(0, str(pathlib.Path(module_name).resolve().parent))
        spec = importlib.util.spec_from_file_location(pathlib.Path(module_name).stem, module_name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(module_name)
    return module, getattr(module, function), getattr(module, function + "_backward", None)


class Kernel:
    """The function of the user, and what it can be asked."""

    def __init__(self, function, backward, arrays):
        self.function, self.backward, self.arrays = function, backward, arrays
        self.name = getattr(function, "__name__", type(function).__name__)
        self.layout = getattr(function, "layout", "bhsd")
        self.rounds = getattr(function, "rounds", [])
        parameters = inspect.signature(function).parameters
        self.takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self.takes = set(parameters)

    def refuse(self, problem):
        """Throws where the function cannot be asked."""
        if problem["pass"] != "forward" and self.backward is None and not self.arrays.autograd:
            raise Unsupported(f"there is no {self.name}_backward, and NumPy has no gradients")
        if problem["pass"] != "forward" and "sinks" in problem["features"]:
            raise Unsupported("workers of this version cannot return the gradient of sinks")
        for feature in problem["features"]:
            if feature not in KEYWORDS:
                raise Unsupported(f"workers of this version know nothing of {feature}")
            for keyword in KEYWORDS[feature]:
                if keyword not in self.takes and not self.takes_all:
                    raise Unsupported(f"{self.name}() takes no {keyword}")
        if "gpu" in problem["features"]:
            self.arrays.require(problem["device"])

    def keywords(self, problem, tensors):
        words = {"causal": "causal" in problem["features"], "scale": problem["scale"]}
        if "window" in problem["features"]:
            words["window"] = (problem["window_left"], problem["window_right"])
        if "softcap" in problem["features"]:
            words["softcap"] = problem["softcap"]
        if "pages" in problem["features"]:
            words["page_size"] = problem["page_size"]
        if "deterministic" in problem["features"]:
            words["deterministic"] = True
        words |= {name: tensors[name] for name in TENSORS if name in tensors}
        return {name: value for name, value in words.items() if self.takes_all or name in self.takes}

    def layout_of(self, problem):
        return self.layout

    def plan(self, message, descriptors):
        return Plan(self, message, descriptors)


class Plan:
    """A problem over its tensors."""

    def __init__(self, kernel, message, descriptors):
        self.kernel, self.problem = kernel, message["problem"]
        self.shared = operands(kernel.arrays, message, descriptors)
        self.words = kernel.keywords(self.problem, self.shared.given)
        self.q, self.k, self.v = (self.shared.given.get(name) for name in "qkv")
        self.kept = None  # of a backward pass: what its forward gave
        self.gave = None, None  # what the last call gave: of the forward, gradients

    def forward(self):
        q, k, v = self.q, self.k, self.v
        if self.problem["pass"] != "forward" and self.kernel.backward is None:
            q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
        result = self.kernel.function(q, k, v, **self.words)
        o, lse = result if isinstance(result, tuple) else (result, None)
        if o is None:
            raise Failed(f"{self.kernel.name}() returned no o")
        return q, k, v, o, lse

    def gradients(self, kept):
        q, k, v, o, lse = kept
        do = self.shared.given["do"]
        if self.kernel.backward is not None:
            return self.kernel.backward(q, k, v, o, lse, do, **self.words)
        return self.kernel.arrays.torch.autograd.grad(o, (q, k, v), do, retain_graph=True)

    def prepare(self):
        """The untimed forward of a backward pass."""
        self.kept = None  # its memory is free for the next
        self.kept = self.forward()
        self.gave = self.kept, None
        return self.finish()

    def call(self):
        """What is timed."""
        if self.problem["pass"] == "backward":
            self.gave = None, self.gradients(self.kept)
            return
        kept = self.forward()
        self.gave = kept, None if self.problem["pass"] == "forward" else self.gradients(kept)

    def finish(self):
        """Stores what the last call gave; what is to be told of it."""
        kept, gradients = self.gave
        self.gave = None, None
        results = {} if kept is None else {"o": kept[3], "lse": kept[4]}
        if gradients is not None:
            results |= dict(zip(("dq", "dk", "dv"), gradients))
        self.shared.store(results)
        return {} if kept is None else {"writes_lse": kept[4] is not None}

    def collect(self):
        """On a GPU: the results come to the program's memory."""
        self.shared.collect()


class Worker:
    """Answers what the program asks."""

    def __init__(self, kernel):
        self.kernel, self.plans = kernel, {}

    def answer(self, message, descriptors):
        op = message["op"]
        if op == "ask":
            return self.ask(message["problem"])
        if op == "plan":
            try:
                reply = self.ask(message["problem"])
            except BaseException:
                for fd in descriptors:
                    os.close(fd)
                raise
            self.plans[message["plan"]] = self.kernel.plan(message, descriptors)
            return reply
        if op == "prepare":
            return self.plans[message["plan"]].prepare()
        if op == "run":
            return self.run([self.plans[n] for n in message["plans"]], message["calls"])
        if op == "give":
            self.plans[message["plan"]].shared.give(message["inputs"], message["outputs"])
            return {}
        if op == "collect":
            self.plans[message["plan"]].collect()
            return {}
        if op == "drop":
            self.plans.pop(message["plan"], None)
            self.kernel.arrays.release()
            return {}
        raise ValueError(f"an unknown op {op!r}")

    def ask(self, problem):
        self.kernel.refuse(problem)
        return {"prepares": True, "layout": self.kernel.layout_of(problem)}

    def run(self, plans, calls):
        def work():
            for i in range(calls):
                plans[i % len(plans)].call()

        reply = {"seconds": plans[0].shared.timed(work)}
        for plan in plans[:calls]:
            reply |= plan.finish()
        return reply

    def failure(self, error):
        """What is answered instead."""
        if isinstance(error, (Unsupported, NotImplementedError)):
            return {"status": "unsupported", "why": str(error) or last_line(error)}
        if isinstance(error, self.kernel.arrays.no_memory):
            return {"status": "no_memory", "why": last_line(error)}
        if isinstance(error, Failed):
            return {"status": "failed", "why": str(error)}
        traceback.print_exc()  # of the user's function, whatever it is
        return {"status": "device_error" if self.kernel.arrays.lost() else "failed", "why": last_line(error)}


def last_line(error):
    """'ValueError: no (mine.py:12)'."""
    where = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in where if pathlib.Path(frame.filename).parent != HERE] or where
    place = f" ({pathlib.Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{place}"


def serve(connection, kernel):
    worker = Worker(kernel)
    while True:
        packet, descriptors, _, _ = socket.recv_fds(connection, MOST_BYTES, 2)
        if not packet:
            return
        try:
            reply = {"status": "ok"} | worker.answer(json.loads(packet), descriptors)
        except Exception as error:
            reply = worker.failure(error)
        if reply["status"] == "no_memory":
            kernel.arrays.release()  # now that nobody holds what there was
        connection.send(json.dumps(reply).encode())


def build_of(module, arrays):
    """What a report tells it by: versions, and the digest of the module's file."""
    build = f"Python {sys.version.split()[0]}, {arrays} {sys.modules[arrays].__version__}"
    file = getattr(module, "__file__", None)
    if file is None:
        return build
    digest = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
    return f"{build}, {pathlib.Path(file).name} {digest[:12]}"


def run(who, make):
    """The life of a worker; `make` gives (kernel, description, build). Its exit code."""
    connection = socket.socket(fileno=int(os.environ[SOCKET]))
    hello = {"protocol": PROTOCOL}
    try:
        kernel, description, build = make()
    except (Exception, SystemExit) as error:
        hello["error"] = f"worker of {who}: {last_line(error)}"
        connection.send(json.dumps(hello).encode())
        return 2
    hello["kernels"] = [{"name": kernel.name, "description": description, "build": build, "rounds": kernel.rounds}]
    connection.send(json.dumps(hello).encode())
    serve(connection, kernel)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="python3 -m flashbench.worker", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("function", help="MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("--as", dest="arrays", choices=["numpy", "torch"], help="what tensors are")
    asked = parser.parse_args()
    if SOCKET not in os.environ:
        parser.error("it is started by flashbench: flashbench check --worker 'python3 -m flashbench.worker ...'")

    def make():
        module, function, backward = load(asked.function)
        chosen = asked.arrays or ("torch" if "torch" in sys.modules else "numpy")
        kernel = Kernel(function, backward, Torch() if chosen == "torch" else Numpy())
        description = (inspect.getdoc(function) or "").partition("\n")[0]
        return kernel, description, build_of(module, chosen)

    return run(asked.function, make)


if __name__ == "__main__":
    sys.exit(main())
