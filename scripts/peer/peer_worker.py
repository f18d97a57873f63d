"""A library as a worker of flashbench (`bench --worker 'python scripts/peer/peer_pytorch.py'`): the problem of a
message as the case that the libraries' scripts know, over tensors in shared memory.

Between calls the numbers in q, k, v and do change where they lie (the case says `in_place`), so that a library has to
read them there. What it could compute on a copy alone, made before, is Unsupported: nobody would time that.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sampling import TooLarge  # noqa: E402

from flashbench import worker  # noqa: E402

# A feature of a problem: the field of a case that asks for it.
FIELDS = {
    "causal": "causal",
    "key_mask": "mask",
    "window": "window_left",
    "softcap": "softcap",
    "alibi": "alibi",
    "bias": "bias",
    "bias_gradient": "bias_grad",
    "sinks": "sinks",
    "value_dim": "d_v",
    "kv_dtype": "kv_dtype",
    "values_in_keys": "v_in_k",
    "ragged": "ragged",
    "pages": "page_size",
    "gpu": "gpu",
}
# Tensors by another name than in files.
NAMES = {"key_mask": "mask"}


def case_of(problem, kind, kernel):
    """What Library.prepare takes. What a case says in words is told as "none" or "given"."""
    has = set(problem["features"])
    same = "b h h_kv q_len kv_len d d_v dtype kv_dtype pass scale softcap page_size".split()
    case = {name: problem[name] for name in same}
    for name in ("window_left", "window_right"):
        case[name] = None if problem[name] < 0 else problem[name]
    words = {"key_mask": "mask", "alibi": "alibi", "bias": "bias", "sinks": "sinks", "ragged": "ragged"}
    case |= {field: "given" if feature in has else "none" for feature, field in words.items()}
    return case | {
        "causal": "causal" in has,
        "bias_grad": "bias_gradient" in has,
        "v_in_k": "values_in_keys" in has,
        "type": kind,
        "kernel": kernel,
        "in_place": True,
    }


def tensors_of(given, case):
    """Tensors as files have them: packed ones [rows, h, d], pools [pages, rows, h, d]; V that lies in K is a view."""
    tensors = {NAMES.get(name, name): x for name, x in given.items()}
    if case["page_size"]:
        for name in "kv":
            if name in tensors:
                tensors[f"{name}_pages"] = swapped(tensors.pop(name), 1, 2)
    elif case["ragged"] != "none":
        for name in ("q", "k", "v", "do"):
            if name in tensors:
                tensors[name] = swapped(tensors[name][0], 0, 1)
    if case["v_in_k"]:
        for name, values in (("k", "v"), ("k_pages", "v_pages")):
            if name in tensors:
                tensors[values] = tensors[name][..., : case["d_v"]]
    return tensors


def swapped(x, a, b):
    return x.swapaxes(a, b)  # of NumPy and of PyTorch


class PeerKernel:
    """What a library computes, or one of its kernels, as a kernel of a worker."""

    def __init__(self, library, kind, kernel):
        self.library, self.kind, self.forced = library, kind, kernel
        self.arrays = library.arrays()
        self.device = "cpu"  # that the library is set up for
        self.rounds = list(library.rounds)
        self.name = "_".join([library.name, *([kernel] if kernel else [kind] * (kind != "flash"))])

    def refuse(self, problem):
        for feature in problem["features"]:
            if FIELDS.get(feature) not in (*self.library.computes, "gpu"):
                raise worker.Unsupported(f"{self.library.name} here takes no {feature.replace('_', ' ')}")
        if "gpu" in problem["features"]:
            if "cuda" not in self.library.backends:
                raise worker.Unsupported(f"{self.library.name} {self.library.version} here has no GPU to compute on")
            self.arrays.require(problem["device"])

    def set_up(self, device):
        if device != self.device:
            backend, _, index = device.partition(":")
            self.library.set_up(backend, int(index or 0), threads())
            self.device = device

    def case_of(self, problem):
        return case_of(problem, self.kind, self.forced)

    def layout_of(self, problem):
        return self.library.layout(self.case_of(problem))

    def plan(self, message, descriptors):
        self.set_up(message["problem"]["device"])
        try:
            return PeerPlan(self, message, descriptors)
        except TooLarge as why:
            raise MemoryError(str(why)) from None


class PeerPlan:
    """A case of the library over shared tensors."""

    def __init__(self, kernel, message, descriptors):
        self.shared = worker.operands(kernel.arrays, message, descriptors)
        self.case = kernel.case_of(message["problem"])
        self.job = kernel.library.prepare(self.case, tensors_of(self.shared.given, self.case))

    def prepare(self):
        """The forward of a backward pass."""
        self.job.begin()
        return {}

    def call(self):
        self.job.call()

    def finish(self):
        self.store(self.job.results())
        return {"writes_lse": self.job.gives_lse}

    def collect(self):
        if self.job.gives_lse:
            self.store({"lse": self.job.log_sum_exp()})
        self.shared.collect()

    def store(self, results):
        if self.case["ragged"] != "none":
            rows = ("o", "lse", "dq", "dk", "dv")
            results = {name: swapped(x, 0, 1)[None] if name in rows else x for name, x in results.items()}
        self.shared.store(results)


def threads():
    return int(os.environ["OMP_NUM_THREADS"])


def serve(library, options, ignored):
    """The exit code of a worker. `ignored`: words that it has no use for, of which it tells."""

    def make():
        if ignored:
            raise SystemExit(f"a worker takes --type or --kernel; the case says the rest, not {' '.join(ignored)}")
        library.set_up("cpu", 0, threads())
        kind = library.kernels[options.kernel] if options.kernel else options.type.partition(",")[0]
        kernel = PeerKernel(library, kind, options.kernel)
        about = [f"{library.name} {library.version}", library.flags, f"Python {sys.version.split()[0]}"]
        return kernel, library.description(kind, options.kernel), ", ".join(x for x in about if x)

    return worker.run(library.name, make)
