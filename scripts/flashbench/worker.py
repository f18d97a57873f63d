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
"""

import argparse
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import mmap
import os
import pathlib
import socket
import sys
import time
import traceback
import warnings

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
}
TENSORS = ["key_mask", "alibi_slopes", "bias", "sinks", "k_scale", "v_scale", "cu_seqlens_q", "cu_seqlens_k",
           "block_table"]


class Unsupported(Exception):
    """The problem is not for this function."""


class Numpy:
    """Tensors as NumPy arrays over shared memory."""

    autograd = False

    def __init__(self):
        import numpy

        self.np = numpy
        self.dtypes = {"f32": numpy.float32, "f16": numpy.float16, "u8": numpy.uint8, "i32": numpy.int32}
        try:
            import ml_dtypes
        except ImportError:
            return
        self.dtypes |= {"bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}

    def view(self, memory, tensor):
        if tensor["dtype"] not in self.dtypes:
            raise Unsupported(f"NumPy has no {tensor['dtype']}; install ml_dtypes")
        dtype = self.np.dtype(self.dtypes[tensor["dtype"]])
        strides = [n * dtype.itemsize for n in tensor["strides"]]
        return self.np.ndarray(tensor["shape"], dtype, memory, tensor["offset"], strides)

    def store(self, into, result):
        result = self.np.asarray(result)
        if result.shape != into.shape:
            raise ValueError(f"shape {list(result.shape)} where {list(into.shape)} is wanted")
        into[...] = result


class Torch(Numpy):
    """Tensors as PyTorch's, on the processor, over the same memory."""

    autograd = True

    def __init__(self):
        super().__init__()
        import torch

        # Inputs are mapped without write permission, which is meant.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        self.torch = torch
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
        self.torch_dtypes = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "u8": torch.uint8,
                             "i32": torch.int32, "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}

    def view(self, memory, tensor):
        count = math.prod(tensor["shape"])
        flat = self.torch.frombuffer(memory, dtype=self.torch_dtypes[tensor["dtype"]], count=count,
                                     offset=tensor["offset"])
        return flat.as_strided(tensor["shape"], tensor["strides"])

    def store(self, into, result):
        if tuple(result.shape) != tuple(into.shape):
            raise ValueError(f"shape {list(result.shape)} where {list(into.shape)} is wanted")
        into.copy_(result.detach())


class Shared:
    """The tensors of a plan, in memory that the program maps, too."""

    def __init__(self, arrays, message, descriptors):
        self.arrays = arrays
        sizes = (message["inputs"]["bytes"], message["outputs"]["bytes"])
        accesses = (mmap.ACCESS_READ, mmap.ACCESS_WRITE)
        maps = [mmap.mmap(fd, size, access=access) for fd, size, access in zip(descriptors, sizes, accesses)]
        for fd in descriptors:
            os.close(fd)
        self.given, self.wanted = (
            {t["name"]: arrays.view(memory, t) for t in message[side]["tensors"]}
            for side, memory in zip(("inputs", "outputs"), maps)
        )

    def store(self, who, results):
        """Results by name; those that are None are not there."""
        for name, result in results.items():
            if result is None:
                continue
            try:
                self.arrays.store(self.wanted[name], result)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{who}: {name}: {error}") from None


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
        self.shared = Shared(kernel.arrays, message, descriptors)
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
        return q, k, v, o, lse

    def gradients(self, kept):
        q, k, v, o, lse = kept
        do = self.shared.given["do"]
        if self.kernel.backward is not None:
            return self.kernel.backward(q, k, v, o, lse, do, **self.words)
        return self.kernel.arrays.torch.autograd.grad(o, (q, k, v), do, retain_graph=True)

    def prepare(self):
        """The untimed forward of a backward pass."""
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
        self.shared.store(self.kernel.name, results)
        return {} if kept is None else {"writes_lse": kept[4] is not None}


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
        if op == "drop":
            self.plans.pop(message["plan"], None)
            return {}
        raise ValueError(f"an unknown op {op!r}")

    def ask(self, problem):
        self.kernel.refuse(problem)
        return {"prepares": True, "layout": self.kernel.layout_of(problem)}

    def run(self, plans, calls):
        start = time.perf_counter()
        for i in range(calls):
            plans[i % len(plans)].call()
        reply = {"seconds": time.perf_counter() - start}
        for plan in plans[:calls]:
            reply |= plan.finish()
        return reply


def last_line(error):
    """'ValueError: no (mine.py:12)'."""
    where = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in where if frame.filename != __file__] or where
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
        except (Unsupported, NotImplementedError) as error:
            reply = {"status": "unsupported", "why": str(error) or last_line(error)}
        except MemoryError as error:
            reply = {"status": "no_memory", "why": last_line(error)}
        except Exception as error:  # of the user's function, whatever it is
            traceback.print_exc()
            reply = {"status": "failed", "why": last_line(error)}
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
    hello["kernels"] = [{"name": kernel.name, "description": description, "build": build}]
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
